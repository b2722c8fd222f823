"""The clip's own garment: cut out of its best frame and placed on a plain light background."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np

from curation.clip import AT_LEAST, Check, Clip, Tracks, first_failed
from curation.stages.parsing import TOO_SMALL, TOO_SMALL_MEANING
from datasets.labels import GARMENT_LABELS, among
from datasets.masks import fill_hull

GROUND = 245  # gray level around the garment
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 5, 6, 11, 12  # rows of COCO keypoints


@dataclass(frozen=True, kw_only=True)
class GarmentConfig:
    """When a frame is fit for taking the garment from it."""

    category: str = "upper"
    min_area: float = 0.01  # of the frame
    margin: float = 0.06  # of the garment picture's sides, kept free around it


@dataclass(frozen=True, kw_only=True, eq=False)
class CutGarment:
    """Fills ``garment``, ``garment_mask``, and the record's ``garment_frame`` and its affine."""

    config: GarmentConfig
    name: str = "garments"
    reads: tuple[str, ...] = ("parsing",)

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Needs ``parse`` and ``people``."""
        assert tracks.parse is not None, "the parsing stage comes first"
        assert tracks.people is not None, "the people stage comes first"
        garment = among(tracks.parse, GARMENT_LABELS[self.config.category])
        areas = garment.mean(axis=(1, 2))
        clip = clip.with_scores(garment_largest_area=float(areas.max()))
        if first_failed(self.checks(clip)):
            return clip, tracks  # nothing to cut out
        scores = frame_scores(tracks, garment)
        best = int(np.argmax(np.where(areas >= self.config.min_area, scores, -np.inf)))
        laid = lay_out(tracks.frames[best], garment[best], self.config.margin)
        passed = replace(
            clip,
            garment_frame=best,
            garment_affine=tuple(round(float(value), 4) for value in laid.affine.flatten()),
            verdicts={**clip.verdicts, self.name: f"frame {best}"},
        ).with_scores(garment_score=float(scores[best]))
        return passed, replace(tracks, garment=laid.picture, garment_mask=laid.mask)

    def checks(self, clip: Clip) -> list[Check]:
        """At least one frame must show enough of the garment."""
        area = clip.scores.get("garment_largest_area")
        return [
            Check(
                verdict=self.name, signal="garment_largest_area", value=area, rule=AT_LEAST,
                threshold=self.config.min_area, key="garments.min_area", code=TOO_SMALL,
                meaning=TOO_SMALL_MEANING,
                evidence={"garment_area": round(area or 0.0, 4), "min": self.config.min_area},
            )
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """All settings: the minimum area also decides which frames may be used."""
        return asdict(self.config)


def frame_scores(tracks: Tracks, garment: np.ndarray) -> np.ndarray:
    """How well each frame shows the garment, (t,) in 0..1: product of four shares.

    Sharpness relative to the clip's best, area relative to its 90th percentile, how frontal the
    shoulders are, and how little of the garment's hull is hidden.
    """
    assert tracks.people is not None
    sharpness = np.array(
        [
            sharpness_inside(frame, inside)
            for frame, inside in zip(tracks.frames, garment, strict=True)
        ]
    )
    areas = garment.mean(axis=(1, 2))
    frontal = np.array(
        [frontality(person.keypoints) if person else 0.0 for person in tracks.people]
    )
    solid = np.array([solidity(inside) for inside in garment])
    relative_sharpness = np.sqrt(sharpness / max(float(sharpness.max()), 1e-6))
    whole = max(float(np.percentile(areas, 90, method="lower")), 1e-6)
    # below: part of the garment is hidden; above: it includes a ball or a bag
    relative_area = np.where(
        areas <= whole, np.sqrt(areas / whole), (whole / np.maximum(areas, whole)) ** 2
    )
    return relative_sharpness * relative_area * (0.3 + 0.7 * frontal) * solid**2


def sharpness_inside(frame: np.ndarray, inside: np.ndarray) -> float:
    """Variance of the Laplacian within a region of an RGB frame."""
    if not inside.any():
        return 0.0
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(gray, cv2.CV_32F)
    return float(edges[inside].var())


def frontality(keypoints: np.ndarray) -> float:
    """1 when the chest faces the camera, 0 from the side or behind.

    Args:
        keypoints: (17, 3) COCO; the person's left is on the image's right when seen from the front.
    """
    shoulders = keypoints[LEFT_SHOULDER, 0] - keypoints[RIGHT_SHOULDER, 0]
    torso = np.hypot(
        *(
            keypoints[[LEFT_SHOULDER, RIGHT_SHOULDER], :2].mean(0)
            - keypoints[[LEFT_HIP, RIGHT_HIP], :2].mean(0)
        )
    )
    return float(np.clip(shoulders / max(0.7 * float(torso), 1.0), 0, 1))


def solidity(garment: np.ndarray) -> float:
    """Garment's share of its convex hull: arms across the chest lower it."""
    hull = np.zeros(garment.shape, np.uint8)
    fill_hull(hull, garment, 1)
    return float(np.count_nonzero(garment) / max(np.count_nonzero(hull), 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class LaidOut:
    """A garment cut out of a frame."""

    picture: np.ndarray  # (height, width, 3) uint8
    mask: np.ndarray  # (height, width) uint8, 255 = garment
    affine: np.ndarray  # (2, 3): pixel of the frame (x, y, 1) -> pixel of the picture


def lay_out(frame: np.ndarray, garment: np.ndarray, margin: float) -> LaidOut:
    """Cut a garment out and centre it on a plain light background of the frame's size.

    Args:
        frame: (height, width, 3) uint8.
        garment: (height, width) bool.
        margin: share of the picture's sides that stays free.
    """
    height, width = garment.shape
    whole = largest_pieces(garment)
    left, top, wide, high = cv2.boundingRect(whole)
    scale = min((1 - 2 * margin) * width / wide, (1 - 2 * margin) * height / high)
    # source pixel -> picture pixel
    matrix = np.array(
        [
            [scale, 0, width / 2 - scale * (left + wide / 2)],
            [0, scale, height / 2 - scale * (top + high / 2)],
        ]
    )
    # extend colours outwards first, so that no background shows at the edge
    inner = cv2.erode(whole, np.ones((3, 3), np.uint8))
    filled = cv2.inpaint(
        np.ascontiguousarray(frame),
        (cv2.dilate(whole, np.ones((7, 7), np.uint8)) & (1 - inner)).astype(np.uint8),
        3,
        cv2.INPAINT_TELEA,
    )
    picture = cv2.warpAffine(
        filled, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    soft = cv2.warpAffine(
        cv2.GaussianBlur(whole.astype(np.float32), (0, 0), 1.0), matrix, (width, height)
    )
    alpha = np.clip((soft - 0.3) / 0.4, 0, 1)[..., None]
    blended = np.rint(picture * alpha + GROUND * (1 - alpha)).astype(np.uint8)
    mask = (soft > 0.5).astype(np.uint8) * 255
    return LaidOut(picture=blended, mask=mask, affine=matrix)


def largest_pieces(garment: np.ndarray) -> np.ndarray:
    """The garment (height, width) without pieces below 1/20 of the largest, uint8, 1 = garment."""
    closed = cv2.morphologyEx(garment.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    reach = 2 * round(0.02 * float(np.sqrt(np.count_nonzero(closed)))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc)  # strings and slivers of trousers
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = areas >= max(areas.max() / 20, 1)
    kept[0] = False
    return kept[np.asarray(labels)].astype(np.uint8)
