"""Every signal that decided about a source or a clip, beside its threshold, verdict by verdict.

Read from the ledger and the stored measurements of the first pass: no video is opened.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.clip import unpack_shares
from curation.first_pass.doubts import answers_in
from curation.first_pass.signals import Signals
from curation.ledger import ClipRow, SourceRow
from curation.selection.candidates import SelectionConfig
from curation.selection.people import CODES, PASSES
from curation.selection.quality import frozen_runs, measure_span, without
from curation.selection.scenes import people_in
from curation.selection.shots import find_transitions
from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry
from curation.shards.duplicates import distance, unpack_hashes

AT_LEAST, AT_MOST, MORE, LESS = ">=", "<=", ">", "<"
NEAR = 0.1
HOLDS = {AT_LEAST: operator.ge, AT_MOST: operator.le, MORE: operator.gt, LESS: operator.lt}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured value, and what was asked of it."""

    verdict: str  # the step that asked: probe, cuts, quality, people, ...
    signal: str
    value: float | str | None  # None: not measured
    rule: str | None = None  # one of HOLDS; None: it is told and decides nothing
    threshold: float | None = None
    key: str = ""  # of configs/curate.yaml

    @property
    def is_passed(self) -> bool | None:
        """Whether the value keeps the rule; None where there is no rule or no value."""
        if self.rule is None or self.threshold is None or not isinstance(self.value, int | float):
            return None
        return HOLDS[self.rule](self.value, self.threshold)

    @property
    def is_near(self) -> bool:
        """Whether a threshold a tenth higher or lower would decide otherwise."""
        if self.is_passed is None or not isinstance(self.value, int | float):
            return False
        assert self.rule is not None
        assert self.threshold is not None
        moved = (self.threshold * (1 - NEAR), self.threshold * (1 + NEAR))
        return any(HOLDS[self.rule](self.value, limit) != self.is_passed for limit in moved)


def source_checks(source: SourceRow, config: CurateConfig) -> list[Check]:
    """What the header and the first pass said about a file."""
    header: dict[str, Any] = source.facts.get("header") or {}
    checks: list[Check] = []
    if header:
        side, pixels = min(header["height"], header["width"]), header["height"] * header["width"]
        probe = config.probe
        checks += [
            _check("probe", "shortest side, px", side, AT_LEAST, probe.min_side, "probe.min_side"),
            _check("probe", "pixels", pixels, AT_MOST, probe.max_pixels, "probe.max_pixels"),
            _check("probe", "declared length, s", header.get("duration_s"), AT_MOST,
                   probe.max_declared_s, "probe.max_declared_s"),
        ]  # fmt: skip
    for name in ("num_frames", "duration_s", "faults"):
        if name in source.facts:
            checks.append(_told("first pass", name, source.facts[name]))
    if source.facts.get("is_partial"):
        checks.append(_told("first pass", "ends", "earlier than its header says"))
    checks += [_told(str(source.code), name, value) for name, value in source.evidence.items()]
    return checks


def clip_checks(
    entry: CatalogueEntry,
    config: CurateConfig,
    signals: Signals | None,
    others: Sequence[ClipRow] = (),
) -> list[Check]:
    """All that was measured of a clip, in the order in which it is decided.

    Args:
        entry: the clip with its last word.
        config: the thresholds of the last run.
        signals: of its source; None: only what the ledger holds.
        others: kept clips to look for its nearest copy in.
    """
    clip = entry.clip
    measured: dict[str, Any] = {**(clip.record.get("scores") or {}), **clip.evidence}
    if clip.code == "mask_failed":  # its evidence calls so what the score of a kept clip does not
        measured["mask_coverage"] = measured.pop("coverage")
    shares = clip.record.get("shares") or {}
    if "garment_area" in shares:
        areas = unpack_shares(shares["garment_area"])
        measured["share_of_frames"] = float((areas >= config.parsing.min_garment_area).mean())
    span = (float(clip.record["start_s"]), float(clip.record["end_s"]))
    checks: list[Check] = []
    if signals is not None:
        checks += _cut_checks(signals, clip.record, config.selection)
        measured = {**measure_span(signals, span), **measured}
        measured["longest_moving_s"] = _longest_moving_s(signals, span, config.selection)
    checks += _quality_checks(measured, config)
    if signals is not None and signals.samples is not None:
        checks += _people_checks(signals, span, config)
    checks += _track_checks(measured, config)
    checks += _copy_checks(clip, others, config)
    used = {check.signal for check in checks} | set(_USED)
    checks += [
        _told(clip.code if name in clip.evidence else "measured", name, value)
        for name, value in measured.items()
        if name not in used and not name.startswith(("min_", "max_"))
    ]  # fmt: skip
    return checks


_USED = (  # told under another name
    "densepose_share",
    "mapped_share",
    "mask_largest_area",
    "largest_area",
    "same_as",
    "garment_largest_area",
)


def _cut_checks(
    signals: Signals, record: dict[str, Any], selection: SelectionConfig
) -> list[Check]:
    """What the frames at both ends of the scene show, and the strongest change inside it."""
    shots = selection.shots
    transitions = find_transitions(signals, shots)
    times = np.append(signals.times_s, signals.end_s)
    checks: list[Check] = []
    for end, name in (("scene_start_s", "enter"), ("scene_end_s", "leave")):
        moment = float(record[end])
        kind = next(
            (t.kind for t in transitions if abs(times[getattr(t, name)] - moment) < 1e-6),
            "of the video",
        )
        ending = "scene begins" if name == "enter" else "scene ends"
        checks.append(_told("cuts", ending, f"{moment:.3f} s, {kind}"))
    inside = signals.between(float(record["scene_start_s"]), float(record["scene_end_s"]))
    inner = slice(inside.start + 1, inside.stop)
    if inner.stop > inner.start:
        label = f"strongest change inside (a cut: {shots.min_content:g} and "
        label += f"{shots.adaptive_ratio:g}x its neighbours)"
        checks += [
            _told("cuts", label, float(signals.content[inner].max())),
            _check("cuts", "weakest histogram correlation inside",
                   float(signals.histogram[inner].min()), AT_LEAST,
                   shots.max_histogram_correlation,
                   "selection.shots.max_histogram_correlation"),
        ]  # fmt: skip
    if signals.cut_probability is not None:
        said = signals.cut_probability[inside.start : inside.stop - 1]  # the last is next to a cut
        said = said[~np.isnan(said)]
        checks.append(
            _check("cuts", "arbiter: likeliest transition inside",
                   float(said.max()) if len(said) else None, LESS, shots.min_cut_probability,
                   "selection.shots.min_cut_probability")
        )  # fmt: skip
    return checks


def arbiter_checks(signals: Signals, selection: SelectionConfig) -> list[Check]:
    """What the arbiter was asked about a source, and what it said."""
    return [
        _told("arbiter", f"asked of {answer.start_s:.3f}-{answer.end_s:.3f} s", answer.in_words)
        for answer in answers_in(signals, selection.shots)
    ]


def _quality_checks(measured: dict[str, Any], config: CurateConfig) -> list[Check]:
    quality = config.selection.quality
    where = "selection.quality."
    rules = (
        ("duration_s", AT_LEAST, quality.min_duration_s, where + "min_duration_s"),
        ("frames", AT_LEAST, 2, ""),
        ("brightness", AT_LEAST, quality.min_brightness, where + "min_brightness"),
        ("sharpness", AT_LEAST, quality.min_sharpness, where + "min_sharpness"),
        ("duplicate_share", AT_MOST, quality.max_duplicate_share, where + "max_duplicate_share"),
        ("longest_moving_s", AT_LEAST, quality.min_duration_s, where + "min_duration_s"),
        ("faults", AT_MOST, 0, ""),
    )
    return [
        _check("quality", name, measured[name], rule, threshold, key)
        for name, rule, threshold, key in rules
        if name in measured
    ]


def _longest_moving_s(
    signals: Signals, span: tuple[float, float], selection: SelectionConfig
) -> float:
    pieces = without(span, frozen_runs(signals, selection.quality))
    return pieces[0][1] - pieces[0][0] if pieces else 0.0


def _people_checks(
    signals: Signals, span: tuple[float, float], config: CurateConfig
) -> list[Check]:
    """The detector's samples inside the stretch, judged with today's thresholds."""
    people, samples = config.selection.people, signals.samples
    assert samples is not None
    verdicts = people_in(signals, span, people, config.selection.quality)
    where = "selection.people."
    checks = [
        _told("people", "samples, of these pass",
              f"{len(verdicts.codes)}, {int((verdicts.codes == PASSES).sum())}"),
        _told("people", "most people who count", int(verdicts.counts.max(initial=0))),
    ]  # fmt: skip
    checks += [
        _told("people", f"samples with {code}", int((verdicts.codes == number).sum()))
        for number, code in CODES.items()
        if (verdicts.codes == number).any()
    ]
    rows = verdicts.main_rows[verdicts.main_rows >= 0]
    if len(rows):
        boxes = np.clip(samples.boxes[rows], 0, 1)
        heights = (boxes[:, 3] - boxes[:, 1]) * signals.size_at(span[0])[0]
        checks += [
            _check("people", "lowest score of the main person",
                   float(samples.scores[rows].min()), AT_LEAST, people.min_score,
                   where + "min_score"),
            _check("people", "tallest the main person is seen, px", float(heights.max()), AT_LEAST,
                   config.canonical.min_person_height, "canonical.min_person_height"),
        ]  # fmt: skip
    beside = verdicts.others or verdicts.passed_over
    other = max(beside, key=lambda track: track.share, default=None)
    checks.append(
        _check("people", "largest other person, share of the main one",
               0.0 if other is None else other.share, LESS, people.min_other_share,
               where + "min_other_share")
    )  # fmt: skip
    if other is not None:
        # large, lasting and alive at once is one too many; each alone is not
        checks += [
            _told("people", f"that person is seen for, s (counts from {people.min_other_s:g})",
                  other.seen_s),
            _told("people", f"moves by (counts from {people.min_other_motion:g})", other.motion),
            _told("people", "its pixels change in 0.4 s by, gray levels (counts from "
                  f"{people.min_other_change:g})", other.change),
        ]  # fmt: skip
    return checks


def _track_checks(measured: dict[str, Any], config: CurateConfig) -> list[Check]:
    surface, parsing, agnostic = config.densepose, config.parsing, config.agnostic
    rules = (
        ("densepose", ("mapped_share", "densepose_share"), AT_LEAST, surface.min_mapped_share,
         "densepose.min_mapped_share"),
        ("parsing", ("share_of_frames",), AT_LEAST, parsing.min_garment_share,
         "parsing.min_garment_share"),
        ("parsing", ("outfit_change",), AT_MOST, parsing.max_outfit_change,
         "parsing.max_outfit_change"),
        ("garment", ("garment_largest_area",), AT_LEAST, config.garments.min_area,
         "garments.min_area"),
        ("mask", ("mask_coverage",), AT_LEAST, agnostic.min_coverage, "agnostic.min_coverage"),
        ("mask", ("mask_largest_area", "largest_area"), AT_MOST, agnostic.max_area,
         "agnostic.max_area"),
    )  # fmt: skip
    checks: list[Check] = []
    for verdict, names, rule, threshold, key in rules:
        name = next((name for name in names if name in measured), None)
        if name is not None:
            checks.append(_check(verdict, name, measured[name], rule, threshold, key))
    return checks


def _copy_checks(clip: ClipRow, others: Sequence[ClipRow], config: CurateConfig) -> list[Check]:
    """The nearest other clip, by the same measure that finds copies."""
    limit, key = config.duplicates.max_distance, "duplicates.max_distance"
    hashes = clip.record.get("hashes")
    if hashes is None:
        return []
    overlap = max(1, round(config.duplicates.min_overlap_s * config.duplicates.hash_fps))
    own = unpack_hashes(hashes)
    found = [
        (distance(own, unpack_hashes(other.record["hashes"]), overlap), other.clip_id)
        for other in others
        if other.clip_id != clip.clip_id and other.record.get("hashes")
    ]
    if not found:
        return []
    nearest, name = min(found)
    checks = [_told("copies", "nearest clip", name)]
    if clip.evidence.get("same_as"):
        checks.append(_told("copies", "a better one is kept", clip.evidence["same_as"]))
    return [*checks, _check("copies", "its distance", nearest, MORE, limit, key)]


def _check(verdict: str, signal: str, value: Any, rule: str, threshold: float, key: str) -> Check:
    return Check(
        verdict=verdict, signal=signal, value=value, rule=rule, threshold=threshold, key=key
    )


def _told(verdict: str | None, signal: str, value: Any) -> Check:
    is_plain = value is None or isinstance(value, int | float | str)
    return Check(verdict=verdict or "", signal=signal, value=value if is_plain else str(value))
