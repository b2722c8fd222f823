"""What a garment's picture shows of its cloth, for each part of a body."""

import numpy as np
import torch

from datasets.places import outline_of
from inference.sampling.pictured_cloth import PicturedCloth

HEIGHT, WIDTH = 256, 192


def top(sleeve: int) -> PicturedCloth:
    """A top whose sleeves, beside the torso, end in that row."""
    picture = np.full((HEIGHT, WIDTH, 3), 240, np.uint8)
    picture[30:220, 60:132] = (30, 60, 120)
    picture[30:70, 20:172] = (30, 60, 120)
    picture[30:sleeve, 20:48] = picture[30:sleeve, 144:172] = (30, 60, 120)
    return PicturedCloth(picture, torch.from_numpy(outline_of(picture))[None] / 255)


def test_short_sleeves_show_nothing_of_the_torso_below_them() -> None:
    cloth = top(90)
    assert cloth.has_sleeves
    assert not cloth.is_long
    arms, torso = cloth.pictures[0, 3], cloth.pictures[0, 7]
    assert (arms[50:68, 30:160] > 0).all()
    assert not (arms[95:] > 0).any()
    assert (torso[95:215, 70:120] > 0).all()


def test_long_sleeves_cover_arms_wherever_their_places_lie() -> None:
    cloth = top(200)
    assert cloth.is_long
    assert (cloth.pictures[0, 3] > 0).all()
