"""What a rendered figure is made of, and which parse label each material has."""

from enum import IntEnum

import numpy as np

from datasets.labels import ParseLabel


class Material(IntEnum):
    """What a pixel of the figure is made of."""

    NOTHING = 0
    FACE = 1
    HEAD_SKIN = 2
    NECK = 3
    HAIR = 4
    TORSO = 5
    SLEEVE = 6
    LOWER = 7
    ARM = 8
    HAND = 9
    LEG = 10
    SHOE = 11


LABEL_OF_MATERIAL = np.array(
    [
        ParseLabel.BACKGROUND, ParseLabel.FACE, ParseLabel.FACE, ParseLabel.OTHER, ParseLabel.HAIR,
        ParseLabel.UPPER, ParseLabel.UPPER, ParseLabel.LOWER, ParseLabel.ARMS, ParseLabel.HANDS,
        ParseLabel.LEGS, ParseLabel.FEET,
    ],
    np.uint8,
)  # fmt: skip
"""The parse label of each material; a bare neck is no face: a collar may cover it."""

GROUPS = np.array([0, 1, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7], np.uint8)
"""Materials of equal group melt into each other at joints."""
