"""Product photos: the garment cut out of its background and centred on the plain light one.

The network learns from garments that the ``garments`` stage cut out of frames and placed on a plain
background; every product photo shown to it has to look the same: in training on image pairs, in
benchmarks, and at try-on.
"""

import logging
from pathlib import Path

import cv2
import numpy as np

from configs.errors import DataError
from curation.stages.garments import GROUND, GarmentConfig

_WORK_SIZE = 320  # longer side while segmenting, px: GrabCut's cost grows with the area
_BORDER_SHARE = 0.03  # width of the border whose colours represent the background
_NUM_GROUND_COLOURS = 4  # clusters of the border: cloth, its shadow, floor, wall
_GRABCUT_STEPS = 4
OPAQUE = 250  # alpha; a photo above this everywhere is not transparent
_SEEN = 8  # alpha; a photo below this everywhere shows nothing
_AREA_RANGE = (0.04, 0.97)  # plausible garment share of the photo; outside: not cut out
_GAP_AREA = 0.002  # of the garment: smaller holes are specks
_GAP_UPRIGHT = 1.6  # height in widths of a gap between sleeve and torso; a badge is as wide as high
_GAP_BESIDE = 0.15  # of the garment's width, from its middle: a zip or a panel is nearer
_MOST_GAPS = 5  # more pieces in the ground's colours are a pattern
_LIKE_GROUND = 0.6  # of the distance to the garment's colour: the ground's is nearer
_GROUND_REACH = 0.08  # of the picture's longer side: a gap looks like the ground so far around it
_MOST_ALIKE = 2.0  # of the gaps' area: more in the ground's colours is a pattern
_THIN_STRIPES = 0.7  # of what GrabCut finds: less is left without thin lines, which are stripes
_STRANGE = 25.0  # weighted Delta E to the colours of the largest piece: no part of the garment
_STRANGE_AREA = 0.03  # of the largest piece, at most
_SHADOWS = np.array([0.5, 1.0, 1.0], np.float32)  # they change L more than a and b

_logger = logging.getLogger(__name__)


def read_photo(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image file, rotated as its EXIF data says, in sRGB.

    Returns:
        RGB (height, width, 3) uint8, ``GROUND`` where it is transparent, and the outline (height,
        width) uint8 from its transparency, 255 = garment; None if nothing is transparent.

    Raises:
        DataError: the file is missing or is not an image.
    """
    from datasets.pictures import read_picture  # Pillow: workers that only judge start without it

    image, alpha = read_picture(path)
    if alpha is None or alpha.min() > OPAQUE:
        return image, None
    outline = np.where(alpha > _edge(alpha), np.uint8(255), np.uint8(0))
    return np.where(outline[..., None] > 0, image, np.uint8(GROUND)), outline


def _edge(alpha: np.ndarray) -> int:
    """The alpha above which a pixel is cloth: half of opaque, or of the most that is there."""
    most = int(alpha.max())
    return min(127, most // 2) if most >= _SEEN else 255


def lay_out_product(path: Path, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A product photo laid out as the ``garments`` stage lays out worn garments.

    Returns:
        As ``centre_on_ground``.

    Raises:
        DataError: of ``read_photo``, or it is fully transparent.
    """
    image, outline = read_photo(path)
    if outline is not None and not outline.any():
        raise DataError(f"{path} is fully transparent; give a photo that shows the garment")
    mask = cut_out(image) if outline is None else outline
    return centre_on_ground(image, mask, height, width)


def cut_out(image: np.ndarray) -> np.ndarray:
    """Segment one garment on a background that fills the photo's border.

    Colours far from those of the border seed GrabCut (Rother et al. 2004), which finds the outline.
    If that leaves next to nothing or everything, the whole photo counts as garment.

    Args:
        image: RGB (height, width, 3) uint8.

    Returns:
        (height, width) uint8, 255 = garment.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _WORK_SIZE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    mask = _refine(small, _seed(small))
    share = float(mask.mean()) / 255
    if not _AREA_RANGE[0] <= share <= _AREA_RANGE[1]:
        _logger.warning(
            "the garment does not stand out from its background (%.0f%% of the photo); "
            "using the whole photo",
            100 * share,
        )
        return np.full((height, width), 255, np.uint8)
    grown = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(grown > 127, 255, 0).astype(np.uint8)


def centre_on_ground(
    image: np.ndarray, mask: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scale the garment to fit, keeping its proportions, and centre it on a plain background.

    Args:
        image: RGB (height, width, 3) uint8.
        mask: (height, width) uint8, 255 = garment; not empty.
        height: of the result, px.
        width: of the result, px.

    Returns:
        RGB (height, width, 3) uint8 on gray level ``GROUND``, and mask (height, width) uint8.
    """
    top, left, bottom, right = _bounds(mask)
    crop, alpha = image[top:bottom, left:right], mask[top:bottom, left:right]
    room = 1 - 2 * GarmentConfig().margin  # as in the training clips' pictures
    scale = min(room * height / crop.shape[0], room * width / crop.shape[1])
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.resize(crop, size, interpolation=interpolation).astype(np.float32)
    weight = cv2.resize(
        alpha, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    weight = weight.astype(np.float32)[..., None] / 255
    y, x = (height - size[1]) // 2, (width - size[0]) // 2
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    placed = np.zeros((height, width), np.uint8)
    blended = crop * weight + GROUND * (1 - weight)
    canvas[y : y + size[1], x : x + size[0]] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    placed[y : y + size[1], x : x + size[0]] = np.where(weight[..., 0] > 0.5, 255, 0)
    return canvas, placed


def _seed(small: np.ndarray) -> np.ndarray:
    """GrabCut's first guess from the distance to the colours of the border."""
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = small.shape[:2]
    band = max(2, round(_BORDER_SHARE * max(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    colours = _common_colours(lab[border])
    distance = np.linalg.norm((lab[:, :, None] - colours) * _SHADOWS, axis=-1).min(-1)
    level, _ = cv2.threshold(
        np.clip(distance * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    far = cv2.morphologyEx((distance * 4 > level).astype(np.uint8), cv2.MORPH_OPEN, _disc(3))
    guess = np.where(far > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    core = cv2.erode(far, _disc(9))
    guess[core > 0] = cv2.GC_FGD
    guess[border & (far == 0)] = cv2.GC_BGD
    return guess


def _common_colours(pixels: np.ndarray) -> np.ndarray:
    """Colours of the larger clusters: of the border, one that a garment touches is small."""
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    cv2.setRNGSeed(0)
    start = np.linspace(0, _NUM_GROUND_COLOURS - 1e-3, len(pixels)).astype(np.int32)[:, None]
    _, labels, centres = cv2.kmeans(
        np.ascontiguousarray(pixels),
        _NUM_GROUND_COLOURS,
        start,
        criteria,
        1,
        cv2.KMEANS_USE_INITIAL_LABELS,
    )
    shares = np.bincount(labels[:, 0], minlength=_NUM_GROUND_COLOURS) / len(pixels)
    return centres[shares >= min(0.15, shares.max())]


def _refine(small: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """GrabCut, then one piece without holes but for gaps, (height, width) uint8."""
    is_garment = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if is_garment.all() or not is_garment.any():  # no ground to tell a garment from, or no garment
        return np.full(small.shape[:2], 255 * is_garment.all(), np.uint8)
    cv2.setRNGSeed(0)
    model = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, guess, (0, 0, 1, 1), *model, _GRABCUT_STEPS, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(5))
    is_striped = opened.sum() < _THIN_STRIPES * mask.sum()
    mask = _without_border_pieces(mask if is_striped else opened)
    mask = _without_strange_pieces(mask, cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
    united = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(17))  # wider than a stripe
    contours, _ = cv2.findContours(united, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    gaps = _gaps(filled > 0, (filled > 0) & (mask == 0)) | _missed_gaps(small, filled > 0)
    return np.where(gaps, np.uint8(0), filled)


def _missed_gaps(small: np.ndarray, garment: np.ndarray) -> np.ndarray:
    """Gaps that GrabCut took for cloth, as in checks with lines in the ground's colour.

    They look like the ground nearby, and less like the garment.

    Args:
        small: RGB (height, width, 3) uint8.
        garment: (height, width) bool, without holes.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32)
    ground = cv2.erode((~garment).astype(np.uint8), _disc(5)).astype(np.float32)
    core = cv2.erode(garment.astype(np.uint8), _disc(25)) > 0
    if not core.any():
        return np.zeros(garment.shape, bool)
    spread = _GROUND_REACH * max(garment.shape)
    share = cv2.GaussianBlur(ground, (0, 0), spread)
    around = cv2.GaussianBlur(lab * ground[..., None], (0, 0), spread)
    around /= np.maximum(share, 1e-6)[..., None]
    weights = np.square(_SHADOWS) * (0.2, 1, 1)  # a gap lies in the shadow of both sides
    to_ground = np.sqrt((np.square(lab - around) * weights).sum(axis=-1))
    to_cloth = np.sqrt((np.square(lab - np.median(lab[core], axis=0)) * weights).sum(axis=-1))
    ratio = np.where(garment & (share > 1e-4), to_ground / np.maximum(to_cloth, 1e-6), np.inf)
    alike = cv2.morphologyEx((ratio < _LIKE_GROUND).astype(np.uint8), cv2.MORPH_OPEN, _disc(3))
    alike = cv2.morphologyEx(alike, cv2.MORPH_CLOSE, _disc(9)) > 0
    gaps = _gaps(garment, alike & garment)
    if np.count_nonzero(alike) > _MOST_ALIKE * np.count_nonzero(gaps & alike):
        return np.zeros(garment.shape, bool)
    return gaps


def _gaps(garment: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Where ground shows between sleeves and torso, (height, width) bool.

    Closing unites stripes in the ground's colours with a garment, and such gaps as well. A gap is
    upright and beside the middle, and there are few of them.

    Args:
        garment: (height, width) bool, without holes.
        ground: (height, width) bool, what of it has the ground's colours.
    """
    _, pieces, stats, centres = cv2.connectedComponentsWithStats(ground.astype(np.uint8))
    labels = np.asarray(pieces, np.int32)
    sizes = stats[:, cv2.CC_STAT_AREA]
    is_piece = sizes > _GAP_AREA * np.count_nonzero(garment)
    is_piece[0] = False
    columns = np.flatnonzero(garment.any(axis=0))
    if not is_piece.any() or is_piece.sum() > _MOST_GAPS:
        return np.zeros(garment.shape, bool)
    width, middle = len(columns), float(columns.mean())
    is_gap = stats[:, cv2.CC_STAT_HEIGHT] >= _GAP_UPRIGHT * stats[:, cv2.CC_STAT_WIDTH]
    is_gap &= is_piece & (np.abs(centres[:, 0] - middle) > _GAP_BESIDE * width)
    # its outermost pixels are mixed
    pieces = is_gap[labels.astype(np.int64)].astype(np.uint8)
    return np.asarray(cv2.dilate(pieces, _disc(3))) > 0


def _without_border_pieces(mask: np.ndarray) -> np.ndarray:
    """Drop pieces at the photo's border (furniture, shadows), unless one is the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else 0
    dropped = np.setdiff1d(edge, [largest])
    return np.where(np.isin(labels, dropped), 0, mask).astype(np.uint8)


def _without_strange_pieces(mask: np.ndarray, lab: np.ndarray) -> np.ndarray:
    """Drop small pieces in none of the largest one's colours: spots of light, things nearby."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return mask
    largest = 1 + int(areas.argmax())
    colours = _common_colours(lab[labels == largest].astype(np.float32))
    kept = mask.copy()
    for number in 1 + np.flatnonzero(areas < _STRANGE_AREA * areas.max()):
        own = np.median(lab[labels == number].astype(np.float32), axis=0)
        if np.linalg.norm((own - colours) * _SHADOWS, axis=-1).min() > _STRANGE:
            kept[labels == number] = 0
    return kept


def _disc(size: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
