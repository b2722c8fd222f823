"""Light by the shape of a body."""

import numpy as np

from inference.sampling.shading import cloth_light, depth_inside, limb_light
from models.places import LOWER_ARMS, TORSO


def test_limbs_are_darker_at_their_edges_on_both_sides() -> None:
    limb = np.zeros((64, 48), bool)
    limb[:, 10:30] = True
    light = limb_light(depth_inside(limb))
    assert (light[:, :10] == 1).all()
    assert (light[:, 30:] == 1).all()
    assert 0.8 < light[32, 10] < 0.95
    assert light[32, 20] == 1
    assert np.allclose(light[32, 10:30], light[32, 29:9:-1])


def test_an_arm_in_front_of_a_torso_in_the_same_cloth_can_be_seen() -> None:
    groups = np.full((256, 192), TORSO, np.uint8)
    groups[100:130] = LOWER_ARMS[0]
    light = cloth_light(groups)[..., 0]
    assert light.shape == groups.shape
    middle = light[:, 96]
    assert middle[115] > 1
    assert middle[100] < 0.96
    assert middle[60] > 1  # of the torso, away from the arm
    assert abs(light.mean() - 1) < 0.03  # a garment is as bright as its picture


def test_arms_that_cross_keep_their_edges() -> None:
    groups = np.full((256, 192), TORSO, np.uint8)
    groups[90:115], groups[115:140] = LOWER_ARMS
    middle = cloth_light(groups)[:, 96, 0]
    assert middle[115] < 0.96
    assert middle[102] > 1
    assert middle[128] > 1
