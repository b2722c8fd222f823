"""A garment from a user's file: a product photo, or what somebody wears in a photo or video."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import ConfigError, DataError
from curation.perception.protocols import Perception
from curation.stages.product_photo import centre_on_ground, cut_out, read_photo, whole
from inference.conditions.labels_and_hangers import without_labels
from inference.conditions.worn_garment import GarmentSource, worn_in_photo, worn_in_video
from inference.errors import GarmentUnreadable

KINDS = ("auto", "product", "worn")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedGarment:
    """A garment as the network sees it."""

    picture: np.ndarray  # RGB (height, width, 3) uint8 on the plain ground of training's garments
    remarks: tuple[str, ...] = ()  # what was done that the user may not expect


def read_image(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """``read_photo`` of a user's garment.

    Raises:
        GarmentUnreadable: the file is missing or is not an image.
    """
    try:
        return read_photo(Path(path))
    except DataError as error:
        raise GarmentUnreadable(f"garment {error}") from error


def prepare_garment(
    garment: str | Path,
    height: int,
    width: int,
    category: str = "upper",
    kind: str = "auto",
    perception: Callable[[], Perception] | None = None,
) -> PreparedGarment:
    """Read, cut out and centre a garment.

    Args:
        garment: an image file; or ``video.mp4@3.2``, what is worn 3.2 s into a video.
        height: of the result, px.
        width: likewise.
        category: which part of a worn outfit: upper, lower or overall.
        kind: of a photo: product, the garment alone, or the whole photo if none stands out; worn,
            by somebody; auto, worn if the photo certainly shows somebody.
        perception: gives the models, where they are needed; None treats every photo as a product
            photo.

    Raises:
        ConfigError: no such kind.
        VideoUnreadable: the video cannot be read.
        GarmentUnreadable: the file is missing or is not an image, or the garment cannot be seen,
            or does not stand out from a product photo's background.
    """
    if kind not in KINDS:
        raise ConfigError(f"garment_kind={kind!r}; one of {', '.join(KINDS)} is expected")
    source = GarmentSource.read(garment)
    if source.time is not None:
        if perception is None:
            raise ConfigError(f"garment {garment}: a video's garment needs perception")
        worn = worn_in_video(source, category, perception())
        return PreparedGarment(picture=centre_on_ground(*worn, height, width)[0])
    image, outline = read_image(source.path)
    if outline is not None and not outline.any():
        raise GarmentUnreadable(
            f"garment {garment} is transparent everywhere; give a picture that shows the garment",
            plain="This garment picture is transparent everywhere; it shows no garment.",
        )
    worn = None
    if kind != "product" and perception is not None:
        worn = worn_in_photo(image, category, perception())
    if worn is not None:
        return PreparedGarment(picture=centre_on_ground(*worn, height, width)[0])
    if kind == "worn":
        raise GarmentUnreadable(
            f"garment {garment}: it shows nobody wearing {category} clothes; for a product photo "
            "use garment_kind=product",
            plain="This picture shows nobody wearing such clothes.",
        )
    mask = cut_out(image) if outline is None else outline
    remarks = () if mask is not None else (_taken_whole(garment, kind),)
    picture, placed = centre_on_ground(image, whole(image) if mask is None else mask, height, width)
    if category != "lower" and mask is not None:
        picture = without_labels(picture, placed > 0)
    return PreparedGarment(picture=picture, remarks=remarks)


def _taken_whole(garment: str | Path, kind: str) -> str:
    """A photo in which no garment stands out is taken whole where a product was asked for.

    Raises:
        GarmentUnreadable: it was not.
    """
    what = "no garment stands out from the background of this photo"
    if kind != "product":
        raise GarmentUnreadable(
            f"garment {garment}: {what}; give a photo on a plain ground of another colour, or a "
            "PNG that is transparent around the garment; garment_kind=product takes the whole "
            "photo for cloth",
            plain="No garment stands out from the background of this picture; give a photo on a "
            "plain ground of another colour, or a PNG that is transparent around the garment.",
        )
    remark = f"{what}; all of it was taken for cloth, its background too"
    _logger.warning("garment %s: %s", garment, remark)
    return remark
