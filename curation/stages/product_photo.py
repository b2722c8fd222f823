"""Product photos: the garment cut out of its background and centred on the plain light one.

The network learns from garments that the ``garments`` stage cut out of frames and placed on a plain
background; every product photo shown to it has to look the same: in training on image pairs, in
benchmarks, and at try-on.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from configs.errors import DataError
from curation.stages.garment_gaps import SHADOWS, disc, missed_gaps, upright_gaps
from curation.stages.garment_pieces import (
    common_colours,
    without_border_pieces,
    without_strange_pieces,
)
from curation.stages.garments import GROUND, GarmentConfig
from curation.stages.plain_ground import cut_on_plain_ground

_WORK_SIZE = 320  # longer side while segmenting, px: GrabCut's cost grows with the area
_BORDER_SHARE = 0.03  # width of the border whose colours represent the background
_GRABCUT_STEPS = 4
OPAQUE = 250  # alpha; a photo above this everywhere is not transparent
_SEEN = 8  # alpha; a photo below this everywhere shows nothing
_AREA_RANGE = (0.04, 0.97)  # plausible garment share of the photo; outside: not cut out
_THIN_STRIPES = 0.7  # of what GrabCut finds: less is left without thin lines, which are stripes


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


class ProductPicture(NamedTuple):
    """A product photo laid out as the ``garments`` stage lays out worn garments."""

    picture: np.ndarray  # RGB (height, width, 3) uint8 on gray level ``GROUND``
    mask: np.ndarray  # (height, width) uint8, 255 = garment
    is_whole: bool  # no garment stands out: the whole photo was taken, ground and all


def lay_out_product(path: Path, height: int, width: int) -> ProductPicture:
    """Read, cut out and lay out a product photo.

    Raises:
        DataError: of ``read_photo``, or it is fully transparent.
    """
    image, outline = read_photo(path)
    if outline is not None and not outline.any():
        raise DataError(f"{path} is fully transparent; give a photo that shows the garment")
    mask = cut_out(image) if outline is None else outline
    laid = centre_on_ground(image, whole(image) if mask is None else mask, height, width)
    return ProductPicture(*laid, is_whole=mask is None)


def whole(image: np.ndarray) -> np.ndarray:
    """The mask of a photo that is cloth throughout."""
    return np.full(image.shape[:2], 255, np.uint8)


def cut_out(image: np.ndarray) -> np.ndarray | None:
    """Segment one garment on a background that fills the photo's border.

    Colours far from those of the border seed GrabCut (Rother et al. 2004), which finds the outline.
    On a plain ground, cloth in its colours that GrabCut left out is added by ``plain_ground``.

    Args:
        image: RGB (height, width, 3) uint8.

    Returns:
        (height, width) uint8, 255 = garment. None if no garment stands out: next to nothing differs
        from the border, as in a close-up of cloth, or everything does.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _WORK_SIZE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    mask = _cut_small(small)
    if not _is_plausible(float(mask.mean()) / 255):
        return None
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


def _cut_small(small: np.ndarray) -> np.ndarray:
    """``cut_out`` of a small photo; nothing or everything where no garment stands out."""
    mask = _refine(small, _seed(small))
    plain = cut_on_plain_ground(small)
    if plain is None or not _is_plausible(float(plain.outline.mean()) / 255):
        return mask
    if not _is_plausible(float(mask.mean()) / 255):
        return plain.outline
    return plain.completed(mask)


def _is_plausible(share: float) -> bool:
    return _AREA_RANGE[0] <= share <= _AREA_RANGE[1]


def _seed(small: np.ndarray) -> np.ndarray:
    """GrabCut's first guess from the distance to the colours of the border."""
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = small.shape[:2]
    band = max(2, round(_BORDER_SHARE * max(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    colours = common_colours(lab[border])
    distance = np.linalg.norm((lab[:, :, None] - colours) * SHADOWS, axis=-1).min(-1)
    level, _ = cv2.threshold(
        np.clip(distance * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    far = cv2.morphologyEx((distance * 4 > level).astype(np.uint8), cv2.MORPH_OPEN, disc(3))
    guess = np.where(far > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    core = cv2.erode(far, disc(9))
    guess[core > 0] = cv2.GC_FGD
    guess[border & (far == 0)] = cv2.GC_BGD
    return guess


def _refine(small: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """GrabCut, then one piece without holes but for gaps, (height, width) uint8."""
    is_garment = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if is_garment.all() or not is_garment.any():  # no ground to tell a garment from, or no garment
        return np.full(small.shape[:2], 255 * is_garment.all(), np.uint8)
    cv2.setRNGSeed(0)
    model = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, guess, (0, 0, 1, 1), *model, _GRABCUT_STEPS, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc(5))
    is_striped = opened.sum() < _THIN_STRIPES * mask.sum()
    mask = without_border_pieces(mask if is_striped else opened)
    mask = without_strange_pieces(mask, cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
    united = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc(17))  # wider than a stripe
    contours, _ = cv2.findContours(united, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    gaps = upright_gaps(filled > 0, (filled > 0) & (mask == 0))
    return np.where(gaps | missed_gaps(small, filled > 0), np.uint8(0), filled)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
