"""What an upload really is: decided by its content, never by its name.

A video is opened only as one of the containers named here (FFmpeg would follow a playlist to other
files), and its frames are counted, since a header may lie. A garment is decoded, turned upright and
saved as a new PNG, without the place and the camera that a phone writes into its pictures.
"""

import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from PIL import Image, UnidentifiedImageError

from datasets.media_files import open_media
from datasets.pictures import to_srgb
from datasets.video.orientation import orientation_of
from datasets.video.reader import rate_of
from datasets.video.upright import aspect_of, upright_picture
from inference.errors import RequestError
from inference.video.framing import shrink
from inference.web.settings import AppLimits

VIDEO_CONTAINERS = ("mov", "mp4", "matroska", "webm", "avi", "mpegts")
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
    options = {"format_whitelist": ",".join(VIDEO_CONTAINERS)}
    try:
        with open_media(path, options) as container:
            streams = [s for s in container.streams.video if not _is_cover(s)]
            if not streams:
                raise RequestError("This file has no video track, only sound.", 415)
            stream = streams[0]
            _check_sides(stream.codec_context.height, stream.codec_context.width, limits)
            frame = next(container.decode(stream), None)
            if frame is None:
                raise RequestError(_NOT_A_VIDEO, 415)
            fps = float(rate_of(stream))
            image = upright_picture(frame, float(aspect_of(stream)), orientation_of(frame))
        num_frames, duration_s = _count(path, options, limits, fps)
    except av.error.FFmpegError as error:
        raise RequestError(_NOT_A_VIDEO, 415) from error
    if num_frames < 2:
        raise RequestError("This is a single picture, not a video. Give a video of a person.", 415)
    _write_poster(image, poster)
    height, width = image.shape[:2]
    return MediaFacts(
        height=height, width=width, duration_s=duration_s, fps=fps, num_frames=num_frames
    )


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


def _is_cover(stream: VideoStream) -> bool:
    """Whether a stream is the cover picture of a music file, which FFmpeg lists as video."""
    return Disposition.attached_pic in stream.disposition


def _check_sides(height: int, width: int, limits: AppLimits) -> None:
    if max(height, width) > limits.video_side:
        raise RequestError(
            f"This video is {width} x {height} pixels; sides of up to {limits.video_side} are "
            "accepted. Export it smaller, for instance in full HD.",
            413,
        )


def _count(path: Path, options: dict[str, str], limits: AppLimits, fps: float) -> tuple[int, float]:
    """Number of frames and seconds, by reading the whole file without decoding it."""
    num_frames = 0
    first: Fraction | None = None
    last = Fraction(0)
    with open_media(path, options) as container:
        stream = next(s for s in container.streams.video if not _is_cover(s))
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            num_frames += 1
            if packet.pts is not None and packet.time_base is not None:
                time = packet.pts * packet.time_base
                first = time if first is None else min(first, time)
                last = max(last, time)
            seconds = float(last - (first or 0))
            if seconds > limits.video_s + 0.5:
                raise _too_long(_stated_s(container) or seconds, limits)
            if num_frames > limits.video_frames:
                raise RequestError(
                    f"This video has more than {limits.video_frames} frames at {fps:.0f} per "
                    "second; cut it shorter or export it with fewer frames per second.",
                    413,
                )
    seconds = float(last - (first or 0)) + 1 / max(fps, 1e-3)
    return num_frames, seconds


def _stated_s(container: InputContainer) -> float | None:
    return None if container.duration is None else container.duration / 1e6


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
