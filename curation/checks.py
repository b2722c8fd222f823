"""Every check of a source or a clip, in the order in which they decide; their owners state them.

Read from the ledger and the stored signals of the first pass: no video is opened.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from curation.clip import Check
from curation.clip_maker import clip_of
from curation.first_pass.signals import Signals
from curation.judging import TO_BE_MADE, to_be_made_check
from curation.ledger import ClipRow, SourceRow
from curation.perception.protocols import named_perception
from curation.pipeline import build_stages
from curation.selection.candidates import SelectionConfig, reach_of_person, stretch_check
from curation.selection.overlays import share_check
from curation.selection.people import (
    NUMBERS,
    PASSES,
    largest_of,
    other_checks,
    score_check,
    visibility_check,
)
from curation.selection.probe import header_checks
from curation.selection.quality import frozen_runs, measure_span, moving_check, span_checks, without
from curation.selection.scenes import people_in
from curation.selection.shots import answers_in, scene_checks
from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry
from curation.shards.duplicates import NEAR_DUPLICATE, copy_check, nearest_copy
from curation.shards.held_out import held_out_check
from curation.stages.follow_person import LONGEST
from curation.video.canonical import height_check
from curation.video.decode import Header
from curation.workers.executor import FAILURES
from datasets.video.reader import UNREADABLE

IN_SAMPLES, IN_FRAMES = "people in samples", "people in frames"
"""Verdicts of what the detector saw: a few times a second in the source; in every frame."""


class Checker:
    """The rules of a run, its stages built once; needs no model."""

    def __init__(self, config: CurateConfig) -> None:
        self.config = config
        self.stages = build_stages(config, named_perception({}))

    def source_checks(self, source: SourceRow) -> list[Check]:
        """The checks of a file's header and first pass."""
        header = source.facts.get("header")
        interlaced = source.facts.get("interlaced_frames")
        checks = header_checks(Header(**header), self.config.probe, interlaced) if header else []
        for name in ("num_frames", "duration_s", "faults", "joined_recordings"):
            if source.facts.get(name) is not None:
                checks.append(_report("first pass", name, source.facts[name]))
        if source.facts.get("is_partial"):
            checks.append(_report("first pass", "ends", "earlier than its header says"))
        if source.code is not None and all(check.code != source.code for check in checks):
            meaning = {**UNREADABLE, **FAILURES}.get(source.code, "")
            for name, value in source.evidence.items():
                known = _report("file", name, value)
                checks.append(replace(known, code=source.code, meaning=meaning))
        return checks

    def clip_checks(
        self,
        entry: CatalogueEntry,
        signals: Signals | None = None,
        others: Sequence[ClipRow] = (),
    ) -> list[Check]:
        """All checks whose value is known, including the one that rejected the clip.

        ``signals`` None: only what the ledger holds; ``others``: kept clips, searched for a copy.
        """
        row, config = entry.clip, self.config
        numbers = {k: v for k, v in row.evidence.items() if isinstance(v, int | float)}
        clip = clip_of(row.record)
        clip = replace(clip, scores={**numbers, **clip.scores})
        scene = clip.scene_start_s, clip.scene_end_s
        shots = config.selection.shots
        checks = [] if signals is None else scene_checks(signals, scene, shots)
        span, measured = (clip.start_s, clip.end_s), dict(clip.scores)
        moving_s, height = measured.get("longest_moving_s"), measured.get("height")
        longest_s = measured.get("longest_stretch_s")
        if signals is not None:
            measured = {**measure_span(signals, span), **measured}
            pieces = without(span, frozen_runs(signals, config.selection.quality))
            moving_s = pieces[0][1] - pieces[0][0] if pieces else 0.0
        checks += span_checks(measured, config.selection.quality, int(measured.get("faults", 0)))
        checks += [
            moving_check(moving_s, config.selection.quality),
            stretch_check(measured, longest_s, config.selection.quality),
        ]
        if signals is not None and signals.samples is not None:
            seen, height = _sample_checks(signals, span, config.selection)
            # measured in every frame, the checks on other people are stated by a stage
            checks += [c for c in seen if LONGEST not in clip.scores or c.rule is None]
        checks.append(height_check(height, config.canonical))
        covered = measured.get("overlay_share")
        checks.append(share_check(covered, config.selection.overlays))
        for stage in self.stages:
            checks += stage.checks(clip)
        checks += self._last_checks(row, others)
        known = [check for check in checks if check.value is not None]
        if all(check.code != row.code for check in known):
            known += [check for check in checks if check.code == row.code][:1]
        used = {check.signal for check in known}
        told = {(check.verdict, check.signal) for check in known}
        for name, value in {**measured, **row.evidence}.items():
            if name not in used and not name.startswith(("min", "max")):
                report = _report("measured", name, value)
                if name in NUMBERS and not value:
                    continue
                if name in NUMBERS:
                    where = IN_FRAMES if LONGEST in clip.scores else IN_SAMPLES
                    report = replace(report, verdict=where, signal=_in_words(name))
                if (report.verdict, report.signal) not in told:
                    known.append(report)
        return known

    def _last_checks(self, row: ClipRow, others: Sequence[ClipRow]) -> list[Check]:
        """The checks on clips that have all their tracks."""
        checks: list[Check] = []
        if row.code == TO_BE_MADE:
            checks.append(to_be_made_check(row.evidence.get("because")))
        found = None
        if row.record.get("hashes") is not None:
            hashes = {other.clip_id: other.record.get("hashes") for other in others}
            hashes = {k: v for k, v in hashes.items() if v and k != row.clip_id}
            found = nearest_copy(row.record["hashes"], hashes, self.config.duplicates)
        distance, name = (None, None) if found is None else found
        better = str(row.evidence["same_as"]) if row.code == NEAR_DUPLICATE else None
        checks += [_report("copies", "nearest clip", name)] if name else []
        checks.append(copy_check(distance, self.config.duplicates, better))
        left = row.evidence if row.code == held_out_check(None).code else None
        return [*checks, held_out_check(left)]


def rejecting(checks: Sequence[Check], code: str | None) -> Check:
    """The check that rejected something; one without a meaning if no rule states this code."""
    stated = [check for check in checks if check.code and check.code == code]
    stated.sort(key=lambda check: check.is_passed is not False)
    return stated[0] if stated else Check(verdict="", signal="", value=None, code=code or "")


def arbiter_checks(signals: Signals, selection: SelectionConfig) -> list[Check]:
    """What the arbiter of cuts answered about a source."""
    return [
        _report("arbiter", f"{answer.start_s:.3f}-{answer.end_s:.3f} s", answer.in_words)
        for answer in answers_in(signals, selection.shots)
    ]


def _sample_checks(
    signals: Signals, span: tuple[float, float], selection: SelectionConfig
) -> tuple[list[Check], float | None]:
    """The detector's samples inside the stretch; the main person's height in pixels."""
    people = people_in(signals, span, selection.people, selection.quality)
    known = people.evidence()
    names = {name: value for name, value in known.items() if value and not name.startswith("other")}
    checks = [_report(IN_SAMPLES, _in_words(name), value) for name, value in names.items()]
    rows = people.main_rows[people.main_rows >= 0]
    if signals.samples is not None and len(rows):
        checks.append(score_check(float(signals.samples.scores[rows].min()), selection.people))
        checks.append(visibility_check(signals.samples, people, selection.people))
    nearby = people.others or people.passed_over
    other: dict[str, Any] = largest_of(nearby) if nearby else {"other_share": 0.0}
    checks += other_checks(other, selection.people)
    if not (people.codes == PASSES).any():
        return checks, None
    _, top, _, bottom = reach_of_person(signals, span, people)
    return checks, (bottom - top) * signals.size_at(span[0])[0]


def _in_words(name: str) -> str:
    """One of ``NUMBERS`` as a signal's name."""
    return "most people at once" if name == "num_people" else name.replace("_", " ")


def _report(verdict: str, signal: str, value: Any) -> Check:
    is_plain = value is None or isinstance(value, int | float | str)
    return Check(verdict=verdict, signal=signal, value=value if is_plain else str(value))
