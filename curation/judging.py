"""A source judged again by other settings, from its stored measurements and its clips' records.

What is stored decides all but one thing: a stretch that passes now and of which no tracks are
stored cannot be kept before `make curate` has made them. It is let go as ``to_be_made``.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from curation.bounds import decide_alike
from curation.clip import Clip, Reject
from curation.clip_maker import (
    ClipMaker,
    ToMake,
    build_maker,
    fingerprint,
    rejected_row,
    with_hashes,
)
from curation.first_pass.signals import Signals, read_signals
from curation.ledger import ClipRow, SourceRow
from curation.perception.protocols import BackendInfo, Perception
from curation.selection.candidates import find_candidates
from curation.selection.people import SEEING
from curation.selection.probe import refuse_header
from curation.selection.scenes import pack_scenes
from curation.settings import CurateConfig
from curation.shards.duplicates import HASH_CHARACTERS
from curation.stages.people_files import read_values
from curation.video.decode import Header

TO_BE_MADE = "to_be_made"
PROBE_CODES = ("too_small", "too_large", "too_long", "hdr")
"""What the header alone is rejected with."""
MadeOf = Callable[[], dict[str, ClipRow]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of one source."""

    source: SourceRow
    clips: list[ClipRow] | None  # None: as before
    turned: Counter[tuple[str, str]] = field(default_factory=Counter)  # before, after -> clips

    @property
    def is_open(self) -> bool:
        """Whether `make curate` has something to do for it."""
        return self.source.fingerprint.startswith("-")

    @property
    def num_to_make(self) -> int:
        """Clips that pass and have no tracks."""
        return sum(clip.code == TO_BE_MADE for clip in self.clips or [])


@dataclass(frozen=True, kw_only=True)
class Named:
    """Stands in for a model: its name is asked for, and it is never run."""

    info: BackendInfo

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: judging again runs no model")


def named_perception(infos: Mapping[str, Any]) -> Perception:
    """Models by name alone."""
    named: dict[str, Any] = {r: Named(info=BackendInfo(**info)) for r, info in infos.items()}
    return Perception(**named)


class Judge:
    """The settings of before and of today, and where everything lies.

    Args:
        before: settings that the ledger's verdicts were reached by.
        config: today's.
        infos: role -> model, of the last run (``Ledger.recall("models")``).
    """

    def __init__(self, before: CurateConfig, config: CurateConfig, infos: dict[str, Any]) -> None:
        self.config = config
        self._run_before = fingerprint(before.deciding(), infos)
        self._run = fingerprint(config.deciding(), infos)
        self._before = before
        self._has_same_rules = _selecting(before) == _selecting(config)
        self._has_same_stretches = _stretching(before) == _stretching(config)
        self._maker: ClipMaker = build_maker(config, named_perception(infos))
        self._maker_before: ClipMaker = build_maker(before, named_perception(infos))
        self._signals_root = Path(config.out) / "signals"

    def judge(self, source: SourceRow, clips: Sequence[ClipRow], made_of: MadeOf) -> Judged:
        """One source.

        Args:
            source: its row.
            clips: its candidate clips of today.
            made_of: gives every clip ever made of it, by what was asked for.
        """
        header = source.facts.get("header")
        refused = refuse_header(Header(**header), self.config.probe) if header else None
        path = self._signals_root / str(source.facts.get("signals"))
        is_measured = bool(source.facts.get("signals")) and path.is_file()
        if refused is not None:
            row = replace(source, code=refused[0], evidence=refused[1])
            return self._settled(row, clips, [])
        if source.code in PROBE_CODES and not is_measured:
            return Judged(source=self._open(source), clips=None)  # the next curate looks at it
        if source.code is not None and source.code not in PROBE_CODES:
            return self._settled(source, clips, list(clips))
        if not is_measured:
            return Judged(source=source, clips=None)  # a photograph, or a prepared benchmark's
        source = replace(source, code=None, evidence={}, facts=dict(source.facts))
        read = cache(partial(read_signals, path))
        rows = self._ask_records(source, clips, read)
        if rows is None:
            rows = self._judge_signals(source, clips, made_of, read())
        if any(row.code == TO_BE_MADE for row in rows):
            return _compared(self._open(source), clips, rows)
        return self._settled(source, clips, rows)

    def _ask_records(
        self, source: SourceRow, clips: Sequence[ClipRow], read: Callable[[], Signals]
    ) -> list[ClipRow] | None:
        """Verdicts from the records alone; None: stretches or people have to be judged, too."""
        is_current = source.fingerprint.startswith(f"{self._run_before}-")
        if not (is_current and (self._has_same_rules or self._shows_the_same(source, read))):
            return None
        looked_at = [clip for clip in clips if "made" in clip.record]
        if not all(self._keeps_its_frames(clip) for clip in looked_at):
            return None
        rows: list[ClipRow] = []
        for clip in clips:
            row = clip
            if clip.record.get("made"):
                verdict = self._maker.judge_record(clip)
                row = verdict if isinstance(verdict, ClipRow) else _to_be_made(clip, verdict)
            rows.append(row)
        if all(self._has_hashes(row) for row in rows):
            return rows
        return [self._hashed(row, read()) for row in rows]

    def _shows_the_same(self, source: SourceRow, read: Callable[[], Signals]) -> bool:
        """Whether today's cuts and people leave scenes and who is seen in them as they were.

        Where nothing else decides otherwise, the stretches are those of before, too. What is seen
        today is noted in the source's facts.
        """
        if not self._has_same_stretches:
            return False
        rules, before = self.config.selection.scenes, self._before.selection.scenes
        name, stored = source.facts["signals"], source.facts.get("seen") or {}
        if stored.get("key") != before.key(name):
            return False
        key, signals = rules.key(name), read()
        has_same_cuts = rules.shots == before.shots
        if has_same_cuts and decide_alike(
            partial(getattr, signals.samples), before.people, rules.people
        ):
            source.facts["seen"] = {**stored, "key": key}
            return True
        source.facts["seen"] = pack_scenes(rules.look_at(signals, stored, key), key)
        return source.facts["seen"]["scenes"] == stored["scenes"]

    def _keeps_its_frames(self, clip: ClipRow) -> bool:
        """Whether today's rules on people give the frames of before, in a stretch as before."""
        if self._maker.is_followed_alike(clip):
            return True
        if clip.record["made"] and self._maker_before.is_followed_alike(clip):
            folder = Path(self.config.out) / "people" / clip.record["people"]
            people = self._before.selection.people, self.config.selection.people
            if folder.is_dir() and decide_alike(partial(read_values, folder), *people):
                return True
        return self._maker.keeps_all(clip)

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
        key, stored = selection.scenes.key(source.facts["signals"]), source.facts.get("seen")
        seen = selection.scenes.look_at(signals, stored, key)
        if stored is None or stored.get("key") != key:
            source.facts["seen"] = pack_scenes(seen, key)
        known = {str(clip.record["request"]): clip for clip in clips if clip.record.get("request")}
        asked_with, _, is_bench = _suffix(source).partition("-")
        companions = asked_with or None if is_bench == "True" else None
        rows: list[ClipRow] = []
        for outcome in find_candidates(base, signals, selection, canonical, seen):
            if isinstance(outcome, Reject):
                rows.append(rejected_row(outcome))
                continue
            request = self._maker.request(outcome, companions)
            if request not in known:
                known = {**made_of(), **known}
            row = known.get(request)
            verdict: ClipRow | ToMake = ToMake(reason="it was never made")
            if row is not None:
                verdict = self._maker.judge(row, outcome)
            if isinstance(verdict, ToMake):
                evidence = {"because": verdict.reason}
                reject = Reject(clip=outcome.clip, code=TO_BE_MADE, evidence=evidence)
                verdict = rejected_row(reject)
            rows.append(self._hashed(verdict, signals))
        return rows

    def _hashed(self, row: ClipRow, signals: Signals) -> ClipRow:
        if self._has_hashes(row):
            return row
        return with_hashes(row, signals, self.config.duplicates.hash_fps)

    def _has_hashes(self, row: ClipRow) -> bool:
        """Whether a row needs no hashes, or has as many as today's rate gives."""
        if row.status != "kept":
            return True
        span = float(row.record["start_s"]), float(row.record["end_s"])
        count = len(np.arange(*span, 1.0 / self.config.duplicates.hash_fps))
        return len(row.record.get("hashes") or "") == count * HASH_CHARACTERS

    def _settled(self, source: SourceRow, before: Sequence[ClipRow], rows: list[ClipRow]) -> Judged:
        """Nothing is left to be made: `make curate` with these settings passes over it."""
        named = replace(source, fingerprint=f"{self._run}-{_suffix(source)}")
        return _compared(named, before, rows)

    def _open(self, source: SourceRow) -> SourceRow:
        """`make curate` looks at it, whatever the settings."""
        return replace(source, fingerprint=f"-{_suffix(source)}")


def _suffix(source: SourceRow) -> str:
    """Of the fingerprint: what its sidecar adds to what decides about it."""
    return source.fingerprint.partition("-")[2]


def _to_be_made(clip: ClipRow, verdict: ToMake) -> ClipRow:
    return replace(clip, status="rejected", code=TO_BE_MADE, evidence={"because": verdict.reason})


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


def _selecting(config: CurateConfig) -> list[Mapping[str, Any]]:
    return [asdict(part) for part in (config.probe, config.selection, config.canonical)]


def _stretching(config: CurateConfig) -> list[Mapping[str, Any]]:
    """What decides which stretches pass, where scenes and who is seen in them are known."""
    probe, selection, canonical = _selecting(config)
    people = {k: v for k, v in selection["people"].items() if k not in SEEING}
    return [probe, {**selection, "shots": None, "people": people}, canonical]
