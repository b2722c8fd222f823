"""Which settings would turn a verdict, each proposal tried out: judged again, no video opened."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from configs.errors import ConfigError
from configs.loading import load_config
from curation.checks import Checker
from curation.clip import AT_LEAST, AT_MOST, LESS, Check
from curation.curated_folder import Output
from curation.first_pass.signals import Signals
from curation.judging import TO_BE_MADE, Judge
from curation.ledger import ClipRow, SourceRow
from curation.refilter import check_settings
from curation.report.evidence import distance_to_limit, is_whole
from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry, build_catalogue
from curation.shards.duplicates import NEAR_DUPLICATE
from curation.stages.check_labels import SHARES

MAX_STEPS = 6
"""Settings changed one after the other, each for what decides once the ones before are changed."""
MAX_FIRST = 4
NAMED = {"probe.hdr": "tone_map"}
"""Settings that are words: the value that rejects nothing."""
ABOUT_PEOPLE = {
    "two_people": ("other_share", "other_s", "other_motion", "other_change"),
    "no_person": ("lowest score of the main person",),
    "body_hidden": ("lowest visibility of a required point",),
}
BEHIND = {**ABOUT_PEOPLE, "wrong_labels": tuple(SHARES.values())}
"""Reject code -> signals of the limits behind it; the check with the code is what they left."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Settings that turn a verdict."""

    settings: tuple[str, ...]  # key=value, first the one that decided
    becomes: str  # "kept", TO_BE_MADE or a reject code

    def command(self, root: Path) -> str:
        """What to type."""
        return f'make curate-refilter OUT={quote(str(root))} ARGS="{" ".join(self.settings)}"'


def deciding(checks: Sequence[Check], code: str | None) -> list[Check]:
    """The checks that decided, or, of something kept, nearly did; the nearest limit first.

    Another person counts unless one of four limits is kept; a stretch then is too short. Those
    limits come before the length of the stretch.
    """
    keyed = [check for check in checks if check.key and check.is_passed is not None]
    if code is None:
        near = [check for check in keyed if check.code and check.is_passed and not is_whole(check)]
        return sorted(near, key=distance_to_limit)
    signals = BEHIND.get(code, ())
    behind = [check for check in keyed if check.signal in signals and not check.is_passed]
    behind.sort(key=distance_to_limit)
    return behind + [check for check in keyed if check.code == code and not check.is_passed]


class Turner:
    """Tries other settings on one source of a curated folder."""

    def __init__(
        self, output: Output, source: SourceRow, clips: list[ClipRow], signals: Signals | None
    ) -> None:
        self._output, self._source, self._signals = output, source, signals
        self._clips = clips  # of the whole folder
        self._infos: dict[str, Any] | None = output.ledger.recall("models")

    def turn_clip(self, entry: CatalogueEntry, checks: Sequence[Check]) -> Turn | None:
        """What would turn a clip's verdict; None: no setting that a refilter accepts."""
        code = None if entry.is_kept else str(entry.clip.code)
        for first in deciding(checks, code)[:MAX_FIRST]:
            turn = self._turn_from(entry, code, first)
            if turn is not None:
                return turn
        return None

    def turn_source(self, checks: Sequence[Check]) -> Turn | None:
        """What would turn the verdict on a file rejected by its header."""
        for check in deciding(checks, str(self._source.code)):
            for word in _words(check, self._output.config, is_rejected=True):
                config = self._config([word])
                if config is None or self._infos is None:
                    continue
                judge = Judge(config, self._infos, self._output.config)
                judged = judge.judge(self._source, [], dict)
                if judged.is_open or judged.source.code is None:
                    return Turn(settings=(word,), becomes=TO_BE_MADE)
        return None

    def _turn_from(self, entry: CatalogueEntry, code: str | None, check: Check) -> Turn | None:
        settings: dict[str, str] = {}
        row, config, now = entry.clip, self._output.config, code
        for _ in range(MAX_STEPS):
            for word in _words(check, config, is_rejected=code is not None):
                changed = self._config([*settings.values(), word])
                if changed is None or settings.get(check.key) == word:
                    continue
                judged = self._judge(row, changed)
                if judged is None:
                    continue
                settings = {k: v for k, v in settings.items() if k != check.key}
                settings[check.key] = word
                row, config = judged, changed
                break
            else:
                return None
            now = row.code if row.status != "kept" else None
            if (now in (None, TO_BE_MADE)) == (code is not None):
                return Turn(settings=tuple(settings.values()), becomes=now or "kept")
            if code is None:
                return None
            again = Checker(config).clip_checks(replace(entry, clip=row), self._signals)
            check = next(iter(deciding(again, now)), check)
        return None

    def _judge(self, row: ClipRow, config: CurateConfig) -> ClipRow | None:
        """The clip that covers most of the row's stretch under other settings."""
        if self._infos is None:
            return None
        ledger, sha = self._output.ledger, self._source.sha256
        theirs = [clip for clip in self._clips if clip.source_sha256 == sha]
        judge = Judge(config, self._infos, self._output.config)
        judged = judge.judge(self._source, theirs, partial(ledger.made_of, sha))
        rows = theirs if judged.clips is None else judged.clips
        if row.code == NEAR_DUPLICATE:
            rows = self._without_copies(rows, config)
        return max(rows, key=lambda clip: _shared_s(clip, row), default=None)

    def _without_copies(self, rows: list[ClipRow], config: CurateConfig) -> list[ClipRow]:
        """The rows as the whole catalogue has them."""
        sha, ledger = self._source.sha256, self._output.ledger
        clips = [*(clip for clip in self._clips if clip.source_sha256 != sha), *rows]
        clips.sort(key=lambda clip: clip.clip_id)
        entries = build_catalogue(
            ledger.sources(), clips, config.duplicates, config.shards, ledger.groups()
        )
        return [entry.clip for entry in entries if entry.source.sha256 == sha]

    def _config(self, words: Sequence[str]) -> CurateConfig | None:
        """The folder's settings with others; None: out of range, or not for a refilter."""
        before, root = self._output.config, self._output.root
        try:
            config = load_config(type(before), root / "config.yaml", list(words))
            config = replace(config, out=str(root))
            check_settings(before, config)
        except ConfigError:
            return None
        return config


def _words(check: Check, config: CurateConfig, *, is_rejected: bool) -> Iterator[str]:
    """``key=value`` with limits beyond the check's value, the nearest round ones first."""
    if check.key in NAMED and is_rejected:
        yield f"{check.key}={NAMED[check.key]}"
        return
    known = setting(config, check.key)
    if not isinstance(known, int | float) or not isinstance(check.value, int | float):
        return
    if not check.threshold or not check.value:
        return
    value = check.value * known / check.threshold  # a limit may be stated in frames, say
    is_up = (check.rule in (LESS, AT_MOST)) == is_rejected
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    step = max(step, 1.0) if isinstance(known, int) else step
    for further in range(3):
        steps = math.floor(value / step + 1e-9) + 1 if is_up else math.ceil(value / step - 1e-9) - 1
        limit = (steps + further if is_up else steps - further) * step
        yield f"{check.key}={limit:.0f}" if isinstance(known, int) else f"{check.key}={limit:.6g}"
    if is_rejected and check.rule in (AT_LEAST, AT_MOST):  # a share of 1 has no limit beyond it
        yield f"{check.key}={value:.6g}"


def setting(config: CurateConfig, key: str) -> Any:
    """The value of a key such as ``selection.people.min_score``; None: there is none."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _shared_s(clip: ClipRow, row: ClipRow) -> float:
    """Seconds that two stretches of one source share."""
    ends = min(clip.record["end_s"], row.record["end_s"])
    return float(ends - max(clip.record["start_s"], row.record["start_s"]))
