"""A painted video: latents on disk, decoded into the source's frames when they are read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from inference.conditions.stored import CHUNK, ConditionTracks, VideoConditions
from inference.progress import WRITING, Progress, Tracker
from inference.sampling.latent_video import FileLatents
from inference.sampling.painter import Painter, codec_runs, paste
from inference.video.provenance import draw_label, file_metadata
from inference.video.source import SourceFrame, SourceVideo
from inference.video.writer import write_result


@dataclass(frozen=True, kw_only=True, eq=False)
class TryOnResult:
    """A painted video, ready to be shown or saved; only a few frames are in memory at a time."""

    conditions: VideoConditions
    painter: Painter
    latents: FileLatents  # of the frames around the person
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
        tracks: ConditionTracks | None = None
        frames = self.source.counted_frames(self.num_frames)
        for index, (frame, picture) in enumerate(zip(frames, self._pictures(), strict=True)):
            row = index % CHUNK
            if row == 0:
                stop = min(index + CHUNK, self.num_frames)
                tracks = self.conditions.tracks(index, stop)
            assert tracks is not None
            image = self._put_back(frame.image, picture, tracks, row)
            yield replace(frame, image=draw_label(image, self.label))
            if on_frame is not None:
                on_frame(index + 1)

    def _pictures(self) -> Iterator[np.ndarray]:
        """What the network painted, decoded a few frames at a time."""
        for rows in codec_runs(self.num_frames):
            latents = self.latents.read(range(rows.start, rows.stop))
            yield from self.painter.decode_frames(latents)

    def _put_back(
        self, frame: np.ndarray, picture: np.ndarray, tracks: ConditionTracks, row: int
    ) -> np.ndarray:
        """The source's frame with one decoded picture put back into it."""
        framing = self.conditions.framing
        mask = tracks.mask[row]
        if self.paste_back and not mask.any():
            return frame
        cut = np.zeros((framing.out_height, framing.out_width, 3), np.uint8)
        cut = self.painter.framing_of(cut).put_back(cut, picture)
        result = framing.put_back(frame, cut)
        if not self.paste_back:
            return result
        whole_mask = framing.put_back(np.zeros(frame.shape[:2], np.uint8), mask)
        return paste(frame, result, whole_mask)
