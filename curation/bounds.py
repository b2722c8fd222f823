"""Which other bounds decide nothing otherwise: those that no stored value lies between.

Most values are far from most bounds. Where every value lies on the same side of the old bound and
of the new one, whatever is decided by them comes out the same, and need not be decided again.
"""

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from curation.perception.protocols import COCO_KEYPOINTS
from curation.selection.people import BODIES, PeopleConfig

HELD_AGAINST = {"min_score": "scores", "min_visibility": "keypoints"}
"""Bound -> the only values of ``PersonSamples`` that are held against it, with ``>=``."""


def decide_alike(
    values_of: Callable[[str], np.ndarray], before: PeopleConfig, config: PeopleConfig
) -> bool:
    """Whether two settings surely show the same in the same samples, and follow alike.

    Args:
        values_of: gives a field of the ``PersonSamples``.
        before: one of the settings.
        config: the other.

    Returns:
        False where they might not: another setting differs, or a value lies between two bounds.
    """
    names = [each.name for each in fields(PeopleConfig)]
    changed = [name for name in names if getattr(before, name) != getattr(config, name)]
    if not HELD_AGAINST.keys() >= set(changed):
        return False
    for name in changed:
        values = values_of(HELD_AGAINST[name])
        if name == "min_visibility":
            points = [COCO_KEYPOINTS.index(point) for point in BODIES[config.visible_body]]
            values = values[:, points, 2]
        if ((values >= getattr(before, name)) != (values >= getattr(config, name))).any():
            return False
    return True
