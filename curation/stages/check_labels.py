"""Frames whose labels are wrong are cut off a clip; a clip with too few others is rejected."""

import itertools
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from configs.checks import check_range
from curation.clip import AT_LEAST, AT_MOST, Check, Clip, Tracks, unpack_shares
from curation.first_pass.signals import runs_of
from curation.stages.label_faults import measure_faults

FAULTS = {
    "unmapped": "no labels or no body",
    "head": "a head on the chest",
    "hips": "one garment's colours under the other's label",
    "outside": "the garment's colours beside the mask",
    "jump": "labels that change where the picture does not",
}
"""Fault -> what was seen, in the order in which they are told."""
LONGEST = "longest_right_labels"
LABELS_CUT = "labels_cut"
"""The verdict that tells for which faults frames were cut off."""
SHARES = {name: f"share of {seen}" for name, seen in FAULTS.items()}
"""Fault -> signal of its check."""


@dataclass(frozen=True, kw_only=True)
class LabelsConfig:
    """Largest shares of faults that a frame may have; see ``measure_faults``. 1: not checked."""

    max_unmapped: float = 0.5  # a frame is mapped or not
    max_head: float = 0.5  # of the face's pixels
    max_hips: float = 0.1  # of the garment's pixels
    max_outside: float = 0.1  # of the garment's area
    max_jump: float = 0.1  # of the garment's unchanged pixels

    def __post_init__(self) -> None:
        check_range(self, *vars(self), least=0, most=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckLabels:
    """Measures the faults of each frame's labels, and says which frames are to be kept."""

    config: LabelsConfig
    category: str
    min_duration_s: float
    name: str = "labels"
    reads: tuple[str, ...] = ("densepose", "parsing", "agnostic")

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Needs every track but the garment's picture."""
        shares = measure_faults(tracks, self.category)
        clip = clip.with_shares(**{f"label_{name}": values for name, values in shares.items()})
        seen = self._in_words(clip)
        clip = replace(clip, verdicts={**clip.verdicts, self.name: seen or "right"})
        return clip, tracks

    def kept(self, clip: Clip) -> slice | None:
        """The frames to cut a measured clip to; None: all of them."""
        faults = self._faults(clip)
        if not faults or not any(is_bad.any() for is_bad in faults.values()):
            return None
        return _longest(faults)

    def checks(self, clip: Clip) -> list[Check]:
        """Enough frames in a row must have right labels; then the limits that decide which have."""
        faults = self._faults(clip)
        longest = None
        if faults:
            frames = _longest(faults)
            longest = float(frames.stop - frames.start)
        least = self.min_duration_s * (clip.fps or 1.0) - 0.5  # frames
        counts = {name: int(is_bad.sum()) for name, is_bad in faults.items() if is_bad.any()}
        cut = clip.verdicts.get(LABELS_CUT)
        return [
            Check(
                verdict=self.name, signal=LONGEST, value=longest, rule=AT_LEAST, threshold=least,
                key="selection.quality.min_duration_s", code="wrong_labels",
                meaning="too few frames in a row have clothes labels that fit the picture",
                evidence={LONGEST: longest, "num_frames": clip.num_frames, **counts},
            ),
            *self._limit_checks(clip, math.ceil(least)),
            Check(verdict=self.name, signal="frames cut off", value=cut),
        ]  # fmt: skip

    def _limit_checks(self, clip: Clip, least: int) -> list[Check]:
        """Each fault's largest share: in all frames if all pass, else in the ``least`` best."""
        shares = self._shares(clip)
        if not shares:
            return []
        limits = asdict(self.config)
        length = len(shares["jump"])
        if any((shares[name] > limits[f"max_{name}"]).any() for name in shares):
            length = min(max(least, 1), length)  # in a row, those nearest to the limits
        largest = {name: sliding_window_view(each, length).max(1) for name, each in shares.items()}
        if length > 1:  # a jump lies between a frame and the one before
            largest["jump"] = sliding_window_view(shares["jump"][1:], length - 1).max(1)
        excess = [largest[name] - limits[f"max_{name}"] for name in shares]
        best = int(np.max(excess, axis=0).argmin())
        return [
            Check(
                verdict=self.name, signal=SHARES[name], value=float(largest[name][best]),
                rule=AT_MOST, threshold=limits[f"max_{name}"], key=f"labels.max_{name}",
            )
            for name in shares
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """What is measured; the limits of a clip that was cut stand in its record."""
        return {"category": self.category}

    def _shares(self, clip: Clip) -> dict[str, np.ndarray]:
        """Fault -> share in each frame; empty: not measured."""
        packed = {name: clip.shares.get(f"label_{name}") for name in FAULTS}
        return {name: unpack_shares(text) for name, text in packed.items() if text is not None}

    def _faults(self, clip: Clip) -> dict[str, np.ndarray]:
        """Which frames have which fault; empty: not measured."""
        limits = vars(self.config)
        shares = self._shares(clip)
        return {name: each > limits[f"max_{name}"] for name, each in shares.items()}

    def _in_words(self, clip: Clip) -> str:
        """What was seen in how many frames; empty: nothing."""
        counts = {name: int(is_bad.sum()) for name, is_bad in self._faults(clip).items()}
        seen = [f"{FAULTS[name]} in {count}" for name, count in counts.items() if count]
        return f"{'; '.join(seen)} of {clip.num_frames} frames" if seen else ""


def _longest(faults: dict[str, np.ndarray]) -> slice:
    """The longest run of frames without a fault; a jump lies between a frame and the one before."""
    jump = faults["jump"]
    is_good = ~np.any([is_bad for name, is_bad in faults.items() if name != "jump"], axis=0)
    runs: list[slice] = []
    for run in runs_of(is_good):
        breaks = run.start + 1 + np.flatnonzero(jump[run.start + 1 : run.stop])
        edges = [run.start, *breaks.tolist(), run.stop]
        runs += [slice(first, last) for first, last in itertools.pairwise(edges)]
    return max(runs, key=lambda run: (run.stop - run.start, -run.start), default=slice(0, 0))
