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


@dataclass(frozen=True, kw_only=True, eq=False)
class _PaintedFrame:
    """A frame before it is put back into the source's."""

    source: SourceFrame
    picture: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h2 w2"]
    person: UInt8[np.ndarray, "h2 w2"] | None
    hem: Bool[np.ndarray, "h w"] | None  # where cloth lies below the old garment's
    ground: Bool[np.ndarray, "h2 w2"] | None  # background, certainly


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
        for index, painted in enumerate(self._painted_frames()):
            image = draw_label(self._put_back(painted), self.label)
            yield replace(painted.source, image=image)
            if on_frame is not None:
                on_frame(index + 1)

    def _painted_frames(self) -> Iterator[_PaintedFrame]:
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
                _cut(inner, tracks.hem),
                np.stack([large.take(frame.image) for frame in sources]),
                _cut(inner, tracks.ground),
                _cut(inner, tracks.bare),
            )
            for i, source in enumerate(sources):
                yield _PaintedFrame(
                    source=source,
                    picture=pictures[i],
                    mask=tracks.mask[i],
                    person=detail.person(tracks.iuv[i]),
                    hem=None if hems is None else hems[i],
                    ground=None if tracks.ground is None else tracks.ground[i],
                )

    def _labels(self) -> Iterator[np.ndarray]:
        """DensePose as the network sees it, some frames at a time."""
        inner = self._inner
        for rows in codec_runs(self.num_frames):
            iuv = self.conditions.tracks(rows.start, rows.stop).iuv
            yield np.stack([inner.take_labels(labels) for labels in iuv])

    def _put_back(self, painted: _PaintedFrame) -> UInt8[np.ndarray, "h w 3"]:
        """The source's frame with what was painted put back into it."""
        frame = painted.source.image
        if self.paste_back and not painted.mask.any():
            return frame
        result = self._shown.put_back(frame, painted.picture)
        if not self.paste_back:
            return result
        nothing = np.zeros(frame.shape[:2], np.uint8)

        def whole(window: CropWindow, region: np.ndarray) -> np.ndarray:
            values = region if region.dtype == np.uint8 else region.astype(np.uint8) * 255
            return window.put_back(nothing, values)

        framing = self.conditions.framing
        mask = whole(framing, painted.mask)
        if painted.hem is not None:
            mask = np.maximum(mask, whole(self._shown, painted.hem))
        person = None if painted.person is None else whole(framing, painted.person)
        ground = None if painted.ground is None else whole(framing, painted.ground) > 127
        return paste(frame, result, mask, person, ground)

    @property
    def _inner(self) -> CropWindow:
        """What the network sees of the conditions: all, unless they were made for another size."""
        framing = self.conditions.framing
        return self.painter.framing_of(np.empty((framing.out_height, framing.out_width)))

    @property
    def _shown(self) -> CropWindow:
        """What the network sees of the source."""
        return self.conditions.framing.inside(self._inner)


def _cut(
    window: CropWindow, track: Bool[np.ndarray, "t h w"] | None
) -> Bool[np.ndarray, "t h2 w2"] | None:
    """A track that is true or false, as large as the result's; None stays None."""
    if track is None:
        return None
    return np.stack([window.take_mask(row.astype(np.uint8) * 255) > 127 for row in track])
