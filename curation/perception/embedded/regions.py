"""Square, rotated image regions: a network's crop, and the mapping back to the frame."""

from dataclasses import dataclass

import cv2
import numpy as np

ENLARGEMENT = 1.25  # side of an aligned region over the diameter of the circle around the body


@dataclass(frozen=True, kw_only=True)
class Region:
    """A square of the frame that is rotated upright for a network."""

    center_x: float  # pixels
    center_y: float
    side: float  # pixels
    angle: float  # radians; the square's up direction, clockwise from the frame's up

    def to_frame(self, size: int) -> np.ndarray:
        """Affine (2, 3) float64 from coordinates in a size x size crop to frame pixels."""
        scale = self.side / size
        cos, sin = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        half = size / 2
        return np.array(
            [
                [cos, -sin, self.center_x - cos * half + sin * half],
                [sin, cos, self.center_y - sin * half - cos * half],
            ]
        )

    def crop(self, frame: np.ndarray, size: int) -> np.ndarray:
        """The region as (size, size, 3) uint8; black outside the frame."""
        if self.side > 2 * size:  # average first, or thin limbs alias
            shrink = size / self.side * 1.5
            small = cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            scaled = Region(
                center_x=self.center_x * small.shape[1] / frame.shape[1],
                center_y=self.center_y * small.shape[0] / frame.shape[0],
                side=self.side * shrink,
                angle=self.angle,
            )
            return scaled.crop(small, size)
        return cv2.warpAffine(
            frame, self.to_frame(size), (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )

    def paste(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """A crop's (size, size) float32 map pasted into a (height, width) frame, 0 outside."""
        return cv2.warpAffine(
            values, self.to_frame(values.shape[0]), (width, height), flags=cv2.INTER_LINEAR
        )

    def shift(self, other: "Region") -> float:
        """Distance of two regions as a share of the larger side: 0 means equal."""
        side = max(self.side, other.side)
        moved = np.hypot(self.center_x - other.center_x, self.center_y - other.center_y)
        return float(max(moved, abs(self.side - other.side)) / side)


def region_from_points(center: np.ndarray, scale_point: np.ndarray) -> Region:
    """BlazePose's alignment: the circle around the hips that holds the body, turned upright.

    Args:
        center: (2,) hip centre in pixels.
        scale_point: (2,) point on the circle above the head.
    """
    x, y = np.asarray(scale_point, np.float64) - np.asarray(center, np.float64)
    return Region(
        center_x=float(center[0]),
        center_y=float(center[1]),
        side=float(2 * np.hypot(x, y) * ENLARGEMENT),
        angle=float(np.arctan2(x, -y)),
    )


def square_region(left: float, top: float, right: float, bottom: float) -> Region:
    """The upright square around a box."""
    return Region(
        center_x=(left + right) / 2,
        center_y=(top + bottom) / 2,
        side=max(right - left, bottom - top),
        angle=0.0,
    )
