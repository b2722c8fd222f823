"""Cloth up to the chin is the garment's, also in the hair's colour; hair and beards are not."""

from collections.abc import Callable

import numpy as np
import pytest

from curation.perception.embedded.body_parts import build_body, is_below_jaw
from curation.perception.embedded.parser import EmbeddedParser
from curation.perception.protocols import Person
from datasets.labels import ParseLabel as P
from tests.curation.perception.test_parser import painted, share

DARK = (48, 36, 30)  # of the hair
NECK = slice(76, 92), slice(92, 108)
CHIN = slice(62, 67), slice(95, 105)
BESIDE = slice(66, 78), slice(113, 119)  # on the neck's left side, below the ear


def dressed(person: Person, is_dark: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """A person in a top of the hair's colours, which another part of the picture has, too."""
    assert person.mask is not None
    frame = painted(person, 0.95)
    y, x = np.mgrid[: person.mask.shape[0], : person.mask.shape[1]]
    green = np.abs(frame.astype(int) - (40, 150, 70)).max(axis=-1) < 8
    is_hair = (person.mask > 0) & (y < 40)
    frame[green | is_hair | ((person.mask > 0) & is_dark(y, x))] = DARK
    noise = np.random.default_rng(1).integers(-5, 6, frame.shape)
    return np.clip(frame.astype(int) + noise, 0, 255).astype(np.uint8)


def parsed(person: Person, frame: np.ndarray) -> np.ndarray:
    return EmbeddedParser().parse([frame] * 3, [person] * 3)[1]


def below_jaw(person: Person) -> np.ndarray:
    assert person.landmarks is not None
    assert person.mask is not None
    y, x = np.indices(person.mask.shape)
    points = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float64)
    return is_below_jaw(points, build_body(person.landmarks)).reshape(y.shape)


def test_below_the_jaw_are_the_neck_and_what_hangs_beside_it_but_no_face(
    standing_person: Person,
) -> None:
    below = below_jaw(standing_person)
    assert below[NECK].all()
    assert not below[:62, 78:123].any()
    assert below[70, 119]  # beside the jaw, lower than the mouth
    assert not below[64, 100]


@pytest.mark.parametrize("color", [DARK, (210, 160, 20)])
def test_a_turtleneck_is_the_garments_up_to_the_chin(
    color: tuple[int, int, int], standing_person: Person
) -> None:
    below = below_jaw(standing_person)
    frame = dressed(standing_person, lambda y, x: below & (y < 95))
    if color != DARK:
        top = (np.abs(frame.astype(int) - DARK).max(axis=-1) < 8) & (
            np.indices(below.shape)[0] > 40
        )
        noise = np.random.default_rng(2).integers(-5, 6, frame.shape)
        frame = np.where(top[..., None], np.array(color) + noise, frame).astype(np.uint8)
    labels = parsed(standing_person, frame)
    assert share(labels, *NECK, P.UPPER) > 0.95
    assert share(labels, *CHIN, P.FACE) > 0.9
    assert share(labels, slice(24, 36), slice(90, 110), P.HAIR) > 0.9


def test_a_bare_neck_is_no_cloth(standing_person: Person) -> None:
    labels = parsed(standing_person, dressed(standing_person, lambda y, x: y < 0))
    assert share(labels, *NECK, P.UPPER) < 0.05


def test_hair_that_hangs_down_from_the_crown_stays(standing_person: Person) -> None:
    """In the colours of the top, beside a bare neck."""
    person = standing_person
    assert person.mask is not None
    person.mask[24:86, 112:120] = 255
    labels = parsed(person, dressed(person, lambda y, x: (x >= 112) & (x < 120) & (y < 86)))
    assert share(labels, *BESIDE, P.HAIR) > 0.8


def test_a_beard_stays(standing_person: Person) -> None:
    """It reaches below the chin, and the top has its colours."""
    labels = parsed(
        standing_person,
        dressed(standing_person, lambda y, x: (y > 55) & (y < 76) & (np.abs(x - 100) < 12)),
    )
    beard = labels[61:73, 92:108]
    assert np.isin(beard, (P.HAIR, P.FACE)).mean() > 0.9


def test_a_dark_dot_on_the_chin_is_no_cloth(standing_person: Person) -> None:
    frame = dressed(
        standing_person, lambda y, x: (np.hypot(y - 69, x - 100) < 3) | ((y > 82) & (y < 95))
    )
    labels = parsed(standing_person, frame)
    assert not (labels[66:73, 97:104] == P.UPPER).any()
    assert share(labels, slice(85, 92), slice(93, 107), P.UPPER) > 0.95
