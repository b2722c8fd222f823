"""A user's video as try-on sees it: upright RGB with square pixels and time stamps.

Reading is ``datasets/video/reader.py``'s. An unreadable file is one sentence, and whatever was
repaired while reading is one, too: ``SourceVideo.remarks``.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError
from datasets.media_files import video_streams
from datasets.video.colours import HDR_TRANSFERS, ColourTags, tags_of
from datasets.video.orientation import Orientation, orientation_of, upright_size
from datasets.video.reader import (
    ReadNotes,
    UnreadableVideoError,
    has_alpha,
    rate_of,
    read_frames,
    stated_duration,
)
from datasets.video.reader import open_video as open_container
from datasets.video.upright import aspect_of, upright_picture
from inference.errors import VideoTooLong, VideoUnreadable

logger = logging.getLogger(__name__)

_LENGTH_TOLERANCE_S = 0.5  # containers round
_SHORTER_SHARE = 0.05  # of the stated duration: a file that ends earlier was cut short


@dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """Which videos are rejected; None sets no limit."""

    max_seconds: float | None = None
    max_unseen_share: float = 1.0  # of frames in which the person is not found, when painted


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceFrame:
    """One decoded picture."""

    image: np.ndarray  # (height, width, 3) uint8 RGB, upright
    time: Fraction  # presentation time in seconds
    held: Fraction = Fraction(0)  # s; how long it is shown, as the file states it


@dataclass(frozen=True, kw_only=True)
class SourceVideo:
    """What a video file states about itself."""

    path: Path
    height: int  # upright, px, square pixels
    width: int
    rate: Fraction  # frames per second, as the container states or implies it
    pixel_aspect: Fraction  # width of a stored pixel over its height
    orientation: Orientation
    colours: ColourTags
    has_alpha: bool
    audio_codec: str | None
    duration_s: float | None  # as the container states it
    num_tracks: int = 1  # of video
    limits: VideoLimits = VideoLimits()

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are; None if the container does not state its duration."""
        return None if self.duration_s is None else max(1, round(self.duration_s * self.rate))

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self.rate)

    def frames(self, reading: "Reading | None" = None) -> Iterator[SourceFrame]:
        """Decode from the beginning, in order of presentation; each call starts again.

        A frame that cannot be decoded shows the one before it, so that picture and sound keep
        their lengths.

        Args:
            reading: filled with what was met.

        Raises:
            DataError: not a single frame can be decoded, or the size changes.
        """
        reading = Reading() if reading is None else reading
        notes = reading.notes
        last: SourceFrame | None = None
        try:
            for time, frame in read_frames(self.path, notes):
                image = self._picture(frame, reading.num_frames)
                if last is None:
                    reading.first = time
                else:
                    for lost in _between(notes.lost, last.time, time):
                        yield SourceFrame(image=last.image, time=lost)
                        reading.repeat()
                _check_length(self.path, float(time - reading.first), self.limits)
                held = self._believed(notes.held, since=time - reading.first)
                last = SourceFrame(image=image, time=time, held=held)
                reading.num_frames += 1
                yield last
        except UnreadableVideoError as error:
            raise VideoUnreadable(f"video {self.path} cannot be read: {error.detail}") from error
        if last is None:
            raise VideoUnreadable(f"video {self.path} has no frame that can be decoded")
        end = last.time
        for lost in _between(notes.lost, last.time, None):
            yield SourceFrame(image=last.image, time=lost)
            reading.repeat()
            end = lost
        held = last.held if end == last.time else 0
        reading.length = end - reading.first + max(1 / self.rate, held)

    def counted_frames(self, count: int) -> Iterator[SourceFrame]:
        """``frames``, checked against an earlier count.

        Raises:
            DataError: there are more or fewer frames; also as ``frames``.
        """
        found = 0
        for frame in self.frames():
            found += 1
            if found > count:
                break
            yield frame
        if found != count:
            raise DataError(
                f"video {self.path} had {count} frames in the first pass and has "
                f"{'more' if found > count else found} now; start again, and do not change the "
                "file meanwhile"
            )

    def remarks(self, reading: "Reading") -> tuple[str, ...]:
        """What is not as it was in the file, one sentence each without a full stop.

        Args:
            reading: what ``frames`` met in all of the file.
        """
        notes = reading.notes
        found: list[str] = []
        if self.num_tracks > 1:
            found.append(f"it holds {self.num_tracks} video tracks; the main one alone is used")
        if self.colours.is_hdr:
            name = HDR_TRANSFERS[self.colours.transfer]
            found.append(f"it is HDR ({name}); the result is ordinary BT.709")
        if self.pixel_aspect != 1:
            found.append(
                f"its pixels are not square ({self.pixel_aspect.numerator}:"
                f"{self.pixel_aspect.denominator}); the result has square ones, "
                f"{self.width}x{self.height} (width x height)"
            )
        if self.has_alpha:
            found.append("it has transparency; the result is opaque")
        if notes.num_interlaced:
            marked = "; its coder did not mark them" if notes.is_mark_missing else ""
            found.append(f"{notes.num_interlaced} interlaced frames were deinterlaced{marked}")
        if notes.joins_s:
            found.append(
                f"it holds {len(notes.joins_s) + 1} recordings, joined; they follow each other "
                "without a gap"
            )
        if reading.num_repeated:
            found.append(
                f"{reading.num_repeated} of its {reading.num_frames} frames cannot be decoded; the "
                "one before is shown instead"
            )
        elif notes.num_errors:
            found.append("it is damaged: parts of some frames may be wrong")
        declared = self.duration_s or 0.0
        missing = declared - float(reading.length)
        if missing > max(_LENGTH_TOLERANCE_S, _SHORTER_SHARE * declared) and not notes.joins_s:
            found.append(
                f"it was cut short: it ends after {float(reading.length):.1f} s and should last "
                f"{declared:.1f} s"
            )
        return tuple(found)

    def _believed(self, held: Fraction, since: Fraction) -> Fraction:
        """How long a frame is shown that begins so late; 0 if that exceeds the stated duration."""
        is_within = since + held <= (self.duration_s or 0) + _LENGTH_TOLERANCE_S
        return held if is_within else Fraction(0)

    def _picture(self, frame: Any, index: int) -> np.ndarray:
        """One frame as (height, width, 3) uint8 RGB, upright, with square pixels."""
        height, width = upright_size(frame, float(self.pixel_aspect), self.orientation)
        if (height, width) != (self.height, self.width):
            raise VideoUnreadable(
                f"video {self.path} changes its size at frame {index} from "
                f"{self.height}x{self.width} to {height}x{width} (height x width); cut the video "
                "there first"
            )
        return upright_picture(frame, float(self.pixel_aspect), self.orientation)


def warn_of(source: SourceVideo, remarks: Iterable[str]) -> None:
    """Log what ``SourceVideo.remarks`` found, before anything is painted."""
    for remark in remarks:
        logger.warning("%s: %s", source.path.name, remark)


@dataclass(kw_only=True)
class Reading:
    """What one pass over a source met."""

    notes: ReadNotes = field(default_factory=ReadNotes)
    num_frames: int = 0  # including repeated ones
    num_repeated: int = 0
    first: Fraction = Fraction(0)
    length: Fraction = Fraction(0)  # s

    def repeat(self) -> None:
        """Count a frame that shows the one before."""
        self.num_frames += 1
        self.num_repeated += 1


def require_video(path: str | Path) -> None:
    """Reject a file that does not exist; it is not opened.

    Raises:
        VideoUnreadable: it does not exist, or is a folder.
    """
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise VideoUnreadable(f"video {path} {what}; give a video file (mp4, mov, mkv, webm)")


def open_video(path: str | Path, limits: VideoLimits | None = None) -> SourceVideo:
    """Probe a file by decoding its first frame.

    Raises:
        VideoUnreadable: missing, not a video, or not decodable.
        VideoTooLong: it exceeds the limits.
    """
    path, limits = Path(path), limits or VideoLimits()
    require_video(path)
    try:
        container, stream = open_container(path)
        with container:
            aspect = aspect_of(stream)
            rate = rate_of(stream)
            duration = stated_duration(container, stream, path) or None
            sounds = container.streams.audio
            audio = sounds[0].codec_context.name if sounds and sounds[0].codec_context else None
            is_transparent = has_alpha(stream)
            num_tracks = len(video_streams(container))
        first = next(read_frames(path, ReadNotes()), None)
    except UnreadableVideoError as error:
        if error.code == "no_video_stream":
            raise VideoUnreadable(f"{path} has no video track; give a video file") from error
        raise VideoUnreadable(
            f"{path} cannot be read as a video ({error.detail}); give an mp4, mov or mkv"
        ) from error
    if first is None:
        raise VideoUnreadable(f"video {path} has no frame that can be decoded")
    frame = first[1]
    orientation = orientation_of(frame)
    height, width = upright_size(frame, float(aspect), orientation)
    _check_length(path, float(duration or 0), limits)
    return SourceVideo(
        path=path,
        height=height,
        width=width,
        rate=rate,
        pixel_aspect=aspect,
        orientation=orientation,
        colours=tags_of(frame),
        has_alpha=is_transparent,
        audio_codec=audio,
        duration_s=None if duration is None else float(duration),
        num_tracks=num_tracks,
        limits=limits,
    )


def _between(lost: list[Fraction], last: Fraction, time: Fraction | None) -> list[Fraction]:
    """Times of frames that cannot be decoded, between two that can; None: after the last one."""
    return sorted({moment for moment in lost if last < moment and (time is None or moment < time)})


def _check_length(path: Path, seconds: float, limits: VideoLimits) -> None:
    most = limits.max_seconds
    if most is not None and seconds > most + _LENGTH_TOLERANCE_S:
        raise VideoTooLong(
            f"video {path} is {seconds:.0f} s long or longer; at most {most:g} s are accepted",
            plain=f"This video is too long; at most {most:g} seconds are accepted.",
        )
