"""Judge a source again with other settings, from its stored signals and its clips' records.

One thing cannot be decided from these: a stretch that passes now but has no stored tracks cannot be
kept until `make curate` has made them. It is rejected as ``to_be_made``.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curation.clip import Check, Clip, first_failed
from curation.clip_maker import ClipMaker, NeedsDecoding, fingerprint, rejected_row, with_hashes
from curation.first_pass.signals import Signals, read_signals
from curation.ledger import ClipRow, SourceRow
from curation.perception.protocols import named_perception
from curation.pipeline import build_maker
from curation.selection.candidates import RejectedClip, find_candidates
from curation.selection.probe import header_checks
from curation.settings import CurateConfig
from curation.video.decode import Header

TO_BE_MADE = "to_be_made"
MadeOf = Callable[[], dict[str, ClipRow]]


def to_be_made_check(reason: str | None) -> Check:
    """A passing clip must have its tracks; ``reason``: why not, None if it has."""
    return Check(
        verdict=TO_BE_MADE, signal="because", value=reason, code=TO_BE_MADE,
        meaning="it passes since thresholds changed; the next `make curate` makes its tracks",
        evidence={"because": reason},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The new verdicts on one source."""

    source: SourceRow
    clips: list[ClipRow] | None  # None: unchanged
    turned: Counter[tuple[str, str]] = field(default_factory=Counter)  # before, after -> clips

    @property
    def is_open(self) -> bool:
        """Whether `make curate` has work left for it."""
        return self.source.fingerprint.startswith("-")

    @property
    def num_to_make(self) -> int:
        """Clips that pass and have no tracks."""
        return sum(clip.code == TO_BE_MADE for clip in self.clips or [])


class Judge:
    """Judges sources by today's settings.

    What ``before``, the folder's settings so far, decided of the people in kept clips is not
    decided again if its settings are the same.
    """

    def __init__(
        self, config: CurateConfig, infos: dict[str, Any], before: CurateConfig | None = None
    ) -> None:
        self.config = config
        has_same_people = before is not None and before.selection.people == config.selection.people
        self._run_before = (
            fingerprint(before.deciding(), infos) if before and has_same_people else None
        )
        self._run = fingerprint(config.deciding(), infos)
        self._maker: ClipMaker = build_maker(config, named_perception(infos))
        self._signals_root = Path(config.out) / "signals"

    def judge(self, source: SourceRow, clips: Sequence[ClipRow], made_of: MadeOf) -> Judged:
        """Judge one source; ``made_of`` gives every clip ever made of it, by request."""
        header = source.facts.get("header")
        interlaced = source.facts.get("interlaced_frames")
        checks = header_checks(Header(**header), self.config.probe, interlaced) if header else []
        reject = first_failed(checks)
        path = self._signals_root / str(source.facts.get("signals"))
        is_measured = bool(source.facts.get("signals")) and path.is_file()
        if reject is not None:
            row = replace(source, code=reject.code, evidence=reject.evidence)
            return self._settled(row, clips, [])
        if source.code is not None and source.code not in {check.code for check in checks}:
            return self._settled(source, clips, list(clips))
        if source.code is not None and not is_measured:
            return Judged(source=self._open(source), clips=None)  # the next curate reads it
        if not is_measured:
            return Judged(source=source, clips=None)  # a photograph, or a prepared benchmark's
        source = replace(source, code=None, evidence={})
        rows = self._judge_signals(source, clips, made_of, read_signals(path))
        if any(row.code == TO_BE_MADE for row in rows):
            return _compared(self._open(source), clips, rows)
        return self._settled(source, clips, rows)

    def _judge_signals(
        self,
        source: SourceRow,
        clips: Sequence[ClipRow],
        made_of: MadeOf,
        signals: Signals,
    ) -> list[ClipRow]:
        selection, canonical = self.config.selection, self.config.canonical
        base = Clip(
            source=source.name, source_sha256=source.sha256, scene_start_s=0.0,
            scene_end_s=signals.end_s, start_s=0.0, end_s=signals.end_s,
        )  # fmt: skip
        known = {str(clip.record["request"]): clip for clip in clips if clip.record.get("request")}
        asked_with, _, is_bench = _suffix(source).partition("-")
        companions = asked_with or None if is_bench == "True" else None
        is_up_to_date = source.fingerprint.partition("-")[0] == self._run_before
        kept = {request for request, clip in known.items() if clip.status == "kept"}
        rows: list[ClipRow] = []
        for outcome in find_candidates(base, signals, selection, canonical):
            if isinstance(outcome, RejectedClip):
                rows.append(rejected_row(outcome))
                continue
            request = self._maker.request(outcome, companions)
            if request not in known:
                known = {**made_of(), **known}
            row = known.get(request)
            verdict: ClipRow | NeedsDecoding = NeedsDecoding(reason="it has no tracks")
            if row is not None:
                is_followed = is_up_to_date and request in kept
                verdict = self._maker.judge(row, outcome, is_followed=is_followed)
            if isinstance(verdict, NeedsDecoding):
                reject = to_be_made_check(verdict.reason).reject
                verdict = rejected_row(RejectedClip(clip=outcome.clip, reject=reject))
            rows.append(with_hashes(verdict, signals, self.config.duplicates.hash_fps))
        return rows

    def _settled(self, source: SourceRow, before: Sequence[ClipRow], rows: list[ClipRow]) -> Judged:
        """Nothing is left to make: `make curate` with these settings skips the source."""
        named = replace(source, fingerprint=f"{self._run}-{_suffix(source)}")
        return _compared(named, before, rows)

    def _open(self, source: SourceRow) -> SourceRow:
        """`make curate` processes the source, whatever the settings."""
        return replace(source, fingerprint=f"-{_suffix(source)}")


def _suffix(source: SourceRow) -> str:
    """The part of the fingerprint that comes from its sidecar."""
    return source.fingerprint.partition("-")[2]


def _compared(source: SourceRow, before: Sequence[ClipRow], rows: list[ClipRow]) -> Judged:
    old = {clip.clip_id: clip for clip in before}
    new = {clip.clip_id: clip for clip in rows}
    turned = Counter(
        turn
        for clip_id in sorted(old.keys() | new.keys())
        for turn in [(_word(old.get(clip_id)), _word(new.get(clip_id)))]
        if turn[0] != turn[1]
    )
    return Judged(source=source, clips=None if old == new else rows, turned=turned)


def _word(clip: ClipRow | None) -> str:
    if clip is None:
        return "(no such stretch)"
    return "kept" if clip.status == "kept" else str(clip.code)
