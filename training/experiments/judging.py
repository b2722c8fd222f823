"""Is it the target garment? Colour, pattern class and structure against the ground truth.

Rendered dancers have a ground truth for unpaired try-on, frame by frame, and the true garment's
pixels. A clip is judged by eight numbers (``COLUMNS``); intervals are bootstrapped over clips.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.evaluation.intervals import Interval, bootstrap_interval
from training.experiments.pattern_classifier import TrainedClassifier
from training.experiments.pattern_crops import cut_garment
from training.metrics.colour import delta_e_76, mean_lab
from training.metrics.metric import mean_known
from training.metrics.seams import seam_score
from training.metrics.ssim import ssim_per_frame

CLOSE_COLOUR = 12.0  # largest Delta E (CIE76) at which a colour counts as right
JUDGED_EVERY = 4  # frames between two that the classifier judges
HIDDEN = 0.05  # share of the garment hidden, from which it counts as occluded
AFTERWARDS_S = 1.0  # seconds judged after an occlusion
COLUMNS = (
    "delta_e", "close_colour", "right_class", "ssim", "last_ssim", "seam",
    "occluded_delta_e", "occluded_ssim",
)  # fmt: skip

Video = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip of one method."""

    clip: str
    delta_e: float | None  # CIE76 between the mean colours of the garment's true pixels; 0: equal
    ssim: float | None  # inside the painted mask; 1: equal
    last_ssim: float | None  # the same over the last quarter: shows drift
    said: str  # class by the classifier
    true: str
    seam: float | None = None  # change where windows meet / change elsewhere; 1: no seam
    occluded_delta_e: float | None = None  # of the frames during and just after an occlusion
    occluded_ssim: float | None = None

    @property
    def columns(self) -> dict[str, float | None]:
        """``COLUMNS``; None where there was nothing to judge, which is neither good nor bad."""
        is_close = None if self.delta_e is None else float(self.delta_e <= CLOSE_COLOUR)
        return {
            "delta_e": self.delta_e, "close_colour": is_close,
            "right_class": float(self.said == self.true),
            "ssim": self.ssim, "last_ssim": self.last_ssim, "seam": self.seam,
            "occluded_delta_e": self.occluded_delta_e, "occluded_ssim": self.occluded_ssim,
        }  # fmt: skip


def judge_clip(
    clip: str,
    painted: Video,
    truth: Video,
    garment: Bool[np.ndarray, "t h w"],
    mask: Bool[np.ndarray, "t h w"],
    true_class: str,
    classifier: TrainedClassifier,
    borders: Sequence[int] = (),
    behind: Bool[np.ndarray, " t"] | None = None,
) -> ClipScore:
    """Compare a clip with its ground truth.

    Args:
        clip: its name.
        painted: a method's result.
        truth: the same motion in the target garment.
        garment: True on the garment in the truth.
        mask: True where the method was to generate pixels.
        true_class: of ``datasets.synthetic.hard_cast.CLASSES``.
        classifier: judges the pattern on the garment's true pixels.
        borders: frames that come from another window than the frame before them.
        behind: from ``behind_things``; None if occlusions are unknown.
    """
    behind = np.zeros(len(painted), bool) if behind is None else behind
    _, inside = ssim_per_frame(painted, truth, mask)
    rows = range(0, len(painted), JUDGED_EVERY)
    found = [cut_garment(painted[row], garment[row]) for row in rows]
    crops = [crop for crop in found if crop is not None]
    return ClipScore(
        clip=clip,
        delta_e=_colour_error(painted, truth, garment),
        ssim=mean_known(inside),
        last_ssim=mean_known(inside[-max(len(inside) // 4, 1) :]),
        said=classifier.clip_class(np.stack(crops) if crops else np.zeros((0, 1, 1, 4), np.uint8)),
        true=true_class,
        seam=mean_known(seam_score(painted, mask, borders)),
        occluded_delta_e=_colour_error(painted[behind], truth[behind], garment[behind]),
        occluded_ssim=mean_known(inside[behind]),
    )


def behind_things(hidden: Float[np.ndarray, " t"], fps: float) -> Bool[np.ndarray, " t"]:
    """Frames in which something hides the garment, and those of ``AFTERWARDS_S`` after it.

    Args:
        hidden: share of the garment that is hidden in each frame.
        fps: of the clip.
    """
    rows = np.flatnonzero(hidden >= HIDDEN)
    found = np.zeros(len(hidden), bool)
    for row in rows:
        found[row : row + 1 + round(AFTERWARDS_S * fps)] = True
    return found


def _colour_error(painted: Video, truth: Video, garment: Bool[np.ndarray, "t h w"]) -> float | None:
    """Delta E between the mean colours of the garment's pixels; None if there are none."""
    if not garment.any():
        return None
    return delta_e_76(mean_lab(painted[garment]), mean_lab(truth[garment]))


def summarise(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """Each number's mean over clips with its 95 % interval, and the clips themselves.

    Clips without a number are left out of its mean, which is None if there are no others.
    """
    columns = {name: [score.columns[name] for score in scores] for name in COLUMNS}
    known = {name: [v for v in values if v is not None] for name, values in columns.items()}
    return {
        "clips": len(scores),
        **{
            name: {
                "mean": float(np.mean(values)) if values else None,
                "interval": bootstrap_interval(values),
            }
            for name, values in known.items()
        },
        "scores": [asdict(score) for score in scores],
    }


def interval_apart(first: dict[str, Any], second: dict[str, Any], name: str) -> bool:
    """Whether the first's interval of a number is entirely above the second's."""
    low, high = first[name]["interval"], second[name]["interval"]
    return low is not None and high is not None and low[0] > high[1]


def shown_mean(mean: float | None, interval: Interval | None) -> str:
    """Mean and interval as text."""
    if mean is None:
        return "unknown"
    return f"{mean:.2f}" + ("" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]")
