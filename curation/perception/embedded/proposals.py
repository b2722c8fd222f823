"""Where to look for a body that the box network does not see: regions from person pixels.

BlazePose's boxes are anchored to the face, so a body whose frame ends at the neck has none. The
segmentation does see it, and the landmark model follows it once its region is about right.
"""

import cv2
import numpy as np

from curation.perception.embedded.regions import Region

SIDES_AND_CENTERS = ((5.0, 0.3), (6.0, 0.1), (4.0, 0.2), (5.0, 0.0), (3.0, 0.25))
"""Tried in turn: the region's side in widths of the patch, and how far the hips, its centre, lie
below the patch's upper end, in sides. On ../shared/media cropped at the neck, the first alone gives
a body in 93 % of the frames; the second one follows if the patch is but a part of the body."""
FAINT_RANGE = 96  # gray levels between the darkest and the lightest hundredth of a frame


def stretch_faint(frame: np.ndarray) -> np.ndarray:
    """The frame (height, width, 3) uint8; one without contrast, white on white, over all levels."""
    darkest, lightest = np.percentile(frame[::4, ::4], (1, 99))
    if not 0 < lightest - darkest < FAINT_RANGE:
        return frame
    levels = (np.arange(256) - darkest) * (255 / (lightest - darkest))
    return cv2.LUT(frame, np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def proposed_regions(patch: np.ndarray) -> list[Region]:
    """Upright regions for the landmark model around a patch (height, width) bool, likely first."""
    rows = np.flatnonzero(patch.any(axis=1))
    width = float(np.percentile(patch[rows[0] : rows[-1] + 1].sum(axis=1), 75))
    center_x = float(np.median(np.nonzero(patch)[1]))
    return [
        Region(
            center_x=center_x,
            center_y=float(rows[0]) + below * sides * width,
            side=sides * width,
            angle=0.0,
        )
        for sides, below in SIDES_AND_CENTERS
    ]
