"""What an upload really is: decided by its content, never by its name.

A video is read as ``make tryon`` reads it, and its frames are counted, since a header may lie. A
garment is decoded, turned upright and saved as a new PNG, without the place and the camera that a
phone writes into its pictures.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from datasets.pictures import to_srgb
from datasets.video.reader import UnreadableVideoError, packet_times
from datasets.video.reader import open_video as open_container
from inference.errors import RequestError, VideoUnreadable
from inference.video.framing import shrink
from inference.video.source import SourceVideo, open_video
from inference.web.settings import AppLimits

GARMENT_FORMATS = ("JPEG", "PNG", "WEBP")
_POSTER_HEIGHT = 360  # px
_JPEG_QUALITY = 85
_NOT_A_VIDEO = (
    "This file cannot be read as a video. Give an mp4, mov, mkv, webm or avi file, "
    "for instance straight from a phone."
)
_NOT_A_PICTURE = "This file cannot be read as a picture. Give a jpg, png or webp file."


@dataclass(frozen=True, kw_only=True)
class MediaFacts:
    """What a checked file contains; duration, rate and frames are set for videos only."""

    height: int  # upright, px
    width: int
    duration_s: float | None = None
    fps: float | None = None
    num_frames: int | None = None


def check_video(path: Path, poster: Path, limits: AppLimits) -> MediaFacts:
    """Check a file that should be a video, and write a JPEG of its first frame.

    Raises:
        RequestError: it is not a video, or is too long or too large.
    """
    try:
        container, stream = open_container(path)
        with container:  # before a frame is decoded
            _check_sides(stream.codec_context.height, stream.codec_context.width, limits)
        source = open_video(path)
        num_frames, duration_s = _count(path, source, limits)
        image = next(source.frames()).image
    except UnreadableVideoError as error:
        raise _rejected(error) from error
    except VideoUnreadable as error:
        raise RequestError(_NOT_A_VIDEO, 415) from error
    if num_frames < 2:
        raise RequestError("This is a single picture, not a video. Give a video of a person.", 415)
    _write_poster(image, poster)
    return MediaFacts(
        height=source.height, width=source.width, duration_s=duration_s, fps=source.fps,
        num_frames=num_frames,
    )  # fmt: skip


def check_garment(path: Path, clean: Path, poster: Path, limits: AppLimits) -> MediaFacts:
    """Check a file that should be a picture; write a clean PNG and a small JPEG to show.

    The clean copy is upright, with transparency and without metadata.

    Raises:
        RequestError: it is not a picture, or is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=GARMENT_FORMATS) as file:
                megapixels = file.height * file.width / 1e6
                if megapixels > limits.garment_megapixels:
                    raise RequestError(
                        f"This picture has {megapixels:.0f} megapixels; up to "
                        f"{limits.garment_megapixels} are accepted. Make it smaller.",
                        413,
                    )
                picture = to_srgb(file, "this picture")
    except RequestError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RequestError(_NOT_A_PICTURE, 415) from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged files
        raise RequestError(f"{_NOT_A_PICTURE[:-1]}; this one is damaged.", 415) from error
    if min(picture.size) < 16:
        raise RequestError(
            f"This picture has only {picture.width} x {picture.height} pixels, too few to show a "
            "garment; sides of 16 or more are accepted.",
            415,
        )
    bare = Image.fromarray(np.asarray(picture))  # without EXIF, comments, profiles
    bare.save(clean, format="PNG", compress_level=1)
    white = Image.new("RGBA", bare.size, (255, 255, 255, 255))
    white.alpha_composite(bare.convert("RGBA"))
    _write_poster(np.asarray(white.convert("RGB")), poster)
    return MediaFacts(height=bare.height, width=bare.width)


def _rejected(error: UnreadableVideoError) -> RequestError:
    is_sound = error.code == "no_video_stream"
    sentence = "This file has no video track, only sound." if is_sound else _NOT_A_VIDEO
    return RequestError(sentence, 415)


def _check_sides(height: int, width: int, limits: AppLimits) -> None:
    if max(height, width) > limits.video_side:
        raise RequestError(
            f"This video is {width} x {height} pixels; sides of up to {limits.video_side} are "
            "accepted. Export it smaller, for instance in full HD.",
            413,
        )


def _count(path: Path, source: SourceVideo, limits: AppLimits) -> tuple[int, float]:
    """Number of frames and seconds, by reading the whole file without decoding it."""
    num_frames, first, seconds = 0, None, 0.0
    for time in packet_times(path):
        num_frames += 1
        first = time if first is None else first
        seconds = float(time - first)
        if seconds > limits.video_s + 0.5:
            raise _too_long(max(source.duration_s or 0, seconds), limits)
        if num_frames > limits.video_frames:
            raise RequestError(
                f"This video has more than {limits.video_frames} frames at {source.fps:.0f} per "
                "second; cut it shorter or export it with fewer frames per second.",
                413,
            )
    return num_frames, seconds + 1 / max(source.fps, 1e-3)


def _too_long(seconds: float, limits: AppLimits) -> RequestError:
    return RequestError(
        f"This video is {_spoken(seconds)} long; up to {_spoken(limits.video_s)} are accepted. "
        "Cut out the part that you want.",
        413,
    )


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"


def _write_poster(image: np.ndarray, poster: Path) -> None:
    small = shrink(image, _POSTER_HEIGHT / image.shape[0])
    Image.fromarray(small).save(poster, format="JPEG", quality=_JPEG_QUALITY)
