"""``dry_run=true``: what `make curate` would do, how long it would take and how much it would fill.

Reads headers and judges stored signals by today's settings, and writes nothing: it reads a copy of
the ledger. A file unknown to the ledger by path, size and modification time counts as new. Without
earlier runs, three frames of at most eight new files are looked at for how much they will yield.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.console import counted, duration_in_words, size_in_words
from configs.errors import ConfigError, DataError
from configs.loading import load_config
from curation.clip import first_failed
from curation.judging import TO_BE_MADE, Judge
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.perception.protocols import PersonDetector
from curation.selection.first_look import passing_share
from curation.selection.probe import header_checks
from curation.settings import CurateConfig
from curation.step_times import seconds_by_step
from curation.video.decode import Header, cpu_count, read_header
from curation.video.sources import Source
from curation.workers.attempts import is_to_try_again
from curation.workers.executor import FAILURES
from datasets.video.reader import UnreadableVideoError

PASS_STEPS = ("first pass", "arbiter", "people in samples")
TYPICAL_FRAME_S, TYPICAL_MEGAPIXEL_S, TYPICAL_SAMPLE_S = 2.3e-3, 6.2e-3, 0.045
"""Of one core with the embedded models (docs/notes/speed.md), for a folder without earlier runs."""
TYPICAL_CLIP_FRAME_S = 0.095
TYPICAL_KEPT = 0.75  # of ``most_kept_s``: 1.0 of ../shared/media/single, 0.5 of rendered dancers
STRETCH_S = 15.0
"""A long scene's typical longest stretch; ``selection.stretches=longest`` makes one clip of it."""
CLIP_FRAME_BYTES = 27_000  # all tracks; stored in clips/ and again in shards/
STORED_FRAME_BYTES = 3_000  # signals/ and people/
START_S = 10.0
MOST_HEADERS = 500  # read before a run, for its time left
AS_BEFORE, AGAIN, NEW, REFUSED = "unchanged", "judged again", "to decode", "rejected"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The expected result for one source."""

    name: str
    what: str  # AS_BEFORE, AGAIN, NEW or REFUSED
    detail: str = ""
    duration_s: float = 0.0
    kept_s: float = 0.0  # of a video to decode: seconds that become clips
    work_s: float = 0.0  # seconds on one worker
    num_bytes: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Costs on this machine, measured in earlier runs of the folder, or typical ones."""

    pass_factor: float = 1.0  # relative to the typical costs
    clip_factor: float = 1.0
    kept: float = TYPICAL_KEPT  # share of ``most_kept_s``; above 1 where long videos have cuts
    is_measured: bool = False
    is_looked_at: bool = False  # ``kept`` is the share of looked-at frames that pass

    def pass_s(self, header: Header, duration_s: float, sample_fps: float) -> float:
        """Seconds of the first pass, including person detection in its samples."""
        return self.pass_factor * _typical_pass_s(
            header, duration_s * (header.average_fps or 30.0), duration_s * sample_fps
        )

    def clip_s(self, num_frames: float) -> float:
        """Seconds to decode a clip and make its tracks."""
        return self.clip_factor * TYPICAL_CLIP_FRAME_S * num_frames


def most_kept_s(duration_s: float, config: CurateConfig) -> float:
    """Seconds of a video of one scene that typically become clips if all of it passes."""
    return min(duration_s, STRETCH_S) if config.selection.stretches == "longest" else duration_s


def measured_costs(
    sources: Sequence[SourceRow], clips: Sequence[ClipRow], config: CurateConfig
) -> Costs:
    """Costs of earlier runs; typical ones if there were none."""
    measured = [s for s in sources if s.facts.get("seconds") and s.facts.get("header")]
    made = [clip for clip in clips if clip.record.get("seconds")]
    if not measured or not made:
        return Costs()
    spent = seconds_by_step([s.facts for s in measured] + [clip.record for clip in made])
    pass_s = sum(wall for step, (_, wall) in spent.items() if step in PASS_STEPS)
    clip_s = sum(wall for step, (_, wall) in spent.items() if step not in PASS_STEPS)
    typical_s = sum(
        _typical_pass_s(
            Header(**s.facts["header"]), s.facts["num_frames"], 2.5 * s.facts["duration_s"]
        )
        for s in measured
    )
    clip_frames = sum(clip.record.get("num_frames") or 0 for clip in made)
    most_frames = sum(
        s.facts["num_frames"] * most_kept_s(s.facts["duration_s"], config) / s.facts["duration_s"]
        for s in measured
        if s.facts["duration_s"]
    )
    return Costs(
        pass_factor=pass_s / max(typical_s, 1e-9),
        clip_factor=clip_s / max(TYPICAL_CLIP_FRAME_S * clip_frames, 1e-9),
        kept=clip_frames / max(most_frames, 1.0),
        is_measured=True,
    )


def _typical_pass_s(header: Header, num_frames: float, num_samples: float) -> float:
    megapixels = header.height * header.width / 1e6
    frame_s = TYPICAL_FRAME_S + TYPICAL_MEGAPIXEL_S * megapixels
    return frame_s * num_frames + TYPICAL_SAMPLE_S * num_samples


@contextmanager
def ledger_copy(out: Path) -> Iterator[Ledger]:
    """A writable temporary copy of the folder's ledger, merged with those of its parts."""
    with tempfile.TemporaryDirectory(prefix="curate-dry-") as name:
        folder = Path(name)
        for path in [*out.glob("ledger*.sqlite"), *out.glob("ledger*.sqlite-wal")]:
            shutil.copyfile(path, folder / path.name)
        with Ledger(folder / "ledger.sqlite") as ledger:
            for path in sorted(folder.glob("ledger-*-of-*.sqlite")):
                ledger.absorb(path, is_newer=True)
            yield ledger


def known_or_new(ledger: Ledger) -> Callable[[Path], str]:
    """Returns the sha256 of files unchanged since the ledger saw them; else a hash of the path."""

    def hash_of(path: Path) -> str:
        known = ledger.known_hash(path)
        return known or f"new-{hashlib.sha256(str(path).encode('utf-8', 'replace')).hexdigest()}"

    return hash_of


def forecast(
    config: CurateConfig,
    ledger: Ledger,
    jobs: Sequence[tuple[Source, str]],
    infos: dict[str, Any],
    detector: PersonDetector,
) -> tuple[list[Expected], Costs]:
    """What a run would do with each source; ``ledger`` is a ``ledger_copy``.

    ``detector`` looks at a few frames of new sources if there was no earlier run.
    """
    rows = {row.sha256: row for row in ledger.sources()}
    clips = ledger.clips()
    of_source: dict[str, list[ClipRow]] = {}
    for clip in clips:
        of_source.setdefault(clip.source_sha256, []).append(clip)
    costs = measured_costs(list(rows.values()), clips, config)
    if not costs.is_measured:
        new = [source.path for source, _ in jobs if source.sha256 not in rows]
        costs = _looked_at(new, config, detector)
    stored = Path(config.out) / "config.yaml"
    before = load_config(CurateConfig, stored) if stored.is_file() else config
    judge = Judge(config, infos, before)
    is_same_pass = before.first_pass == config.first_pass and ledger.recall("models") == infos
    expected: list[Expected] = []
    for source, fingerprint in jobs:
        row, mine = rows.get(source.sha256), of_source.get(source.sha256, [])
        if row is not None and row.fingerprint == fingerprint:
            if not is_to_try_again(row, config.limits):
                kept = sum(clip.status == "kept" for clip in mine)
                detail = row.code or f"{kept} kept"
                expected.append(Expected(name=source.name, what=AS_BEFORE, detail=detail))
                continue
        elif row is not None and is_same_pass and row.code not in FAILURES:
            judged = judge.judge(row, mine, partial(ledger.made_of, row.sha256))
            if judged.source.code is not None or judged.clips is not None or not judged.is_open:
                expected.append(_judged_again(source.name, judged.clips, mine, row, costs))
                continue
        expected.append(_decoded(source, config, costs))
    return expected, costs


def _looked_at(paths: Sequence[Path], config: CurateConfig, detector: PersonDetector) -> Costs:
    """Typical costs, and the share of frames that a look at some of them promises."""
    try:
        share = passing_share(
            paths, config.first_pass, config.selection.people, detector,
            partial(most_kept_s, config=config),
        )  # fmt: skip
    except (ConfigError, DataError):  # the run itself says which weights or packages are missing
        share = None
    return Costs() if share is None else Costs(kept=share, is_looked_at=True)


def _judged_again(
    name: str,
    judged: list[ClipRow] | None,
    before: list[ClipRow],
    row: SourceRow,
    costs: Costs,
) -> Expected:
    after = before if judged is None else judged
    old, new = (sum(clip.status == "kept" for clip in rows) for rows in (before, after))
    to_make = [clip for clip in after if clip.code == TO_BE_MADE]
    frames = sum(clip.record.get("num_frames") or 0 for clip in to_make)
    detail = f"{old} -> {new} kept" + (f", {len(to_make)} to make" if to_make else "")
    return Expected(
        name=name,
        what=AGAIN,
        detail=detail,
        duration_s=float(row.facts.get("duration_s") or 0.0),
        work_s=costs.clip_s(frames),
        num_bytes=frames * 2.0 * CLIP_FRAME_BYTES,
    )


def _decoded(source: Source, config: CurateConfig, costs: Costs) -> Expected:
    try:
        header = read_header(source.path)
    except UnreadableVideoError as error:
        return Expected(name=source.name, what=REFUSED, detail=error.code)
    reject = first_failed(header_checks(header, config.probe))
    if reject is not None:
        return Expected(name=source.name, what=REFUSED, detail=reject.code)
    limit_s = config.first_pass.max_duration_s
    duration_s = min(header.duration_s or limit_s, limit_s)
    fps = header.average_fps or 30.0
    kept_s = costs.kept * most_kept_s(duration_s, config)
    clip_frames = kept_s * min(fps, config.canonical.max_fps)
    return Expected(
        name=source.name,
        what=NEW,
        detail=f"{header.height}x{header.width}, {fps:.4g} fps"
        + ("" if header.duration_s else ", unknown length"),
        duration_s=duration_s,
        kept_s=kept_s,
        work_s=costs.pass_s(header, duration_s, config.first_pass.sample_fps)
        + costs.clip_s(clip_frames),
        num_bytes=clip_frames * 2.0 * CLIP_FRAME_BYTES + duration_s * fps * STORED_FRAME_BYTES,
    )


def expected_work(sources: Sequence[Source], config: CurateConfig, costs: Costs) -> list[float]:
    """Seconds on one worker for each source, by its header; with very many, by size for most."""
    step = max(1, len(sources) // MOST_HEADERS)
    read = {i: _decoded(sources[i], config, costs).work_s for i in range(0, len(sources), step)}
    num_bytes = sum(sources[i].num_bytes for i in read)
    rate = sum(read.values()) / max(num_bytes, 1)
    return [read.get(i, rate * source.num_bytes) for i, source in enumerate(sources)]


def print_forecast(
    expected: Sequence[Expected], costs: Costs, config: CurateConfig, console: Console
) -> None:
    """Print the table by source, and the totals."""
    table = Table(title="What a run would do", title_justify="left")
    for title, kind in (("video", "left"), ("", "left"), ("", "left"), ("length", "right"),
                        ("work", "right"), ("disk", "right")):  # fmt: skip
        table.add_column(title, justify=kind, overflow="fold")  # pyright: ignore[reportArgumentType]
    for one in expected:
        table.add_row(
            one.name, one.what, one.detail, *(_amounts(one) if one.work_s else ("", "", ""))
        )
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(table)
    counts = {what: sum(one.what == what for one in expected)
              for what in (AS_BEFORE, AGAIN, NEW, REFUSED)}  # fmt: skip
    summary = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    total = Expected(
        name="",
        what="",
        work_s=sum(one.work_s for one in expected),
        num_bytes=sum(one.num_bytes for one in expected),
    )
    workers = min(config.workers or cpu_count(), max(counts[NEW] + counts[AGAIN], 1))
    start_s = START_S if counts[NEW] + counts[AGAIN] else 0.0  # models load only if they are used
    wall = replace(total, work_s=start_s + total.work_s / workers)
    new_s = sum(one.duration_s for one in expected if one.what == NEW)
    share = f"{sum(one.kept_s for one in expected) / max(new_s, 1e-9):.0%} of new videos"
    basis = (
        f"as measured in earlier runs of this folder, {share} going into clips"
        if costs.is_measured
        else f"typical for the embedded models, {share} going into clips "
        f"({'by a look at a few frames' if costs.is_looked_at else 'assumed'}); after a first run "
        "on a few videos, measured values are used"
    )
    console.print(
        f"{counted(len(expected), 'video')}: {summary}. About {_amounts(wall)[1]} on "
        f"{counted(workers, 'worker')} and "
        f"{_amounts(total)[2]} of disk, {basis}. Duplicates are ignored; nothing was written.",
        highlight=False,
        soft_wrap=True,
    )


def _amounts(one: Expected) -> tuple[str, str, str]:
    """Duration, work and disk space as text."""
    durations = duration_in_words(one.duration_s), duration_in_words(one.work_s)
    return *durations, size_in_words(one.num_bytes)
