"""What a garment's picture shows of its cut, and which cells of a body wear it.

Cloth against the plain ground, sleeves, torso, hem: told by the outline, without a network.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from models.places import ARMS, FIRST_LEG, LOWER_ARMS, THIGHS, TORSO
from models.warping import spread_places

_CORNER = 8  # px
_FAR = 0.35
"""Of a colour from the picture's ground, summed over the channels: cloth."""
_INSIDE = 0.95
"""Share of garment in a field of the outline from which all of it is cloth, of any colour."""
_WIDER, _MIXED = 0.06, 0.01
"""Shares of the picture's height: by which cloth is continued, and on its edge that are mixed."""
_HEM_NEAR, _HEM_CELLS = 0.2, 3
"""Of the picture's height: a torso that reaches this near to the cloth's end has the hem in sight.
Rows of cells."""
_LEAST_SLOPE = 0.02
"""Of a picture's height, for each cell down a torso: less is no slope of an upright one."""
_CUFF_CELLS = 2  # of a hand, that a long sleeve may cover
_BESIDE_ROWS, _BESIDE_BREADTH, _LEAST_BREADTH = 0.25, 0.1, 0.73
"""Of the rows, and of the breadth: a side that is so much further in has a sleeve beside it; what
of the breadth is left then, at least."""
_LEAST_ROWS = 8  # of cloth, to tell anything
_SLEEVES, _SLEEVES_ALONG = 0.045, 0.8
"""Of the cloth, beside the torso; of the height, the breadth at half of it: more only with sleeves.
Fitted to 40 rendered tops, of which it tells all, and to 15 photographs: docs/notes/places.md."""
_FOLDED, _COLLAR_ROWS, _COLLAR_WIDTH = 0.65, (0.05, 0.1), 0.5
"""Of the height, the breadth at half of it: more, and a garment that is narrow at its collar has
sleeves along its torso. Rows of the collar, of the height; its width, of that breadth."""
_HANGING = 0.75
"""Of the height: sleeves that reach lower, beside the torso, are long."""
_NEAR_HEM, _NARROWER = (0.75, 0.85), 0.85
"""Of the height, from above. Of the largest breadth: less, and sleeves that lie along the torso end
above; such long ones make a garment widest at their cuffs."""
BESIDE_SLEEVE = 0.18
"""Of the torso's breadth: what is nearer may be a wide hem."""
_SHORT = (0.1, 0.6)
"""Of a garment's height: such sleeves end above the elbow; shorter ones may be folded long ones.
Fitted to 12 photographs, 6 of short and 6 of long sleeves."""
_SLIM, _SHORT_OF_SLIM = 1.4, 1.4
"""Height in breadths of the torso: more, and no sleeve hangs along it. Reach of its short sleeves,
in the same: rendered ones to the elbow reach 1.0 to 1.2, long ones 1.5 and more."""
_BESIDE_TORSO, ABOVE_HEM = 0.04, 0.75
"""Of the torso's breadth: what is nearer is torso. Of the height: what is lower may be a skirt."""


def cut_cloth(
    picture: Float[Tensor, "g 3 h w"], outline: Float[Tensor, "g 16 12"] | None
) -> Float[Tensor, "g 4 h w"]:
    """The picture with 0 for its ground, and 1 where it shows cloth.

    Args:
        picture: garments on a plain ground, in [-1, 1]; the ground's colour is in the corner.
        outline: share of garment in each field; None: only the colour tells what is cloth.
    """
    ground = picture[:, :, :_CORNER, :_CORNER].mean(dim=(2, 3), keepdim=True)
    cloth = (picture - ground).abs().sum(dim=1, keepdim=True) > _FAR
    if outline is not None:
        size = (picture.shape[2], picture.shape[3])
        cloth |= F.interpolate(outline[:, None].float(), size, mode="bilinear") > _INSIDE
    shown = cloth.to(picture.dtype)
    return torch.cat([picture * shown, shown], dim=1)


def widen_cloth(cloth: Float[Tensor, "g 4 h w"]) -> Float[Tensor, "g 4 h w"]:
    """The picture with its cloth continued by a little, in the colours near its edge.

    Places are a few pixels off: at the edge of the body, and more on sleeves. The outermost pixels
    are replaced too, since they are mixed with the ground.

    Args:
        cloth: from ``cut_cloth``.
    """
    height = cloth.shape[2]
    size = 2 * max(1, round(_MIXED * height)) + 1
    inner = 1 - F.max_pool2d(1 - cloth[:, 3:], size, stride=1, padding=size // 2)
    cloth = cloth * inner
    size = 2 * max(1, round(_WIDER / 2 * height)) + 1
    for _ in range(2):
        wide = F.avg_pool2d(cloth, (size, 1), stride=1, padding=(size // 2, 0))
        wide = F.avg_pool2d(wide, (1, size), stride=1, padding=(0, size // 2))
        share = wide[:, 3:]
        shown = torch.cat([wide[:, :3] / share.clamp(min=1e-6), torch.ones_like(share)], dim=1)
        cloth = torch.where(cloth[:, 3:] > 0, cloth, shown * (share > 0))
    return cloth


def fill_ground(cloth: Float[Tensor, "g 4 h w"]) -> Float[Tensor, "g 4 h w"]:
    """The picture with cloth everywhere: the ground in the colours of the nearest cloth, blurred.

    Args:
        cloth: colours, and 1 or a share where there is cloth.
    """
    levels = [cloth]
    while max(levels[-1].shape[2:]) > 1:
        colours, share = levels[-1][:, :3], levels[-1][:, 3:]
        weighed = torch.cat([colours * share, share], dim=1)
        shrunk = F.avg_pool2d(weighed, 2, ceil_mode=True, count_include_pad=False)
        known = (shrunk[:, 3:] > 0).to(cloth.dtype)
        shown = shrunk[:, :3] / shrunk[:, 3:].clamp(min=1e-6)
        levels.append(torch.cat([shown * known, known], dim=1))
    filled = levels.pop()
    for level in reversed(levels):
        wide = F.interpolate(filled, level.shape[2:], mode="bilinear")
        filled = torch.where(level[:, 3:] > 0, level, wide)
    return torch.cat([filled[:, :3], torch.ones_like(cloth[:, 3:])], dim=1)


def has_sleeves(cloth: Float[Tensor, "g 1 h w"]) -> Bool[Tensor, " g"]:
    """Whether garments for the upper body have sleeves, by their outlines.

    Sleeves stand out beside the torso, or lie along it and make the whole as wide as it is high, or
    wide below a narrow collar.
    Places on arms are estimated for every garment, so a top without sleeves would get some.

    Args:
        cloth: 1 where the picture shows cloth.
    """
    found: list[bool] = []
    columns = (torch.arange(cloth.shape[3], device=cloth.device) + 0.5) / cloth.shape[3]
    for shown, (left, right) in zip(cloth[:, 0] > 0.5, torso_sides(cloth), strict=True):
        rows = shown[shown.any(dim=1)]
        if len(rows) < _LEAST_ROWS:
            found.append(True)
            continue
        margin = _BESIDE_TORSO * (right - left)
        beside = (columns < left - margin) | (columns > right + margin)
        sleeves = rows[: int(ABOVE_HEM * len(rows))][:, beside].sum() / rows.sum()
        breadth = rows[len(rows) // 2].sum() / len(rows)
        first, last = (int(share * len(rows)) for share in _COLLAR_ROWS)
        middle = rows[first, int((left + right) / 2 * cloth.shape[3])]
        narrow = bool(rows[last].sum() < _COLLAR_WIDTH * rows[len(rows) // 2].sum())
        is_folded = bool(breadth > _FOLDED) and bool(middle) and narrow
        found.append(bool(sleeves > _SLEEVES) or bool(breadth > _SLEEVES_ALONG) or is_folded)
    return torch.tensor(found, device=cloth.device)


def sleeve_length(cloth: Float[Tensor, "g 1 h w"]) -> Float[Tensor, " g"]:
    """How far sleeves reach from the shoulder, in heights of the garment; 0 where none stands out.

    Args:
        cloth: 1 where the picture shows cloth.
    """
    found: list[float] = []
    rows, columns = (
        torch.arange(size, device=cloth.device) + 0.5 for size in (cloth.shape[2], cloth.shape[3])
    )
    for shown, sides in zip(cloth[:, 0] > 0.5, torso_sides(cloth), strict=True):
        inside = rows[shown.any(dim=1)]
        if len(inside) < _LEAST_ROWS:
            found.append(0.0)
            continue
        top, height = float(inside[0]), float(inside[-1] - inside[0])
        margin = BESIDE_SLEEVE * float(sides[1] - sides[0]) * cloth.shape[3]
        reach = 0.0
        for side, sign in zip(sides, (-1, 1), strict=True):
            beside = sign * (columns - float(side) * cloth.shape[3])
            distance = (beside[None].square() + (rows[:, None] - top).square()).sqrt()
            is_sleeve = shown & (beside > margin) & (rows[:, None] < top + ABOVE_HEM * height)
            far = distance[is_sleeve]
            reach = max(reach, float(far.quantile(0.99)) if len(far) else 0.0)
        found.append(reach / height)
    return torch.tensor(found, device=cloth.device)


def has_long_sleeves(cloth: Float[Tensor, "g 1 h w"]) -> Bool[Tensor, " g"]:
    """Whether sleeves end below the elbow. Those that do not stand out are folded long ones.

    Args:
        cloth: 1 where the picture shows cloth.
    """
    length = sleeve_length(cloth)
    sides = torso_sides(cloth) * cloth.shape[3]
    heights = cloth[:, 0].amax(dim=2).sum(dim=1) / (sides[:, 1] - sides[:, 0]).clamp(min=1)
    is_short = length < _SHORT[1]
    is_short |= (heights > _SLIM) & (length * heights < _SHORT_OF_SLIM)
    is_short &= ~_hang_down(cloth)
    is_short &= (length > _SHORT[0]) | _end_above_hem(cloth)
    return has_sleeves(cloth) & ~is_short


def _end_above_hem(cloth: Float[Tensor, "g 1 h w"]) -> Bool[Tensor, " g"]:
    """Whether garments are narrower near their hem than above: sleeves along the torso ended."""
    found: list[bool] = []
    for shown in cloth[:, 0] > 0.5:
        rows = shown[shown.any(dim=1)].int()
        first, last = (int(share * len(rows)) for share in _NEAR_HEM)
        near, most = rows[first : last + 1], rows.sum(dim=1).max() if len(rows) else 0
        is_whole = bool((near.diff(dim=1).clamp(min=0).sum(dim=1) <= 1).all())  # no hand is there
        found.append(is_whole and bool((near.sum(dim=1) < _NARROWER * most).all()))
    return torch.tensor(found, device=cloth.device)


def _hang_down(cloth: Float[Tensor, "g 1 h w"]) -> Bool[Tensor, " g"]:
    """Whether something beside the torso, with a gap between, reaches ``_HANGING`` down."""
    found: list[bool] = []
    columns = (torch.arange(cloth.shape[3], device=cloth.device) + 0.5) / cloth.shape[3]
    for shown, (left, right) in zip(cloth[:, 0] > 0.5, torso_sides(cloth), strict=True):
        rows = shown[shown.any(dim=1)]
        row = rows[int(_HANGING * len(rows))] if len(rows) else shown[0]
        margin = BESIDE_SLEEVE * (right - left)
        beside = row & ((columns < left - margin) | (columns > right + margin))
        edges = torch.cat([columns[beside], left[None], right[None]])
        between = ~row & (columns > edges.min()) & (columns < edges.max())
        found.append(bool(beside.any() and between.any()))
    return torch.tensor(found, device=cloth.device)


def torso_sides(cloth: Float[Tensor, "g 1 h w"]) -> Float[Tensor, "g 2"]:
    """Where the torso of garments for the upper body begins and ends, x in [0, 1].

    From the rows of its lower half, where short sleeves have ended and long ones hang beside it. A
    sleeve may touch the torso in most of them.
    """
    sides: list[list[float]] = []
    width = cloth.shape[3]
    for shown in cloth[:, 0] > 0.5:
        rows = shown[shown.any(dim=1)]
        rows = rows[int(0.55 * len(rows)) : int(0.9 * len(rows))]
        columns = torch.arange(width, device=cloth.device)
        middle = int(columns[shown.any(dim=0)].float().mean()) if len(rows) else 0
        ground = torch.where(rows, -1, columns)
        left = ground.masked_fill(columns >= middle, -1).amax(dim=1) + 1
        right = torch.where(rows | (columns <= middle), width, columns).amin(dim=1)
        inside = rows[:, middle]
        if not inside.any():
            sides.append([0.0, 1.0])
            continue
        near = left[inside].float(), -right[inside].float()
        usual = [float(side.median()) for side in near]
        # rows without cloth beyond their side show no sleeve
        ends = rows.int().argmax(dim=1), rows.int().flip(1).argmax(dim=1) - width
        beside = [
            torch.where(end[inside] < side, side, -width)
            for end, side in zip(ends, near, strict=True)
        ]
        inner = [float(side.quantile(1 - _BESIDE_ROWS)) for side in beside]
        most = -_BESIDE_BREADTH * sum(usual)
        apart = [far if far - end > most else end for far, end in zip(inner, usual, strict=True)]
        is_hole = sum(apart) > _LEAST_BREADTH * sum(usual)  # as of a hand in front of a worn top
        sides.append([usual[0], -usual[1]] if is_hole else [apart[0], -apart[1]])
        sides[-1] = [side / width for side in sides[-1]]
    return torch.tensor(sides, device=cloth.device)


def clothed_cells(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    body: Float[Tensor, "b 4 t y x"],
    cloth: Float[Tensor, "g 4 h w"],
) -> tuple[Float[Tensor, "b t y x 3"], Float[Tensor, "b t y x 2 2"]]:
    """Places and slopes of cells; unknown on arms that the garment leaves bare.

    Those are arms in a garment without sleeves, and lower arms if its sleeves are short: places
    are estimated for every garment.

    Args:
        places: x, y, known.
        slopes: returned unchanged.
        body: of ``places.BODY_CHANNELS``.
        cloth: from ``cut_cloth``; each of g garments serves b / g consecutive rows.
    """
    group, times = body[:, 0], len(places) // len(cloth)
    bare = ~has_sleeves(cloth[:, 3:]).repeat_interleave(times)[:, None, None, None]
    bare = bare & (group >= ARMS[0]) & (group <= ARMS[1])
    is_short = ~has_long_sleeves(cloth[:, 3:]).repeat_interleave(times)[:, None, None, None]
    bare = bare | (is_short & (group >= LOWER_ARMS[0]) & (group <= LOWER_ARMS[1]))
    return torch.cat([places[..., :2], places[..., 2:] * ~bare[..., None]], dim=-1), slopes


def sleeves_on_hands(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    group: Float[Tensor, "b t y x"],
    hands: Float[Tensor, "b t y x"],
    cloth: Float[Tensor, "g 4 h w"],
) -> tuple[Float[Tensor, "b t y x 3"], Float[Tensor, "b t y x 2 2"], Float[Tensor, "b t y x"]]:
    """Hand cells that continue a long sleeve's: a sleeve may reach where DensePose sees a hand.

    Args:
        places: x, y, known.
        slopes: from ``places.slopes_of``.
        group: of each cell.
        hands: the group of the arm that a hand belongs to; 0 for cells that show none.
        cloth: from ``cut_cloth``; each of g garments serves b / g consecutive rows.

    Returns:
        The same with hand cells that count as lower arms, for at most ``_CUFF_CELLS`` cells.
    """
    is_long = has_long_sleeves(cloth[:, 3:]).repeat_interleave(len(places) // len(cloth))
    hands = hands * is_long[:, None, None, None] * (group == 0)
    for arm in LOWER_ARMS:
        own = ((group == arm) & (places[..., 2] > 0)).to(places.dtype)
        spread, steep = torch.cat([places[..., :2], own[..., None]], dim=-1), slopes
        for _ in range(_CUFF_CELLS):
            spread, steep = spread_places(spread, steep)
        taken = (hands == arm) & (spread[..., 2] > 0)
        places = torch.where(taken[..., None], spread, places)
        slopes = torch.where(taken[..., None, None], steep, slopes)
        group = torch.where(taken, float(arm), group)
    return places, slopes, group


def hem_reach(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    group: Float[Tensor, "b t y x"],
    cloth: Float[Tensor, "g 4 h w"],
) -> Float[Tensor, " b"]:
    """How many cells below the end of a torso its garment's hem lies, at most.

    Thighs in a squat point at the camera: places on them go on for too long.

    Args:
        places: x, y, known.
        slopes: from ``places.slopes_of``.
        group: of each cell.
        cloth: from ``cut_cloth``; each of g garments serves b / g consecutive rows.
    """
    down = slopes[..., 1, 1].masked_fill((group != TORSO) | (places[..., 2] <= 0), math.nan)
    usual = down.flatten(1).nanmedian(dim=1).values.clamp(min=_LEAST_SLOPE)
    return _below_torso(places, group, cloth).clamp(min=0) / usual.nan_to_num(_LEAST_SLOPE)


def _below_torso(
    places: Float[Tensor, "b t y x 3"], group: Float[Tensor, "b t y x"], cloth: Tensor
) -> Float[Tensor, " b"]:
    """What a garment has below the lowest place of a torso, in heights of its picture.

    Of all frames together: a hem that comes and goes would flicker.
    """
    torso = (group == TORSO) & (places[..., 2] > 0)
    lowest = torch.where(torso, places[..., 1], 0).amax(dim=(2, 3)).median(dim=1).values
    rows = torch.arange(cloth.shape[2], device=cloth.device) + 1
    end = (cloth[:, 3].amax(dim=2) * rows).amax(dim=1) / cloth.shape[2]
    return end.repeat_interleave(len(places) // len(cloth)) - lowest


def hem_on_legs(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    group: Float[Tensor, "b t y x"],
    cloth: Float[Tensor, "g 4 h w"],
) -> tuple[Float[Tensor, "b t y x 3"], Float[Tensor, "b t y x 2 2"], Float[Tensor, "b t y x"]]:
    """Thigh cells that continue the torso's, where a garment's hem is near the end of the torso.

    Legs' own places come from few long tops, and a pattern would break at the hips. Lower legs, in
    a squat as near to the torso, know nothing.

    Args:
        places: x, y, known.
        slopes: from ``places.slopes_of``.
        group: of each cell.
        cloth: from ``cut_cloth``; each of g garments serves b / g consecutive rows.

    Returns:
        The same with leg cells that count as torso, for at most ``_HEM_CELLS`` rows, or know
        nothing; unchanged for longer garments.
    """
    torso = (group == TORSO) & (places[..., 2] > 0)
    is_near = _below_torso(places, group, cloth) < _HEM_NEAR
    legs = (group >= FIRST_LEG) & is_near[:, None, None, None]
    alone = torch.cat([places[..., :2], torso[..., None].to(places.dtype)], dim=-1)
    spread, steep = alone, slopes
    for _ in range(_HEM_CELLS):
        spread, steep = spread_places(spread, steep)
    spread[..., 2] *= group <= THIGHS[1]
    return (
        torch.where(legs[..., None], spread, places),
        torch.where(legs[..., None, None], steep, slopes),
        torch.where(legs & (spread[..., 2] > 0), float(TORSO), group),
    )
