"""How a coded frame becomes what a viewer sees: display matrix and sample aspect."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How a coded frame becomes upright: a mirror image first (rarely), then quarter turns."""

    quarter_turns: int = 0  # clockwise
    is_mirrored: bool = False

    @property
    def degrees(self) -> int:
        """Degrees clockwise: 0, 90, 180 or 270."""
        return 90 * self.quarter_turns

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn (height, width, 3) upright; the result is contiguous."""
        if self.is_mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.quarter_turns))


def orientation_of(frame: Any) -> Orientation:
    """A frame's display matrix as a mirror image and quarter turns.

    The matrix sends (x, y) to (a x + c y, b x + d y), y downwards, in 16.16 fixed point
    (libavutil/display.h). Other angles are rounded to the nearest quarter turn.
    """
    for entry in frame.side_data:
        if str(entry.type).rsplit(".", maxsplit=1)[-1] == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(entry), dtype=np.int32)
            a, b, c, d = (float(values[i]) for i in (0, 1, 3, 4))
            is_mirrored = a * d - b * c < 0
            # a mirror image sends x to -x before the turn
            angle = np.degrees(np.arctan2(-b, -a) if is_mirrored else np.arctan2(b, a))
            return Orientation(
                quarter_turns=round(float(angle) / 90.0) % 4, is_mirrored=is_mirrored
            )
    return Orientation()


def square_size(frame: Any, sample_aspect: float) -> tuple[int, int]:
    """(height, width) of a coded frame with square pixels, not yet turned."""
    return frame.height, max(round(frame.width * sample_aspect), 1)


def upright_size(frame: Any, sample_aspect: float, orientation: Orientation) -> tuple[int, int]:
    """(height, width) of a frame as a viewer sees it."""
    height, width = square_size(frame, sample_aspect)
    return (width, height) if orientation.quarter_turns % 2 else (height, width)
