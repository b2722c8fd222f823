"""What lies beyond the edge of a garment's picture, or of a part of the body."""

import numpy as np
import torch

from inference.sampling.cloth_edges import (
    cloth_on_plain,
    fill_sides,
    mirror_beyond,
    over_shoulders,
    raise_shoulders,
    smooth_parts,
)
from models.places import ARMS, LOWER_ARMS, TORSO


def test_stripes_run_on_beyond_their_region() -> None:
    stripes = np.repeat((np.arange(60) // 3 % 2).astype(np.float32)[:, None, None], 60, axis=1)
    shown = np.zeros((60, 60), bool)
    shown[10:50, 20:40] = True
    picture, known = mirror_beyond(np.where(shown[..., None], stripes, 0.5), shown)
    assert np.array_equal(picture[shown], stripes[shown])
    assert known[30, 2:58].all()
    assert np.array_equal(picture[12:48, 2:58], stripes[12:48, 2:58])  # beside: the same rows
    assert np.array_equal(picture[52:60, 30], stripes[46:38:-1, 30])  # below: mirrored
    shown[:, 22:] = False  # narrower than what lies beyond it: nothing is known there
    _, known = mirror_beyond(picture, shown)
    assert not known[30, 30:].any()


def test_white_cloth_is_told_from_a_plain_ground_and_gaps_from_cloth() -> None:
    picture = np.full((80, 60, 3), 244, np.uint8)
    picture[20:60, 15:45] = 249
    picture[40, 20] = 244  # a speck
    picture[30:60, 22:30] = 244  # a gap beside a sleeve
    found = cloth_on_plain(picture)
    assert found is not None
    assert found[25, 15:45].all()
    assert found[40, 20]
    assert not found[45, 24:28].any()
    assert not found[10].any()
    picture[0, 1] = 200
    assert cloth_on_plain(picture) is None


def test_stairs_of_parts_become_slopes_and_parts_stay_where_they_are() -> None:
    rows, columns = np.indices((480, 360))
    stairs = np.where(columns // 5 < rows // 5, 3, 7).astype(np.uint8)
    straight = np.where(columns + 2.5 < rows, 3, 7)
    smooth = smooth_parts(stairs)
    assert (smooth != straight).sum() < 0.6 * (stairs != straight).sum()
    assert set(np.unique(smooth)) == {3, 7}
    assert np.array_equal(smooth[100:140, :60], stairs[100:140, :60])


def striped(*rows: tuple[int, int]) -> torch.Tensor:
    """Cloth in horizontal stripes, red on blue: from, to for each tenth of 40 rows."""
    outline = torch.zeros(1, 1, 60, 60)
    for number, (start, stop) in enumerate(rows):
        outline[..., 10 + 4 * number : 14 + 4 * number, start:stop] = 1
    stripes = (torch.arange(60) // 2 % 2).float()[:, None].expand(60, 60)
    colours = torch.stack([stripes, torch.zeros(60, 60), 1 - stripes])[None]
    return torch.cat([colours * outline, outline], dim=1)


def test_shoulders_are_raised_beside_the_collar_in_the_garments_pattern() -> None:
    cloth = striped((24, 36), (12, 48), (10, 50), (10, 50), *[(19, 41)] * 6)
    raised = raise_shoulders(cloth)
    assert raised[0, 3, 11, 14] == 1  # above a sleeve, which begins at row 14
    assert torch.equal(raised[0, :, 11, 14], cloth[0, :, 16, 14])  # its mirror image
    assert raised[0, 3, 9, 30] == 0  # above the collar
    assert raised[0, 3, 14, 2] == 0  # beside everything
    assert torch.equal(raised * cloth[:, 3:], cloth)


def test_the_torsos_picture_has_cloth_beside_the_torso() -> None:
    cloth = striped((24, 36), (20, 40), *[(19, 41)] * 8)
    filled = fill_sides(cloth)
    assert filled[0, 3, 40, 12:48].all()
    assert torch.equal(filled[0, :, :, 25:35], cloth[0, :, :, 25:35])
    assert torch.equal(filled[0, :, 40, 45], filled[0, :, 40, 35])


def test_a_gap_at_an_armpit_is_no_part_of_the_torsos_picture() -> None:
    cloth = striped((24, 36), *[(6, 54)] * 9)
    cloth[..., 24:50, 16:18] = 0
    cloth[..., 24:28, 16:22] = 0  # the gap's upper end is wide
    filled = fill_sides(cloth)
    assert filled[0, 3, 15:50, 10:50].all()
    assert torch.equal(filled[0, :, 25, 23], cloth[0, :, 25, 23])


def test_a_sleeveless_tops_torso_reaches_over_the_shoulders_and_not_down_the_arm() -> None:
    groups = np.zeros((200, 150), np.uint8)
    groups[40:180, 50:100] = TORSO
    groups[40:120, 30:50], groups[40:120, 100:120] = range(ARMS[0], LOWER_ARMS[0])
    groups[120:180, 30:50] = LOWER_ARMS[0]
    found = over_shoulders(groups)
    over = (found == TORSO) & (groups != TORSO)
    assert (over == over[:, ::-1]).all()
    assert 8 <= over[42].sum() / 2 <= 12  # 0.06 of the height
    assert 0 < over[70].sum() < over[42].sum()
    assert not over[100:].any()  # the lower arm, and the arm beside the armpit
    alone = np.where(groups == TORSO, 0, groups)
    assert (over_shoulders(alone) == alone).all()
