"""A painted video: latents on disk, decoded into the source's frames when they are read."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from inference.conditions.stored import VideoConditions
from inference.progress import WRITING, Progress, Tracker
from inference.sampling.latent_video import FileLatents
from inference.sampling.painter import Painter, codec_runs
from inference.sampling.seam import paste
from inference.video.framing import CropWindow
from inference.video.provenance import draw_label, file_metadata
from inference.video.source import SourceFrame, SourceVideo
from inference.video.writer import write_result

Region = Bool[np.ndarray, "h w"] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TryOnResult:
    """A painted video, ready to be shown or saved; only a few frames are in memory at a time."""

    conditions: VideoConditions
    painter: Painter
    latents: FileLatents  # of the frames around the person
    garment: np.ndarray  # its picture, (h, w, 3) uint8
    paste_back: bool
    label: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> SourceVideo:
        """The source video."""
        return self.conditions.source

    @property
    def fps(self) -> float:
        """Frames per second, as in the source."""
        return self.source.fps

    @property
    def num_frames(self) -> int:
        """Number of frames, as in the source."""
        return self.conditions.num_frames

    def frames(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The result's frames at the source's size, in order."""
        for frame in self._frames():
            yield frame.image

    def save(self, path: str | Path, progress: Progress | None = None) -> Path:
        """Write an MP4 with the source's size, frame rate and sound, marked as synthetic."""
        tracker = Tracker(progress, (WRITING,))
        tracker.start(WRITING, self.num_frames)
        return self.write(path, tracker.report)

    def write(self, path: str | Path, on_frame: Callable[[int], None]) -> Path:
        """``save``, calling ``on_frame`` with the number of frames written so far."""
        write_result(path, self._frames(on_frame), self.source, file_metadata(self.report))
        return Path(path)

    def _frames(self, on_frame: Callable[[int], None] | None = None) -> Iterator[SourceFrame]:
        for index, (frame, picture, mask, *regions) in enumerate(self._pictures()):
            image = self._put_back(frame.image, picture, mask, *regions)
            yield replace(frame, image=draw_label(image, self.label))
            if on_frame is not None:
                on_frame(index + 1)

    def _pictures(
        self,
    ) -> Iterator[tuple[SourceFrame, np.ndarray, np.ndarray, np.ndarray | None, Region, Region]]:
        """Source, what was painted, its mask, person, cloth below a hem, and background."""
        frames = self.source.counted_frames(self.num_frames)
        detail = self.painter.detail(self.garment, self._shown.height, self._labels(), self.fps)
        inner, large = detail.framing(self._inner), detail.framing(self._shown)
        for rows in codec_runs(self.num_frames):
            tracks = self.conditions.tracks(rows.start, rows.stop)
            sources = list(itertools.islice(frames, rows.stop - rows.start))
            pictures, hems = detail(
                rows,
                self.painter.decode_frames(self.latents.read(range(rows.start, rows.stop))),
                np.stack([inner.take_mask(mask) for mask in tracks.mask]),
                np.stack([inner.take_labels(labels) for labels in tracks.iuv]),
                None if tracks.hem is None else _cut_hem(inner, tracks.hem),
                np.stack([large.take(frame.image) for frame in sources]),
            )
            people = [detail.person(iuv) for iuv in tracks.iuv]
            covered = [None] * len(people) if hems is None else list(hems)
            ground = [None] * len(people) if tracks.ground is None else list(tracks.ground)
            yield from zip(sources, pictures, tracks.mask, people, covered, ground, strict=True)

    def _labels(self) -> Iterator[np.ndarray]:
        """DensePose as the network sees it, some frames at a time."""
        inner = self._inner
        for rows in codec_runs(self.num_frames):
            iuv = self.conditions.tracks(rows.start, rows.stop).iuv
            yield np.stack([inner.take_labels(labels) for labels in iuv])

    def _put_back(
        self,
        frame: np.ndarray,
        picture: np.ndarray,
        mask: np.ndarray,
        person: np.ndarray | None,
        hem: Region,
        ground: Region,
    ) -> np.ndarray:
        """The source's frame with one decoded picture put back into it."""
        if self.paste_back and not mask.any():
            return frame
        result = self._shown.put_back(frame, picture)
        if not self.paste_back:
            return result
        framing = self.conditions.framing
        nothing = np.zeros(frame.shape[:2], np.uint8)
        whole = None if person is None else framing.put_back(nothing, person)
        masked = framing.put_back(nothing, mask)
        if hem is not None:
            below = self._shown.put_back(nothing, hem.astype(np.uint8) * 255)
            masked = np.maximum(masked, below)
        behind = None
        if ground is not None:
            whole_ground = framing.put_back(nothing, ground.astype(np.uint8) * 255)
            behind = whole_ground > 127
        return paste(frame, result, masked, whole, behind)

    @property
    def _inner(self) -> CropWindow:
        """What the network sees of the conditions: all, unless they were made for another size."""
        framing = self.conditions.framing
        return self.painter.framing_of(np.empty((framing.out_height, framing.out_width)))

    @property
    def _shown(self) -> CropWindow:
        """What the network sees of the source."""
        return self.conditions.framing.inside(self._inner)


def _cut_hem(window: CropWindow, hem: Bool[np.ndarray, "t h w"]) -> Bool[np.ndarray, "t h2 w2"]:
    """A track that is true or false, as large as the result's."""
    return np.stack([window.take_mask(row.astype(np.uint8) * 255) > 127 for row in hem])
