"""Every picture is read here: upright, 8 bits a channel, sRGB, whatever its depth and profile."""

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from configs.errors import DataError

UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)
"""What Pillow raises on a file that is damaged or is not a picture."""

_SURE_MAXIMA = (1, 255, 65535)  # white of floats, and of 8 and 16 bits kept in wider numbers
_logger = logging.getLogger(__name__)


def read_picture(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image file, rotated as its EXIF data says, in sRGB.

    Returns:
        RGB (height, width, 3) uint8, and alpha (height, width) uint8, None if it has none.

    Raises:
        DataError: the file is missing or is not an image.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give an image file (png, jpg, webp)")
    try:
        with Image.open(path) as file:
            return _split(to_srgb(file, str(path)))
    except UNREADABLE as error:
        raise DataError(
            f"{path} is no image that can be read; give a png, jpg or webp file"
        ) from error


def decode_picture(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """``read_picture`` of bytes.

    Raises:
        ValueError: they are not a picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as file:
            return _split(to_srgb(file, "a picture"))
    except UNREADABLE as error:
        raise ValueError("the bytes are not a picture") from error


def to_srgb(file: Image.Image, name: str) -> Image.Image:
    """An opened picture upright, as RGB or, if it may be transparent, RGBA, 8 bits, in sRGB.

    Args:
        file: as ``Image.open`` gives it.
        name: for messages.

    Raises:
        ValueError: a wide picture holds values that are not numbers, or below 0.
    """
    profile = file.info.get("icc_profile")
    upright = ImageOps.exif_transpose(file)
    if upright.mode.startswith(("I", "F")):
        upright = _eight_bits(upright)
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    alpha = upright.convert("RGBA").getchannel("A") if has_alpha else None
    if upright.mode in {"P", "PA", "RGBA", "RGBX", "RGBa"}:
        upright = upright.convert("RGBA").convert("RGB")
    elif upright.mode in {"LA", "La", "1"}:
        upright = upright.convert("LA" if has_alpha else "L").convert("L")
    picture = _without_profile(upright, profile, name) if profile else upright.convert("RGB")
    if alpha is not None:
        picture.putalpha(alpha)
    return picture


def _without_profile(picture: Image.Image, profile: bytes, name: str) -> Image.Image:
    """The colours that a profile describes, in sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        _logger.warning(
            "%s: its colour profile cannot be used (%s); its colours are taken for sRGB",
            name, " ".join(str(error).split()),
        )  # fmt: skip
        return picture.convert("RGB")
    assert found is not None
    return found


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Gray of 16 or 32 bits or of floats as 8 bits; white is 1, 255, 65535 or, above, the most."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("the picture holds values below 0 or that are not numbers")
    if picture.mode.startswith("I;16"):
        white = 65535
    else:
        sure = _SURE_MAXIMA if picture.mode == "F" else _SURE_MAXIMA[1:]
        white = next((one for one in sure if values.max() <= one), float(values.max()))
        if picture.mode == "I" and picture.format == "PNG":  # of 16 bits, in older Pillow
            white = 65535
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def _split(picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    pixels = np.asarray(picture)
    image = np.ascontiguousarray(pixels[..., :3])
    return image, np.ascontiguousarray(pixels[..., 3]) if pixels.shape[-1] == 4 else None
