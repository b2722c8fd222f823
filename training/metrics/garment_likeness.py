"""Garment likeness: is it the same garment to a network that knows pictures?

Both sides are cut out by their outline and laid on white: the garment's picture, and in every frame
the worn garment's region; pieces below 2 % of either are dropped. Each crop is a square with the
garment in the middle and a rim, scaled to 224 x 224. The likeness of frame t is the cosine of the
two crops' DINOv2 features (ViT-B/14, the class token after the last norm)::

    s_t = <f(crop_t), f(picture)> / (|f(crop_t)| |f(picture)|)        in [-1, 1], 1 = the same crop

Reported are its mean over the frames, and its lowest frame: a garment that is lost for half a
second hardly moves the mean.

Source: the features are those of Oquab et al. 2023 (DINOv2). Similarity of self-supervised features
as the fidelity of a subject is Ruiz et al. 2023 (DreamBooth, "DINO"); garments cut out on white are
compared in OmniTry (2025, "M-DINO"). Crop, network and size differ between papers, so their numbers
are not comparable with these. A photograph of a garment and the same garment on a body differ, so a
right garment does not have 1: compare with the rows "source copied" and "mean garment colour".
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.garment_picture import garment_outline
from training.metrics.metric import (
    NOT_PAINTED,
    FeaturesOfPictures,
    FrameValues,
    Metric,
    VideoInputs,
    VideoNumber,
)

SIDE = 224
RIM = 0.05  # of the garment's longer side, white, on each side of the crop
SPECK = 0.02  # of the garment's pixels; smaller pieces apart from it are faults of the outline
WHITE = 255


def crop_on_white(
    picture: UInt8[np.ndarray, "h w 3"], area: Bool[np.ndarray, "h w"], side: int = SIDE
) -> UInt8[np.ndarray, "side side 3"]:
    """The area alone on white, in the middle of a square; its aspect is kept.

    Args:
        picture: RGB.
        area: has at least one True pixel.
        side: of the crop, pixels.
    """
    area = _without_specks(area)
    left, top, wide, high = cv2.boundingRect(area.astype(np.uint8))
    box = (slice(top, top + high), slice(left, left + wide))
    cut = np.where(area[box][..., None], picture[box], np.uint8(WHITE))
    outer = round(max(wide, high) * (1 + 2 * RIM))
    square = np.full((outer, outer, 3), WHITE, dtype=np.uint8)
    above, before = (outer - high) // 2, (outer - wide) // 2
    square[above : above + high, before : before + wide] = cut
    method = cv2.INTER_AREA if outer > side else cv2.INTER_LINEAR
    return cv2.resize(square, (side, side), interpolation=method)


def _without_specks(area: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The area without pieces below ``SPECK`` of it: far from the rest they would shrink it."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8))
    if count <= 2:  # the ground, and one piece
        return area
    sizes = stats[:, cv2.CC_STAT_AREA]
    kept = sizes >= SPECK * sizes[1:].sum()
    kept[0] = False
    return kept[pieces] if kept.any() else area


def garment_likeness(
    result: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    picture: Float[np.ndarray, " dim"],
    features: FeaturesOfPictures,
) -> FrameValues:
    """Cosine of each frame's garment with the garment's picture.

    Args:
        result: RGB frames.
        region: where the garment is in them.
        picture: the feature of the picture's crop, of length 1.
        features: the network.

    Returns:
        In [-1, 1] per frame; NaN without region.
    """
    values = np.full(len(result), np.nan)
    (worn,) = np.nonzero(region.any(axis=(1, 2)))
    if len(worn):
        crops = np.stack([crop_on_white(result[t], region[t]) for t in worn])
        values[worn] = features.of(crops) @ picture
    return values


def _asked(inputs: VideoInputs) -> Float[np.ndarray, " dim"]:
    assert inputs.features is not None
    crop = crop_on_white(inputs.garment, garment_outline(inputs.garment))
    return inputs.features.of(crop[None])[0]


def _likeness(inputs: VideoInputs) -> FrameValues:
    assert inputs.features is not None
    asked = inputs.once_per_item(_asked)
    return garment_likeness(inputs.prediction, inputs.garment_region, asked, inputs.features)


def _lowest(inputs: VideoInputs) -> VideoNumber:
    values = inputs.once(_likeness)
    known = values[~np.isnan(values)]
    return VideoNumber(value=float(known.min()) if len(known) else None)


GARMENT_LIKENESS = Metric(
    key="garment_likeness",
    label="garment likeness",
    is_higher_better=True,
    definition="cosine of DINOv2 features (ViT-B/14, class token; Oquab et al. 2023) of the "
    "garment's picture and the worn garment's region, both cut out on white; mean over frames",
    compute=lambda inputs: VideoNumber.of_frames(inputs.once(_likeness)),
    needs="dinov2",
    no_value=NOT_PAINTED,
)
GARMENT_LIKENESS_LOWEST = Metric(
    key="garment_likeness_lowest",
    label="garment likeness, lowest frame",
    is_higher_better=True,
    definition="garment likeness of each video's lowest frame; mean over videos",
    compute=_lowest,
    needs="dinov2",
    no_value=NOT_PAINTED,
)
