"""Priors of skin, hair, upper and lower garment on each body part, before a clip is examined."""

import numpy as np

from curation.perception.embedded.body_parts import NUM_PARTS, BodyPart
from curation.perception.embedded.clip_colours import NUM_MATERIALS
from curation.perception.embedded.hems import NUM_PLACES
from datasets.labels import ParseLabel

# Prior of each material on a part: skin, hair, upper, lower.
PART_PRIORS: dict[BodyPart, tuple[float, float, float, float]] = {
    BodyPart.TORSO: (0.03, 0.02, 0.90, 0.05),
    BodyPart.HEAD: (0.55, 0.44, 0.01, 0.0),
    BodyPart.NECK: (0.55, 0.10, 0.35, 0.0),
    BodyPart.UPPER_ARM_LEFT: (0.25, 0.01, 0.73, 0.01),
    BodyPart.LOWER_ARM_LEFT: (0.50, 0.005, 0.49, 0.005),
    BodyPart.HAND_LEFT: (0.69, 0.005, 0.30, 0.005),  # in front of a garment, colour must decide
    BodyPart.UPPER_LEG_LEFT: (0.20, 0.0, 0.06, 0.74),
    BodyPart.LOWER_LEG_LEFT: (0.40, 0.0, 0.01, 0.59),
    BodyPart.FOOT_LEFT: (0.98, 0.0, 0.0, 0.02),  # what is no trouser leg is a shoe
}
MATERIAL_LABELS: dict[BodyPart, tuple[ParseLabel, ParseLabel, ParseLabel, ParseLabel]] = {
    BodyPart.TORSO: (ParseLabel.OTHER, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER),
    BodyPart.HEAD: (ParseLabel.FACE, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.UPPER),
    BodyPart.NECK: (ParseLabel.OTHER, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.UPPER),
    BodyPart.UPPER_ARM_LEFT: (
        ParseLabel.ARMS, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.LOWER_ARM_LEFT: (
        ParseLabel.ARMS, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.HAND_LEFT: (ParseLabel.HANDS, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER),
    BodyPart.UPPER_LEG_LEFT: (
        ParseLabel.LEGS, ParseLabel.LOWER, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.LOWER_LEG_LEFT: (
        ParseLabel.LEGS, ParseLabel.LOWER, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.FOOT_LEFT: (ParseLabel.FEET, ParseLabel.FEET, ParseLabel.FEET, ParseLabel.LOWER),
}  # fmt: skip
LEFT_OF = {part: part - 1 for part in range(BodyPart.UPPER_ARM_LEFT + 1, NUM_PARTS, 2)}


PLACE_PRIORS = {  # (part, place)
    # long hair falls on the shoulders
    **{(BodyPart.TORSO, place): (0.03, 0.12, 0.83, 0.02) for place in range(4)},
    # around the hips only colour shows where the hem is
    (BodyPart.TORSO, 8): (0.03, 0.0, 0.77, 0.20),
    (BodyPart.TORSO, 9): (0.03, 0.0, 0.57, 0.40),
    (BodyPart.UPPER_LEG_LEFT, 0): (0.05, 0.0, 0.50, 0.45),
    (BodyPart.UPPER_LEG_LEFT, 1): (0.05, 0.0, 0.35, 0.60),
    (BodyPart.UPPER_LEG_LEFT, 2): (0.10, 0.0, 0.20, 0.70),
    # trousers fall over the shoes
    **{(BodyPart.FOOT_LEFT, place): (0.60, 0.0, 0.0, 0.40) for place in range(5)},
}


CUT_HEAD_PRIORS = (0.46, 0.08, 0.46, 0.0)
"""Of head and neck where the frame ends below the face: there is a collar rather than hair."""


def _tables() -> tuple[np.ndarray, np.ndarray]:
    priors = np.zeros((NUM_PARTS, NUM_PLACES, NUM_MATERIALS), np.float32)
    labels = np.zeros((NUM_PARTS, NUM_MATERIALS), np.uint8)
    for part in range(NUM_PARTS):
        source = BodyPart(LEFT_OF.get(part, part))
        priors[part], labels[part] = PART_PRIORS[source], MATERIAL_LABELS[source]
        for place in range(NUM_PLACES):
            priors[part, place] = PLACE_PRIORS.get((source, place), PART_PRIORS[source])
    return priors, labels


PRIORS, LABELS = _tables()
BEHIND_PRIORS = {  # seen from behind, hair may hang down to the middle of the back: places, priors
    BodyPart.NECK: (NUM_PLACES, (0.25, 0.50, 0.25, 0.0)),
    BodyPart.TORSO: (6, (0.02, 0.38, 0.58, 0.02)),
    BodyPart.UPPER_ARM_LEFT: (4, (0.20, 0.20, 0.60, 0.0)),
    BodyPart.UPPER_ARM_RIGHT: (4, (0.20, 0.20, 0.60, 0.0)),
}


def behind_priors(share: float) -> np.ndarray:
    """Priors (parts, places, materials) of a clip with a share of its views from behind."""
    adapted = PRIORS.copy()
    for part, (places, behind) in BEHIND_PRIORS.items():
        mixed = (1 - share) * PRIORS[part, :places] + share * np.array(behind, np.float32)
        adapted[part, :places] = mixed
    return adapted
