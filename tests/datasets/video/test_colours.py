"""RGB pictures as coded frames: against the formulas of ISO/IEC 23091-2."""

import numpy as np
import pytest

from datasets.video.colours import BT709, BT2020_NCL, SMPTE170M, ColourTags, to_frame

WEIGHTS = {BT709: (0.2126, 0.0722), SMPTE170M: (0.299, 0.114), BT2020_NCL: (0.2627, 0.0593)}
"""Of red and blue in luma."""
PATCH = 16  # px: chroma in its middle is its own


def coded(colours, matrix, is_full_range):
    """Y, Cb and Cr as real numbers."""
    red, blue = WEIGHTS[matrix]
    r, g, b = np.moveaxis(colours.astype(float), -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)]
    luma_scale, chroma_scale = (1, 1) if is_full_range else (219 / 255, 224 / 255)
    zero = 0 if is_full_range else 16
    return [zero + y * luma_scale, *(128 + c * chroma_scale for c in chroma)]


def planes_of(frame):
    return [
        np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(float)
        for plane in frame.planes
    ]


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_coded_planes_are_rounded_to_the_nearest_level(matrix, pixel_format, is_full_range):
    colours = np.random.default_rng(0).integers(0, 256, (20, 21, 3)).astype(np.uint8)
    colours[0, :6] = [(0, 0, 0), (255,) * 3, (255, 0, 0), (0, 255, 0), (0, 0, 255), (128,) * 3]
    image = colours.repeat(PATCH, 0).repeat(PATCH, 1)
    frame = to_frame(image, pixel_format, ColourTags(matrix=matrix, is_full_range=is_full_range))
    assert frame.format.name == pixel_format
    assert int(frame.color_range) == (2 if is_full_range else 1)
    for plane, exact in zip(planes_of(frame), coded(colours, matrix, is_full_range), strict=True):
        step = plane.shape[0] // len(colours)
        error = plane[step // 2 :: step, step // 2 :: step] - exact.clip(0, 255)
        assert abs(error.mean()) < 0.1
        assert np.abs(error).max() < 0.8
