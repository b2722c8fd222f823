"""Faults of growing strength, put into videos that are right: what a metric ought to see."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

SEGMENT = 8  # frames: where the fault "seam" has its borders


@dataclass(frozen=True, kw_only=True, eq=False)
class RealClip:
    """A video with the garment that is worn in it, and another garment."""

    name: str
    video: np.ndarray  # (t, h, w, 3) uint8 RGB
    mask: np.ndarray  # (t, h, w) bool, True = would be painted
    garment_region: np.ndarray  # (t, h, w) bool, the worn garment
    own_garment: np.ndarray  # (h, w, 3) uint8, on white
    other_garment: np.ndarray  # (h, w, 3) uint8, on white
    swapped: np.ndarray  # (t, h, w, 3) uint8: the video with the other garment's cloth


@dataclass(frozen=True, kw_only=True, eq=False)
class FaultyResult:
    """What a method would have returned, and what it was asked for."""

    prediction: np.ndarray
    truth: np.ndarray
    garment: np.ndarray
    pairing: str = "paired"
    segment_borders: list[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault at five strengths; strength 0 is no fault."""

    key: str
    label: str
    unit: str
    strengths: tuple[float, float, float, float, float]
    apply: Callable[[RealClip, float], FaultyResult]
    is_asked: bool = True  # one of the five that every metric is tried with


def blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) of the first video and share of the second."""
    mixed = (1 - share) * first.astype(np.float32) + share * second.astype(np.float32)
    return np.rint(mixed).astype(np.uint8)


def wear(clip_video: np.ndarray, region: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """The region of each frame filled with a piece of cloth (h2 w2 3), stretched to its box.

    Light and shade stay: the cloth's brightness follows the video's, smoothed, over its median.
    """
    worn = clip_video.copy()
    for frame, area in zip(worn, region, strict=True):
        if not area.any():
            continue
        left, top, wide, high = cv2.boundingRect(area.astype(np.uint8))
        fitted = cv2.resize(cloth, (wide, high), interpolation=cv2.INTER_LINEAR)
        box, inside = (
            frame[top : top + high, left : left + wide],
            area[top : top + high, left : left + wide],
        )
        light = cv2.GaussianBlur(box.astype(np.float32).mean(axis=-1), (0, 0), 0.08 * high)
        light = (light + 20) / (np.median(light[inside]) + 20)
        shaded = fitted * np.clip(light, 0.7, 1.3)[..., None]
        box[inside] = np.clip(np.rint(shaded[inside]), 0, 255).astype(np.uint8)
    return worn


def _paired(clip: RealClip, prediction: np.ndarray) -> FaultyResult:
    borders = list(range(SEGMENT, len(clip.video), SEGMENT))
    return FaultyResult(
        prediction=prediction, truth=clip.video, garment=clip.own_garment, segment_borders=borders
    )


def _blur(clip: RealClip, sigma: float) -> FaultyResult:
    if not sigma:
        return _paired(clip, clip.video)
    return _paired(clip, np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in clip.video]))


def _shuffle(clip: RealClip, share: float) -> FaultyResult:
    """Frames change places in pairs; a stronger fault has the pairs of a weaker one and more."""
    order = np.random.default_rng(0).permutation(len(clip.video))
    places = np.arange(len(clip.video))
    half = len(order) // 2
    for first, second in zip(order[: round(share * half)], order[half:], strict=False):
        places[first], places[second] = second, first
    return _paired(clip, clip.video[places])


def _shift_colour(clip: RealClip, distance: float) -> FaultyResult:
    """All colours move in CIELAB, towards green and blue."""
    if not distance:
        return _paired(clip, clip.video)
    offset = np.array((0.0, -0.6, -0.8), np.float32) * distance
    shifted = [
        cv2.cvtColor(
            cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) + offset,
            cv2.COLOR_LAB2RGB,
        )
        for frame in clip.video
    ]
    return _paired(clip, np.rint(np.clip(np.stack(shifted), 0, 1) * 255).astype(np.uint8))


def _swap_garment(clip: RealClip, share: float) -> FaultyResult:
    return _paired(clip, blend(clip.video, clip.swapped, share))


def _freeze(clip: RealClip, run: float) -> FaultyResult:
    """Each run of so many frames shows its first one."""
    frames = np.arange(len(clip.video))
    return _paired(clip, clip.video[frames - frames % max(1, int(run))])


def _brighten(clip: RealClip, levels: np.ndarray) -> np.ndarray:
    """Each frame brighter by its own number of levels, in the mask."""
    offset = levels[:, None, None, None] * clip.mask[..., None]
    return np.clip(np.rint(clip.video + offset), 0, 255).astype(np.uint8)


def _flicker(clip: RealClip, levels: float) -> FaultyResult:
    signs = np.random.default_rng(1).choice((-1, 1), len(clip.video))
    return _paired(clip, _brighten(clip, levels * signs))


def _seam(clip: RealClip, levels: float) -> FaultyResult:
    segment = np.arange(len(clip.video)) // SEGMENT
    return _paired(clip, _brighten(clip, levels * (segment % 2)))


def _repaint_outside(clip: RealClip, share: float) -> FaultyResult:
    drawn_anew = np.stack([cv2.GaussianBlur(frame, (0, 0), 4) for frame in clip.video])
    mixed = blend(clip.video, drawn_anew, share)
    return _paired(clip, np.where(clip.mask[..., None], clip.video, mixed))


def _leave_old_garment(clip: RealClip, share: float) -> FaultyResult:
    """Unpaired: the worn garment stays in the upper part of its region."""
    kept = clip.garment_region.copy()
    for area in kept:
        rows = np.flatnonzero(area.any(axis=1))
        if len(rows):
            area[rows[0] + round(share * (rows[-1] + 1 - rows[0])) :] = False
    return FaultyResult(
        prediction=np.where(kept[..., None], clip.video, clip.swapped),
        truth=clip.swapped,
        garment=clip.other_garment,
        pairing="unpaired",
        segment_borders=list(range(SEGMENT, len(clip.video), SEGMENT)),
    )


SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
LEVELS = (2.0, 4.0, 8.0, 16.0, 32.0)
FAULTS = (
    Fault(key="blur", label="blur", unit="sigma, pixels", strengths=(0.5, 1, 2, 4, 8), apply=_blur),
    Fault(
        key="shuffle", label="frame shuffle", unit="share of frames",
        strengths=SHARES, apply=_shuffle,
    ),
    Fault(
        key="colour", label="colour shift", unit="Delta E",
        strengths=(4, 8, 16, 24, 32), apply=_shift_colour,
    ),
    Fault(
        key="swap", label="garment swap", unit="share of the other garment",
        strengths=SHARES, apply=_swap_garment,
    ),
    Fault(key="freeze", label="freeze", unit="frames", strengths=(2, 3, 5, 8, 16), apply=_freeze),
    Fault(
        key="flicker", label="flicker", unit="levels", strengths=LEVELS, apply=_flicker,
        is_asked=False,
    ),
    Fault(
        key="seam", label="seams", unit="levels", strengths=LEVELS, apply=_seam, is_asked=False
    ),
    Fault(
        key="outside", label="repainted outside", unit="share of a blurred copy",
        strengths=SHARES, apply=_repaint_outside, is_asked=False,
    ),
    Fault(
        key="leak", label="old garment left", unit="share of its height",
        strengths=SHARES, apply=_leave_old_garment, is_asked=False,
    ),
)  # fmt: skip
