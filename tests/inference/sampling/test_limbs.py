"""Arms' places across the limb: as finely scaled as the torso's."""

import math

import pytest
import torch

from inference.sampling.limbs import widen_limbs
from models.places import slopes_of

SHAPE = (40, 30)  # of the picture
SCALE = 0.9  # of its pixels for one cell
UPPER, TORSO = 2, 1


def scene(across: float, turn: float = 0.4, columns: int = 3):
    """A torso, and an upper arm whose places cover ``across`` of its width; and as they should."""
    rows, cols = torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij")
    cells = torch.stack([cols, rows], dim=-1)
    group = torch.zeros(12, 10)
    group[2:8, :4] = TORSO
    group[1:7, 5 : 5 + columns] = UPPER
    straight = 3.0 + SCALE * cells
    middle = cells[group == UPPER].mean(dim=0)
    x, y = (cells - middle).unbind(-1)
    ahead = torch.tensor([-math.sin(turn), math.cos(turn)])
    side = torch.tensor([math.cos(turn), math.sin(turn)])

    def arm(width: float) -> torch.Tensor:
        return 20 + SCALE * (y[..., None] * ahead + width * x[..., None] * side)

    made = [
        torch.where((group == UPPER)[..., None], arm(width), straight) for width in (across, 1.0)
    ]
    known = (group > 0).float()
    found = [
        torch.cat([points / torch.tensor([30.0, 40.0]), known[..., None]], dim=-1)[None, None]
        for points in made
    ]
    return found[0], found[1], group[None, None]


@pytest.mark.parametrize("across", [0.15, 0.5, 1.0])
def test_an_arm_shows_the_whole_width_of_its_sleeve(across):
    narrow, wanted, group = scene(across)
    places, slopes = widen_limbs(narrow, slopes_of(narrow, group), group, SHAPE)
    arm = group == UPPER
    assert torch.allclose(places[arm], wanted[arm], atol=0.01)
    # steps that slopes_of takes from neighbours in the same part
    assert torch.allclose(slopes[arm], slopes_of(wanted, group)[arm], atol=0.003)


def test_the_torso_and_what_is_unknown_stay():
    narrow, _, group = scene(0.5)
    slopes = slopes_of(narrow, group)
    places, steep = widen_limbs(narrow, slopes, group, SHAPE)
    other = group != UPPER
    assert torch.equal(places[other], narrow[other])
    assert torch.equal(steep[other], slopes[other])


def test_an_arm_one_cell_wide_keeps_its_direction():
    narrow, _, group = scene(0.5, turn=0.0, columns=1)
    places, slopes = widen_limbs(narrow, slopes_of(narrow, group), group, SHAPE)
    arm = group == UPPER
    assert torch.allclose(places[arm], narrow[arm], atol=0.01)
    right = slopes[arm][:, 0] * torch.tensor([30.0, 40.0])
    assert torch.allclose(right, torch.tensor([SCALE, 0.0]).expand_as(right), atol=0.01)


@pytest.mark.parametrize("left", ["torso", "arm"])
def test_too_little_to_tell_changes_nothing(left):
    narrow, _, group = scene(0.5)
    gone = TORSO if left == "arm" else UPPER
    group = torch.where(group == gone, 0.0, group)
    if left == "torso":
        group[0, 0, 1, 5:8] = UPPER  # three cells
    narrow[..., 2] = (group > 0).float()
    slopes = slopes_of(narrow, group)
    places, steep = widen_limbs(narrow, slopes, group, SHAPE)
    assert torch.equal(places, narrow)
    assert torch.equal(steep, slopes)


def test_frames_without_enough_torso_take_the_video_s_scale():
    narrow, wanted, group = scene(0.5)
    narrow, wanted, group = (v.repeat(1, 3, *[1] * (v.dim() - 2)) for v in (narrow, wanted, group))
    hidden = group[0, 1] == TORSO
    narrow[0, 1][hidden] = 0
    group[0, 1][hidden] = 0
    places, _ = widen_limbs(narrow, slopes_of(narrow, group), group, SHAPE)
    arm = group == UPPER
    assert torch.allclose(places[arm], wanted[arm], atol=0.01)
