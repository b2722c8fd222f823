"""How wrong each frame's labels look, by evidence that the parser's labels do not come from.

A mask is made from labels, so whether it covers them says nothing about the labels themselves.
Each measure is a share of 0..1 per frame, near 0 where labels are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.clip import Tracks
from curation.perception.protocols import Person
from datasets.densepose import paste_iuv
from datasets.labels import GARMENT_LABELS, ParseLabel, among
from datasets.masks import RULES

P = ParseLabel
SIDE = 256  # pixels of a frame's longer side, about: enough to see faults
SHOULDERS, HIPS = [5, 6], [11, 12]  # rows of COCO keypoints
LEAST_TORSO = 0.4  # of the shoulders' distance: a shorter torso points at the camera
CHEST_END, WAIST = 0.6, 0.85  # of the way from shoulders to hips
BELOW_HEAD = 0.1  # of the torso below the shoulders: a head's label there is on the chest
BINS = 12  # of each colour channel
OWN = 0.6  # share of a colour's pixels on the person that the mask covers, for a garment's colour
ABOVE_SHARE = 0.15  # of its frequency below the waist: a colour rarer above it is another garment's
SAME = 7  # gray levels: a pixel that changes less shows the same
LEAST_SAME = 0.15  # of the garment: fewer unchanged pixels say little
NEAR = 0.05  # of the frame's longer side, around the mapped body
PIECE = 0.008  # of the frame's longer side: narrower strips are outlines
_LEVELS = np.arange(256)
_AXIS = np.clip(_LEVELS - 80, 0, 95) * BINS // 96  # colours lie around gray at 128
_BIN_PARTS = tuple(
    part.astype(np.int32) for part in (_LEVELS * BINS // 256 * BINS**2, _AXIS * BINS, _AXIS)
)


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """Where a person's trunk is, by keypoints."""

    shoulders: np.ndarray  # (2,) x, y of their middle
    hips: np.ndarray  # (2,)
    width: float  # between the shoulders

    @staticmethod
    def of(person: Person | None, step: int = 1) -> "Trunk | None":
        """In a picture of every ``step``-th pixel; None: nobody, or it points at the camera."""
        if person is None:
            return None
        points = person.keypoints[:, :2].astype(np.float64) / step
        ends = points[SHOULDERS].mean(0), points[HIPS].mean(0)
        width = float(np.hypot(*(points[SHOULDERS[0]] - points[SHOULDERS[1]])))
        length = float(np.hypot(*(ends[1] - ends[0])))
        if length < max(LEAST_TORSO * width, 1.0):
            return None
        return Trunk(shoulders=ends[0], hips=ends[1], width=width)

    def along(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each pixel: 0 at the shoulders to 1 at the hips; distance to the axis in pixels."""
        way = self.hips - self.shoulders
        length = float(np.hypot(*way))
        x = np.arange(width)[None] - self.shoulders[0]
        y = np.arange(height)[:, None] - self.shoulders[1]
        return (x * way[0] + y * way[1]) / length**2, np.abs(x * way[1] - y * way[0]) / length


def measure_faults(tracks: Tracks, category: str) -> dict[str, np.ndarray]:
    """The share of each fault in each frame, name -> (t,) in 0..1.

    ``unmapped``: 1 if the frame has no labels or no surface. ``head``: of the face's pixels, on
    the chest. ``hips``: of the upper garment's, below the waist in colours of another garment; or
    of the chest's cloth, called lower. ``outside``: the garment's colours beside the mask, over
    its area. ``jump``: of the garment's pixels that look as they did in the frame before, those
    that begin or cease to be the garment.

    Args:
        tracks: with people, iuv, boxes, parse and mask.
        category: of the mask.
    """
    assert tracks.parse is not None
    assert tracks.iuv is not None
    assert tracks.boxes is not None
    assert tracks.people is not None
    assert tracks.mask is not None
    step = max(1, round(max(tracks.frames.shape[1:3]) / SIDE))
    parse, mask = tracks.parse[:, ::step, ::step], tracks.mask[:, ::step, ::step] > 0
    height, width = parse.shape[1:]
    small = [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in tracks.frames]
    parts = paste_iuv(tracks.iuv[..., :1], tracks.boxes / step, height, width)[..., 0]
    trunks = [Trunk.of(person, step) for person in tracks.people]
    bins = np.stack([_bins(frame) for frame in small])
    garment = among(parse, GARMENT_LABELS[category])
    wanted = [int(part) for hull in RULES[category].hulls for part in hull]
    reach = NEAR * max(height, width)
    beside = np.stack([_near(is_wanted, reach) for is_wanted in among(parts, wanted)]) & ~mask
    in_own = own_colours(bins, garment & mask, (beside | (parts > 0)) & ~mask)[bins]
    return {
        "unmapped": unmapped(parse, parts),
        "head": head_on_chest(parse, trunks),
        "hips": beyond_hips(parse, bins, trunks),
        "outside": colours_outside(in_own & beside, garment),
        "jump": jumps(small, garment, in_own),
    }


def unmapped(parse: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """1 for each frame without any label, or without any part of the body, (t,)."""
    pairs = zip(parse, parts, strict=True)
    return np.array([float(not (labels.any() and body.any())) for labels, body in pairs])


def head_on_chest(parse: np.ndarray, trunks: list[Trunk | None]) -> np.ndarray:
    """Share of the face's pixels that lie below the shoulders, (t,)."""
    shares = np.zeros(len(parse))
    for row, (labels, trunk) in enumerate(zip(parse, trunks, strict=True)):
        face = labels == P.FACE
        if trunk is not None and face.any():
            along, aside = trunk.along(*labels.shape)
            on_chest = (along > BELOW_HEAD) & (along < 1) & (aside < 0.6 * trunk.width)
            shares[row] = (face & on_chest).sum() / face.sum()
    return shares


def beyond_hips(parse: np.ndarray, bins: np.ndarray, trunks: list[Trunk | None]) -> np.ndarray:
    """Share of a garment's labels on the other side of the hips, in the other's colours, (t,).

    A tunic has one colour above and below the waist; shorts that are called upper do not.
    """
    places = [None if trunk is None else trunk.along(*parse.shape[1:]) for trunk in trunks]
    above, below, lower = (np.zeros(BINS**3) for _ in range(3))
    for labels, colours, place in zip(parse, bins, places, strict=True):
        if place is None:
            continue
        upper, along = labels == P.UPPER, place[0]
        above += np.bincount(colours[upper & (along < CHEST_END)], minlength=BINS**3)
        below += np.bincount(colours[upper & (along > WAIST)], minlength=BINS**3)
        is_lower = (labels == P.LOWER) & (along > WAIST)
        lower += np.bincount(colours[is_lower], minlength=BINS**3)
    above, below, lower = (
        _spread(counts) / max(counts.sum(), 1) for counts in (above, below, lower)
    )
    is_other = above < ABOVE_SHARE * below
    if lower.any():  # in the colours of what is called lower elsewhere
        is_other &= lower > above
    shares = np.zeros(len(parse))
    for row, (labels, colours, place) in enumerate(zip(parse, bins, places, strict=True)):
        if place is None:
            continue
        (along, aside), trunk = place, trunks[row]
        assert trunk is not None
        upper = labels == P.UPPER
        sunk = _opened(upper & (along > WAIST) & is_other[colours])
        chest = (along > 0.1) & (along < CHEST_END) & (aside < 0.4 * trunk.width)
        cloth = chest & among(labels, (P.UPPER, P.LOWER))
        risen = _opened(cloth & (labels == P.LOWER))
        shares[row] = max(
            sunk.sum() / max(np.count_nonzero(upper), 1),
            risen.sum() / max(np.count_nonzero(cloth), 1),
        )
    return shares


def own_colours(bins: np.ndarray, inside: np.ndarray, elsewhere: np.ndarray) -> np.ndarray:
    """Which colours are the garment's own in a clip, (colours,) bool.

    Args:
        bins: (t, height, width) colours.
        inside: (t, height, width) bool: the garment, where the mask covers it.
        elsewhere: (t, height, width) bool: on the body or beside it, outside the mask. Trousers
            in a shirt's colour are not missed pieces of the shirt.
    """
    counts, others = (
        np.bincount(bins[where], minlength=BINS**3).astype(np.float64)
        for where in (inside, elsewhere)
    )
    smooth, smooth_others = _spread(counts), _spread(others)
    is_own = smooth > OWN * (smooth + smooth_others)
    return is_own & (counts > 1e-3 * counts.sum())


def colours_outside(found: np.ndarray, garment: np.ndarray) -> np.ndarray:
    """What was found of the garment's colours outside the mask, over the garment's area, (t,).

    Args:
        found: (t, height, width) bool.
        garment: (t, height, width) bool, by its labels.
    """
    pieces = np.array([_opened(frame).sum() for frame in found])
    return np.minimum(pieces / np.maximum(garment.sum(axis=(1, 2)), 1), 1.0)


def jumps(frames: Sequence[np.ndarray], garment: np.ndarray, in_own: np.ndarray) -> np.ndarray:
    """Share of the garment's unchanged pixels at which its label begins or ends, (t,).

    Each frame is compared with the one before; the first one has 0.

    Args:
        frames: RGB (height, width, 3) uint8.
        garment: (t, height, width) bool, by its labels.
        in_own: (t, height, width) bool: pixels in the garment's own colours. Where they are that
            before and after, nothing has changed but a moving pattern.
    """
    shares = np.zeros(len(frames))
    before = None
    for row, (frame, now) in enumerate(zip(frames, garment, strict=True)):
        smooth = cv2.GaussianBlur(frame, (0, 0), 2.0)
        if before is not None:
            red, green, blue = cv2.split(cv2.absdiff(smooth, before[0]))
            is_same = cv2.max(cv2.max(red, green), blue) < SAME
            is_same |= in_own[row] & in_own[row - 1]
            either = now | before[1]
            area = max((either & is_same).sum(), LEAST_SAME * either.sum(), 1)
            changed = _opened((now != before[1]) & is_same)
            shares[row] = min(changed.sum() / area, 1.0)
        before = smooth, now
    return shares


def _bins(frame: np.ndarray) -> np.ndarray:
    """Colour bin of each pixel of a lightly smoothed frame, (height, width)."""
    lab = cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 1.0), cv2.COLOR_RGB2LAB)
    lightness, a, b = (
        table[np.asarray(plane, np.uint8)]
        for table, plane in zip(_BIN_PARTS, cv2.split(lab), strict=True)
    )
    return lightness + a + b


def _spread(counts: np.ndarray) -> np.ndarray:
    """A histogram (bins,) mixed with its neighbours."""
    cube = counts.reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.pad(cube, [(int(a == axis),) * 2 for a in range(3)], mode="edge")
        low, middle, high = (np.take(padded, range(s, s + BINS), axis) for s in range(3))
        cube = (low + 2 * middle + high) / 4
    return cube.ravel()


def _near(region: np.ndarray, reach: float) -> np.ndarray:
    if not region.any():
        return region
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3) <= reach


def _opened(region: np.ndarray) -> np.ndarray:
    """Without strips: labels are off by a pixel or two along every outline."""
    side = 2 * max(1, round(PIECE * max(region.shape) / 2)) + 1
    kernel = np.ones((side, side), np.uint8)
    return cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
