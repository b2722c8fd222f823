"""What a garment's outline tells, and which cells of a body wear it."""

import torch

from models.cloth import (
    clothed_cells,
    cut_cloth,
    fill_ground,
    has_long_sleeves,
    has_sleeves,
    hem_on_legs,
    hem_reach,
    sleeve_length,
    sleeves_on_hands,
    torso_sides,
    widen_cloth,
)
from models.places import OUTLINE
from tests.cell_fixtures import COLUMNS, ROWS, slopes, upright


def test_cloth_of_the_grounds_colour_is_cloth_inside_the_outline() -> None:
    white = torch.full((1, 3, 128, 96), 0.9)
    white[:, :, 40:88, 30:66] = torch.tensor([0.1, -0.4, 0.2])[:, None, None]
    alone = cut_cloth(white, None)[0, 3]
    assert alone[60, 48] == 1
    assert alone[20, 48] == 0
    outline = torch.zeros(1, *OUTLINE)
    outline[:, 1:11, 2:10] = 1
    held = cut_cloth(white, outline)[0]
    assert held[3, 20, 48] == 1
    assert held[3, 120, 48] == 0
    assert torch.equal(held[:3, 20, 48], white[0, :, 20, 48])
    assert not held[:3, 120, 48].any()


def test_cloth_is_continued_in_the_colour_near_its_edge() -> None:
    cloth = torch.zeros(1, 4, 100, 75)
    cloth[:, :3, 40:60, 30:50] = torch.tensor([0.1, -0.4, 0.2])[:, None, None]
    cloth[:, 3, 40:60, 30:50] = 1
    cloth[:, 0, 40:60, 30] = 0.9  # its edge is mixed with the ground
    wide = widen_cloth(cloth)[0]
    assert wide[3, 50, 25:55].all()
    assert not wide[3, 50, :22].any()
    assert torch.allclose(wide[0, 50, 25:55], torch.tensor(0.1), atol=1e-5)
    assert torch.equal(wide[:, 45:55, 35:45], cloth[0, :, 45:55, 35:45])


def outline(*rows: tuple[int, int]) -> torch.Tensor:
    """Cloth of a garment in a picture of 40 pixels: from, to for each tenth of 40 rows."""
    cloth = torch.zeros(1, 1, 60, 60)
    for number, (start, stop) in enumerate(rows):
        cloth[..., 10 + 4 * number : 14 + 4 * number, start:stop] = 1
    return cloth


TANK = outline((24, 36), (20, 40), *[(19, 41)] * 8)
TEE = outline((24, 36), (12, 48), (10, 50), (10, 50), *[(19, 41)] * 6)
FOLDED_SLEEVES = outline(*[(4, 56)] * 10)
LONG_SLEEVES_BESIDE = outline((24, 36), (14, 46), *[(10, 50)] * 8)


def test_sleeves_are_told_by_the_outline() -> None:
    found = has_sleeves(torch.cat([TANK, TEE, LONG_SLEEVES_BESIDE, torch.zeros(1, 1, 60, 60)]))
    assert found.tolist() == [False, True, True, True]  # nothing seen: nothing is left out


def test_arms_have_no_places_in_garments_without_sleeves() -> None:
    places, steep = upright().repeat(2, 1, 1, 1, 1), slopes(upright().repeat(2, 1, 1, 1, 1))
    body = torch.ones(2, 4, 1, ROWS, COLUMNS)
    body[:, 0, :, :, 0] = 2  # left upper arm
    body[:, 0, :, :, 2] = 6  # a leg
    cloth = torch.cat([TANK, TEE]).expand(2, 4, -1, -1)
    clothed, same = clothed_cells(places, steep, body, cloth)
    assert not clothed[0, ..., 0, 2].any()
    assert clothed[0, ..., 1:, 2].all()
    assert clothed[1, ..., 2].all()
    assert torch.equal(same, steep)


def test_short_sleeves_are_told_from_long_ones() -> None:
    assert torch.allclose(torso_sides(TEE), torch.tensor([[19 / 60, 41 / 60]]))
    cloth = torch.cat([TANK, TEE, LONG_SLEEVES_BESIDE, FOLDED_SLEEVES])
    lengths = sleeve_length(cloth)
    assert lengths[0] == 0
    assert 0.3 < lengths[1] < 0.5
    assert lengths[2] == lengths[3] == 0  # beside the torso, or on it: no end is in sight
    assert has_long_sleeves(cloth).tolist() == [False, False, True, True]


def test_sleeves_that_end_at_the_elbow_of_a_short_top_are_short() -> None:
    to_elbow = outline((14, 46), (12, 48), (10, 50), (8, 52), *[(22, 38)] * 3)
    to_wrist = outline((14, 46), (10, 50), (6, 54), (2, 58), (0, 60), *[(22, 38)] * 5)
    cloth = torch.cat([to_elbow, to_wrist])
    assert (sleeve_length(cloth) > 0.6).all()
    assert has_long_sleeves(cloth).tolist() == [False, True]


def test_sleeves_that_hang_beside_the_torso_to_its_hem_are_long() -> None:
    hanging = outline((22, 38), (12, 48), *[(8, 52)] * 8)
    hanging[..., 22:50, 16:19] = 0
    hanging[..., 22:50, 41:44] = 0
    flared = outline((22, 38), (12, 48), (8, 52), *[(19, 41)] * 4, *[(10, 50)] * 3)  # a skirt
    assert has_long_sleeves(torch.cat([hanging, flared])).tolist() == [True, False]


def test_a_sleeve_that_touches_the_torso_for_most_of_its_length_is_no_torso() -> None:
    touching = outline((22, 38), *[(8, 52)] * 9)
    touching[..., 40:50, 16:18] = 0  # in the lowest quarter
    assert torso_sides(touching)[0, 0] * 60 == 18
    whole = outline((22, 38), *[(8, 52)] * 9)
    assert torso_sides(whole)[0, 0] * 60 == 8
    whole[..., 40:46, 20:28] = 0  # a hand
    assert torso_sides(whole)[0, 0] * 60 == 8


def test_sleeves_along_the_torso_that_end_above_the_hem_are_short() -> None:
    short = outline((22, 38), *[(8, 52)] * 5, *[(12, 48)] * 4)
    cuffs = outline((22, 38), *[(12, 48)] * 5, *[(8, 52)] * 4)
    assert has_sleeves(torch.cat([short, cuffs])).all()
    assert has_long_sleeves(torch.cat([short, cuffs])).tolist() == [False, True]


def test_a_jacket_whose_sleeves_lie_on_its_sides_has_sleeves_and_a_wide_tank_top_none() -> None:
    jacket = outline((26, 34), (24, 36), (17, 43), *[(16, 44)] * 7)
    wide_tank = outline((18, 42), (18, 42), (17, 43), *[(16, 44)] * 7)
    straps = wide_tank.clone()
    straps[..., 10:20, 20:40] = 0  # narrow as a collar, but not in the middle
    assert has_sleeves(torch.cat([jacket, wide_tank, straps])).tolist() == [True, False, False]


def test_lower_arms_have_places_with_long_sleeves_only() -> None:
    places, body = upright().repeat(2, 1, 1, 1, 1), torch.ones(2, 4, 1, ROWS, COLUMNS)
    body[:, 0, :, 2] = 4  # left lower arm
    cloth = torch.cat([TEE, LONG_SLEEVES_BESIDE]).expand(2, 4, -1, -1)
    clothed, _ = clothed_cells(places, slopes(places), body, cloth)
    assert not clothed[0, 0, 2, :, 2].any()
    assert clothed[0, 0, :2, :, 2].all()
    assert clothed[1, ..., 2].all()


def test_the_ground_is_filled_with_the_colours_of_the_nearest_cloth() -> None:
    cloth = torch.zeros(1, 4, 60, 60)
    cloth[0, 0, 20:40, 10:20] = 1
    cloth[0, 1, 20:40, 40:50] = 1
    cloth[0, 3] = cloth[0, :2].sum(dim=0)
    filled = fill_ground(cloth)
    assert torch.equal(filled[:, :3] * cloth[:, 3:], cloth[:, :3])
    assert filled[0, 3].all()
    assert filled[0, 0, 30, 5] > 0.8
    assert filled[0, 1, 30, 55] > 0.8
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_a_hem_near_the_hips_continues_the_torso_over_the_legs() -> None:
    places, steep = upright(), slopes(upright())
    group = torch.ones(1, 1, ROWS, COLUMNS)
    group[:, :, 3] = 6  # upper legs: their own places lead elsewhere
    places[:, :, 3, :, 0] += 5
    dress, shirt = (torch.zeros(1, 4, 60, 60) for _ in range(2))
    dress[:, 3, 5:57], shirt[:, 3, 5:45] = 1, 1
    # the torso ends at y = 0.63
    found, _, part = hem_on_legs(places, steep, group, dress)
    assert torch.equal(part, group)
    assert torch.equal(found, places)
    found, _, part = hem_on_legs(places, steep, group, shirt)
    assert (part == 1).all()
    assert torch.allclose(found, upright(), atol=1e-5)


def test_a_hem_does_not_continue_over_lower_legs_that_are_near_the_torso_in_a_squat() -> None:
    places, steep = upright(), slopes(upright())
    group = torch.ones(1, 1, ROWS, COLUMNS)
    group[:, :, 3] = 6
    group[:, :, 3, 2] = 8
    shirt = torch.zeros(1, 4, 60, 60)
    shirt[:, 3, 5:45] = 1
    found, _, part = hem_on_legs(places, steep, group, shirt)
    assert part[0, 0, 3].tolist() == [8 if column == 2 else 1 for column in range(COLUMNS)]
    assert not found[0, 0, 3, 2, 2]


def test_a_hem_reaches_as_far_below_a_torso_as_the_picture_shows_cloth() -> None:
    places, steep = upright(), slopes(upright())
    group = torch.ones(1, 1, ROWS, COLUMNS)
    lowest, slope = float(places[..., 1].max()), float(steep[..., 1, 1].median())
    shirt = torch.zeros(1, 4, 100, 60)
    shirt[:, 3, 5:95] = 1
    reach = hem_reach(places, steep, group, shirt)
    assert torch.allclose(reach, torch.tensor([max(0.95 - lowest, 0) / slope]), atol=1e-3)
    shirt[:, 3, 40:] = 0
    assert hem_reach(places, steep, group, shirt) == 0
    assert hem_reach(places, steep, 0 * group, shirt).isfinite().all()


def test_a_long_sleeve_continues_over_what_is_a_hand_to_densepose() -> None:
    places, steep = upright(), slopes(upright())
    group, hands = torch.zeros(1, 1, ROWS, COLUMNS), torch.zeros(1, 1, ROWS, COLUMNS)
    group[..., 0, :], hands[..., 1:, :] = 4, 4
    group[..., 0, 2] = 1  # the torso's cells lend nothing
    places[..., 2] = (group > 0).float()
    cloth = torch.cat([TEE, LONG_SLEEVES_BESIDE])[:, None, 0].expand(2, 4, -1, -1)
    found, _, part = sleeves_on_hands(places, steep, group, hands, cloth[1:])
    assert (part[..., 1:3, 0] == 4).all()
    assert (part[..., 3, :] == 0).all()  # a sleeve covers no whole hand
    assert torch.allclose(found[..., 1:3, 0, :2], upright()[..., 1:3, 0, :2], atol=1e-5)
    assert torch.equal(sleeves_on_hands(places, steep, group, hands, cloth[:1])[2], group)
