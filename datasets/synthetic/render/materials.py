"""Materials of a rendered figure, and their parse labels."""

from enum import IntEnum

import numpy as np

from datasets.labels import ParseLabel


class Material(IntEnum):
    """The material of a pixel."""

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
    BELT = 12
    BAG = 13


LABEL_OF_MATERIAL = np.array(
    [
        ParseLabel.BACKGROUND, ParseLabel.FACE, ParseLabel.FACE, ParseLabel.OTHER, ParseLabel.HAIR,
        ParseLabel.UPPER, ParseLabel.UPPER, ParseLabel.LOWER, ParseLabel.ARMS, ParseLabel.HANDS,
        ParseLabel.LEGS, ParseLabel.FEET, ParseLabel.LOWER, ParseLabel.OTHER,
    ],
    np.uint8,
)  # fmt: skip
"""The parse label of each material; a bare neck is not face, since a collar may cover it.
Parsers count a belt as lower clothes."""

GROUPS = np.array([0, 1, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9], np.uint8)
"""Materials of the same group blend into each other at joints."""
