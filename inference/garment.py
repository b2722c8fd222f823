"""A garment from a user's file: read, cut out of its ground, centred on a plain light one.

The network learns from garments that curation's ``garments`` stage put on a plain ground; a
product photo, or what somebody wears in a photo or a video, has to look like that before it is
encoded.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from configs.errors import ConfigError
from curation.perception.protocols import Perception
from curation.stages.garments import GROUND, GarmentConfig
from inference.errors import GarmentUnreadable
from inference.worn_garment import GarmentSource, worn_in_photo, worn_in_video

KINDS = ("auto", "product", "worn")
_WORK_SIZE = 320  # longer side while segmenting, px: GrabCut's cost grows with the area
_BORDER_SHARE = 0.03  # width of the frame whose colours stand for the ground
_NUM_GROUND_COLOURS = 4  # clusters of the border: cloth, its shadow, floor, wall
_GRABCUT_STEPS = 4
_AREA_RANGE = (0.04, 0.97)  # share of the photo that a garment can cover; outside: not cut out

_logger = logging.getLogger(__name__)


def read_image(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image file, turned upright as its EXIF data says.

    Returns:
        RGB (height, width, 3) uint8, and alpha (height, width) uint8 or None if there is none.

    Raises:
        GarmentUnreadable: the file is missing or is no image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not Path(path).is_file():
        raise GarmentUnreadable(
            f"garment {path} does not exist; give an image file (png, jpg, webp)"
        )
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            has_alpha = "A" in upright.getbands() or "transparency" in upright.info
            pixels = np.asarray(upright.convert("RGBA" if has_alpha else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise GarmentUnreadable(
            f"garment {path} is no image that can be read; give a png, jpg or webp file"
        ) from error
    alpha = pixels[..., 3] if has_alpha else None
    if alpha is not None and alpha.min() > 250:
        alpha = None
    return np.ascontiguousarray(pixels[..., :3]), alpha


def prepare_garment(
    garment: str | Path,
    height: int,
    width: int,
    category: str = "upper",
    kind: str = "auto",
    perception: Callable[[], Perception] | None = None,
) -> np.ndarray:
    """Read, cut out and centre a garment.

    Args:
        garment: an image file; or ``video.mp4@3.2``, what is worn 3.2 s into a video.
        height: of the result, px.
        width: likewise.
        category: what of a worn outfit is meant: upper, lower or overall.
        kind: of a photo: product, the garment alone; worn, by somebody; auto, worn if somebody is
            surely in it.
        perception: gives the models to look with, where they are needed; None takes every photo
            for a product's.

    Returns:
        RGB (height, width, 3) uint8 on a plain ground of gray level ``GROUND``.

    Raises:
        ConfigError: no such kind.
        VideoUnreadable: the video is none.
        GarmentUnreadable: the file is missing or is no image, or the garment is not to be seen.
    """
    if kind not in KINDS:
        raise ConfigError(f"garment_kind={kind!r}; one of {', '.join(KINDS)} is expected")
    source = GarmentSource.read(garment)
    if source.time is not None:
        if perception is None:
            raise ConfigError(f"garment {garment}: a video's garment needs perception")
        return centre_on_ground(*worn_in_video(source, category, perception()), height, width)
    image, alpha = read_image(source.path)
    outline = None
    if alpha is not None:
        outline = np.where(alpha > 127, 255, 0).astype(np.uint8)
        if not outline.any():
            raise GarmentUnreadable(
                f"garment {garment} is transparent everywhere; nothing is left to put on",
                plain="This garment picture is transparent everywhere; nothing is left to put on.",
            )
        image = np.where(outline[..., None] > 0, image, np.uint8(GROUND))
    worn = None
    if kind != "product" and perception is not None:
        worn = worn_in_photo(image, category, perception())
    if worn is not None:
        return centre_on_ground(*worn, height, width)
    if kind == "worn":
        raise GarmentUnreadable(
            f"garment {garment}: nobody is to be seen wearing {category} clothes",
            plain="Nobody is to be seen wearing such clothes in this picture.",
        )
    mask = cut_out(image) if outline is None else outline
    return centre_on_ground(image, mask, height, width)


def cut_out(image: np.ndarray) -> np.ndarray:
    """Segment one garment lying or hanging on a ground that fills the photo's border.

    Colours far from those of the border seed GrabCut (Rother et al. 2004), which then finds the
    outline. Where that leaves next to nothing or everything, the whole photo counts as garment.

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
            "no garment stands out from its ground (%.0f%% of the photo); it is used whole",
            100 * share,
        )
        return np.full((height, width), 255, np.uint8)
    grown = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(grown > 127, 255, 0).astype(np.uint8)


def centre_on_ground(image: np.ndarray, mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale the garment to fit, its proportions kept, and put it in the middle of a plain ground.

    Args:
        image: RGB (height, width, 3) uint8.
        mask: (height, width) uint8, 255 = garment; not empty.
        height: of the result, px.
        width: of the result, px.
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
    blended = crop * weight + GROUND * (1 - weight)
    canvas[y : y + size[1], x : x + size[0]] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return canvas


def _seed(small: np.ndarray) -> np.ndarray:
    """GrabCut's first guess from the distance to the colours of the border."""
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = small.shape[:2]
    band = max(2, round(_BORDER_SHARE * max(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    colours = _border_colours(lab[border])
    weights = np.array([0.5, 1.0, 1.0], np.float32)  # shadows change L more than a and b
    distance = np.linalg.norm((lab[:, :, None] - colours) * weights, axis=-1).min(-1)
    level, _ = cv2.threshold(
        np.clip(distance * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    far = cv2.morphologyEx((distance * 4 > level).astype(np.uint8), cv2.MORPH_OPEN, _disc(3))
    guess = np.where(far > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    core = cv2.erode(far, _disc(9))
    guess[core > 0] = cv2.GC_FGD
    guess[border & (far == 0)] = cv2.GC_BGD
    return guess


def _border_colours(pixels: np.ndarray) -> np.ndarray:
    """Colours of the border's larger clusters: a garment that touches the border is a small one."""
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
    """GrabCut, then one piece without holes, (height, width) uint8."""
    if not np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        return np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    model = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, guess, (0, 0, 1, 1), *model, _GRABCUT_STEPS, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = _without_border_pieces(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(5)))
    united = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(17))  # wider than a stripe
    contours, _ = cv2.findContours(united, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    return filled


def _without_border_pieces(mask: np.ndarray) -> np.ndarray:
    """Drop pieces at the photo's border (furniture, shadows), unless one is the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else 0
    dropped = np.setdiff1d(edge, [largest])
    return np.where(np.isin(labels, dropped), 0, mask).astype(np.uint8)


def _disc(size: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
