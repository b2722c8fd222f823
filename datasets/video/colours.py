"""Coded pictures to RGB and back: matrix, range and HDR as tagged, without swscale's rounding.

By default swscale rounds down when it converts 4:2:0 or 10 bit to RGB: pictures come out 1.2 to 2
levels too dark. With ``EXACT`` it is right within half a level.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation

from datasets.video.tone_mapping import HLG, PQ, tone_map

HDR_TRANSFERS = {PQ: "PQ", HLG: "HLG"}
"""AVColorTransferCharacteristic of HDR10 and HLG."""
EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
UNSPECIFIED, BT709, BT470BG, SMPTE170M, BT2020_NCL = 2, 1, 5, 6, 9
"""AVColorSpace."""
LIMITED_RANGE, FULL_RANGE = 1, 2
"""AVColorRange."""
_RGB = 0  # AVCOL_SPC_RGB
CONVERTED_MATRICES = frozenset({_RGB, BT709, UNSPECIFIED, 3, 4, BT470BG, SMPTE170M, 7, BT2020_NCL})
"""What swscale converts; not YCgCo, ICtCp or BT.2020 with constant luminance."""
_MATRICES = frozenset({BT709, BT470BG, SMPTE170M, BT2020_NCL})
_HD_HEIGHT = 576  # px; players read untagged video above this as BT.709, like mpv and VLC
_HD_WIDTH = 1280


@dataclass(frozen=True, kw_only=True)
class ColourTags:
    """How a video's colours are coded: numbers of ISO/IEC 23091-2, as FFmpeg uses them."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    is_full_range: bool = False

    @property
    def is_hdr(self) -> bool:
        """Whether its pictures are tone-mapped when they are read."""
        return self.transfer in HDR_TRANSFERS

    def of_result(self) -> "ColourTags":
        """Tags of an 8-bit 4:2:0 video whose pictures look like the source's.

        They are the source's own where H.264 can have them. HDR was tone-mapped to BT.709; RGB,
        which has no matrix, becomes BT.709.
        """
        if self.is_hdr:
            return ColourTags(matrix=BT709, primaries=BT709, transfer=BT709)
        if self.matrix == _RGB:
            known = self.primaries if self.primaries != UNSPECIFIED else BT709
            transfer = self.transfer if self.transfer != UNSPECIFIED else BT709
            return ColourTags(matrix=BT709, primaries=known, transfer=transfer)
        matrix = self.matrix if self.matrix in {*_MATRICES, UNSPECIFIED} else BT709
        return ColourTags(
            matrix=matrix, primaries=self.primaries, transfer=self.transfer,
            is_full_range=self.is_full_range,
        )  # fmt: skip


def tags_of(frame: Any) -> ColourTags:
    """The tags of a decoded frame."""
    return ColourTags(
        matrix=_RGB if frame.format.is_rgb else int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        is_full_range=int(frame.color_range) == FULL_RANGE,
    )


def matrix_of(tags: ColourTags, height: int, width: int) -> int:
    """The matrix to convert with: untagged HD is BT.709, as players show it, smaller is BT.601."""
    if tags.matrix != UNSPECIFIED:
        return tags.matrix
    is_hd = height > _HD_HEIGHT or width >= _HD_WIDTH
    return BT709 if is_hd else SMPTE170M


def scaled_rgb(
    frame: Any, height: int, width: int, interpolation: Interpolation = Interpolation.BICUBIC
) -> np.ndarray:
    """One frame as coded, scaled to (height, width, 3) uint8 RGB; HDR is tone-mapped."""
    is_hdr = frame.color_trc in HDR_TRANSFERS
    image = _converted(frame, height, width, _kind(is_hdr), interpolation)
    return tone_map(image, frame.color_trc) if is_hdr else image


def coded_rgb(frame: Any) -> np.ndarray:
    """One frame as coded, unscaled: (height, width, 3) uint8 RGB, or uint16 for HDR.

    HDR is returned as coded, so that only the part that is needed is tone-mapped.
    """
    kind = _kind(frame.color_trc in HDR_TRANSFERS)
    return _converted(frame, frame.height, frame.width, kind, Interpolation.BICUBIC)


def to_frame(image: np.ndarray, pixel_format: str, tags: ColourTags) -> Any:
    """The inverse: an RGB picture (height, width, 3) uint8 as a frame with these tags."""
    height, width = image.shape[:2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    convert = partial(
        frame.reformat,
        dst_colorspace=_swscale_matrix(matrix_of(tags, height, width)),
        dst_color_range=FULL_RANGE if tags.is_full_range else LIMITED_RANGE,
        interpolation=Interpolation.BICUBIC | EXACT,
    )
    if not tags.is_full_range:
        return convert(format=pixel_format)
    return _rounded(convert(format=f"{pixel_format}16le"), pixel_format)


def _rounded(deep: Any, pixel_format: str) -> Any:
    """A full-range frame of 16 bits in 8: swscale would round its chroma half a level down."""
    planes = []
    for index, plane in enumerate(deep.planes):
        values = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
        zero = 128 if index else 0  # gray, in chroma
        levels = np.rint((values - zero * 256.0) / 257) + zero  # 65535 / 255
        planes.append(levels.clip(0, 255).astype(np.uint8).ravel())
    shape = (3, deep.height, -1) if pixel_format == "yuv444p" else (-1, deep.width)
    frame = av.VideoFrame.from_ndarray(np.concatenate(planes).reshape(shape), format=pixel_format)
    frame.colorspace, frame.color_range = deep.colorspace, deep.color_range
    return frame


def _kind(is_hdr: bool) -> str:
    # swscale writes wrong values into rgb48 with full chroma interpolation; planes are right
    return "gbrp16le" if is_hdr else "rgb24"


def _converted(
    frame: Any, height: int, width: int, kind: str, interpolation: Interpolation
) -> np.ndarray:
    matrix = matrix_of(tags_of(frame), frame.height, frame.width)
    converted = frame.reformat(
        width=width,
        height=height,
        format=kind,
        src_colorspace=None if matrix == _RGB else _swscale_matrix(matrix),
        interpolation=interpolation | EXACT,
        threads=1,
    )
    return converted.to_ndarray()


def _swscale_matrix(matrix: int) -> int:
    """The number of swscale's own list: it has one for both kinds of BT.601."""
    return BT470BG if matrix == SMPTE170M else matrix
