"""Which rectangle of a user's frame the network sees, and how the result is put back into it.

Proportions are kept: the rectangle has the network's aspect ratio. Where it extends beyond the
frame, the frame's border pixels are repeated. (Curation's framing never leaves the frame and
chooses among several sizes: ``canonical.py``.)
"""

from dataclasses import dataclass

import cv2
import numpy as np

_PERSON_MARGIN = 0.12  # of the person's box, on each side: space for arms between sampled frames


@dataclass(frozen=True, kw_only=True)
class CropWindow:
    """A rectangle of the source, in its pixels, and the size it is scaled to."""

    top: int
    left: int
    height: int  # of the rectangle, which may extend beyond the frame
    width: int
    out_height: int
    out_width: int

    def take(self, image: np.ndarray) -> np.ndarray:
        """The rectangle of one RGB frame, (out_height, out_width, 3) uint8."""
        return _resize(
            self._rectangle(image, cv2.BORDER_REPLICATE), self.out_height, self.out_width
        )

    def take_mask(self, mask: np.ndarray) -> np.ndarray:
        """The rectangle of a mask: a pixel is 255 if any part of it is; 0 outside the frame."""
        binary = (mask > 127).astype(np.float32)
        cut = self._rectangle(binary, cv2.BORDER_CONSTANT)
        return np.where(_resize(cut, self.out_height, self.out_width) > 0, 255, 0).astype(np.uint8)

    def take_labels(self, labels: np.ndarray) -> np.ndarray:
        """The rectangle of labels (height, width, c) uint8, never mixed; 0 outside the frame."""
        cut = self._rectangle(labels, cv2.BORDER_CONSTANT)
        size = (self.out_width, self.out_height)
        return cv2.resize(cut, size, interpolation=cv2.INTER_NEAREST_EXACT)

    def put_back(self, frame: np.ndarray, result: np.ndarray) -> np.ndarray:
        """``frame`` with the rectangle's pixels replaced by those of ``result``.

        Args:
            frame: (height, width, 3) or (height, width) uint8 of the source's size.
            result: the same at (out_height, out_width).
        """
        patch = _resize(result, self.height, self.width)
        height, width = frame.shape[:2]
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.height, height), min(self.left + self.width, width)
        changed = frame.copy()
        changed[top:bottom, left:right] = patch[
            top - self.top : bottom - self.top, left - self.left : right - self.left
        ]
        return changed

    def inside(self, inner: "CropWindow") -> "CropWindow":
        """What ``inner``, a rectangle of what this one takes, shows of the source."""
        down, right = self.height / self.out_height, self.width / self.out_width
        return CropWindow(
            top=self.top + round(inner.top * down),
            left=self.left + round(inner.left * right),
            height=max(1, round(inner.height * down)),
            width=max(1, round(inner.width * right)),
            out_height=inner.out_height,
            out_width=inner.out_width,
        )

    def _rectangle(self, image: np.ndarray, border: int) -> np.ndarray:
        height, width = image.shape[:2]
        bottom, right = self.top + self.height, self.left + self.width
        over = (
            max(-self.top, 0),
            max(bottom - height, 0),
            max(-self.left, 0),
            max(right - width, 0),
        )
        inner = image[max(self.top, 0) : min(bottom, height), max(self.left, 0) : min(right, width)]
        return cv2.copyMakeBorder(inner, *over, border) if any(over) else inner


def frame_everything(height: int, width: int, out_height: int, out_width: int) -> CropWindow:
    """The smallest rectangle of the output's aspect around a whole frame."""
    return _around(0.0, 0.0, float(height), float(width), height, width, out_height, out_width)


def frame_person(
    boxes: np.ndarray, height: int, width: int, out_height: int, out_width: int
) -> CropWindow:
    """A rectangle of the output's aspect around a person, inside the frame where it fits.

    Args:
        boxes: (n, 4) left, top, right, bottom in px: the person's places in the whole video.
        height: of the frame.
        width: of the frame.
        out_height: of the network.
        out_width: of the network.
    """
    left, top = boxes[:, :2].min(0)
    right, bottom = boxes[:, 2:].max(0)
    margin_x, margin_y = _PERSON_MARGIN * (right - left), _PERSON_MARGIN * (bottom - top)
    top, bottom = max(0.0, top - margin_y), min(float(height), bottom + margin_y)
    left, right = max(0.0, left - margin_x), min(float(width), right + margin_x)
    return _around(
        float(top), float(left), float(bottom - top), float(right - left),
        height, width, out_height, out_width,
    )  # fmt: skip


def _around(
    top: float,
    left: float,
    inner_height: float,
    inner_width: float,
    height: int,
    width: int,
    out_height: int,
    out_width: int,
) -> CropWindow:
    """Grow a rectangle to the output's aspect, then shift it into the frame or centre it there."""
    scale = max(inner_height / out_height, inner_width / out_width, 1e-3)
    rect_height, rect_width = max(1, round(scale * out_height)), max(1, round(scale * out_width))
    return CropWindow(
        top=_place(top + inner_height / 2, rect_height, height),
        left=_place(left + inner_width / 2, rect_width, width),
        height=rect_height,
        width=rect_width,
        out_height=out_height,
        out_width=out_width,
    )


def _place(centre: float, length: int, available: int) -> int:
    if length >= available:
        return -((length - available) // 2)
    return min(max(0, round(centre - length / 2)), available - length)


def shrink(image: np.ndarray, scale: float) -> np.ndarray:
    """A copy of an image, scaled down; a scale of 1 or more changes nothing."""
    if scale >= 1:
        return image.copy()
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    interpolation = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation)
