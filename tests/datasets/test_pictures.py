"""Pictures of any depth and colour profile are read as what they show, in 8-bit sRGB."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from configs.errors import DataError
from curation.stages.clip_files import read_picture as read_bgr
from curation.stages.product_photo import read_photo
from datasets.clips import decode_image
from datasets.pictures import read_picture

RAMP = np.linspace(0, 1, 48).reshape(6, 8)


def display_p3() -> bytes:
    """A small profile (ICC.1, version 2) of Display P3's primaries and a gamma of 2.2."""

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    tags = {
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011), b"gXYZ": xyz(0.2920, 0.6922, 0.0419),
        b"bXYZ": xyz(0.1571, 0.0666, 0.7841), b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (np.rint(RAMP * 65535).astype(np.uint16), "png"),
        (np.rint(RAMP * 65535).astype(np.uint16), "tif"),
        (np.rint(RAMP * 65535).astype(np.int32), "tif"),
        (RAMP.astype(np.float32), "tif"),
        ((RAMP * 255).astype(np.float32), "tif"),
    ],
    ids=["16-bit PNG", "16-bit TIFF", "32-bit TIFF", "float TIFF to 1", "float TIFF to 255"],
)
def test_deep_gray_is_read_as_its_grays(values: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"gray.{suffix}"
    Image.fromarray(values).save(path)
    image, alpha = read_picture(path)
    assert alpha is None
    assert np.abs(image - RAMP[..., None] * 255).max() <= 0.51


def test_floats_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(DataError, match="no image that can be read"):
        read_picture(tmp_path / "nan.tif")


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_colour_profile_is_followed_wherever_pictures_are_read(
    suffix: str, mode: str, tmp_path: Path
) -> None:
    profile, srgb = display_p3(), ImageCms.createProfile("sRGB")
    true = Image.new("RGB", (32, 32), (200, 120, 90))
    wide = ImageCms.profileToProfile(true, srgb, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert wide is not None
    assert max(abs(a - b) for a, b in zip(wide.getpixel((0, 0)), (200, 120, 90), strict=True)) > 8
    path = tmp_path / f"wide.{suffix}"
    wide.convert(mode).save(
        path, icc_profile=profile, **({"lossless": True} if suffix == "webp" else {})
    )
    readers = [read_picture(path)[0], read_photo(path)[0], decode_image(path.read_bytes())]
    for image in (*readers, read_bgr(path)[..., ::-1]):
        assert np.abs(image.astype(int) - (200, 120, 90)).max() <= 2


def test_a_damaged_profile_is_said_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (8, 8), (9, 8, 7)).save(tmp_path / "a.png", icc_profile=b"no profile")
    assert (read_picture(tmp_path / "a.png")[0] == (9, 8, 7)).all()
    assert "its colour profile cannot be used" in caplog.text


def test_a_sheer_garment_is_seen(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[10:30, 10:30] = (200, 20, 30, 100)
    Image.fromarray(pixels).save(tmp_path / "sheer.png")
    image, outline = read_photo(tmp_path / "sheer.png")
    assert outline is not None
    assert (outline > 0).sum() == 400
    assert (image[20, 20] == (200, 20, 30)).all()
