"""report.html: what was kept, what was rejected and why, with pictures and evidence."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from configs.console import counted, duration_in_words
from curation.checks import Checker, rejecting
from curation.clip import Check
from curation.first_pass.signals import Signals, read_signals
from curation.judging import TO_BE_MADE
from curation.ledger import SourceRow
from curation.report.arbiter import arbiter_sheet
from curation.report.charts import histograms
from curation.report.evidence import evidence_text, nearly_turned
from curation.report.pictures import clip_strip, people_strip, preview_strip, track_strip
from curation.selection.overlays import OVERLAY
from curation.selection.scenes import overlays_in, people_in
from curation.settings import CurateConfig
from curation.shards.catalogue import HELD_OUT, CatalogueEntry
from curation.step_times import run_cost
from curation.video.decode import cpu_count
from datasets.storage import write_file
from datasets.webpage import (
    Html,
    captioned,
    cards,
    grid,
    jpeg_image,
    page,
    section,
    table,
)

logger = logging.getLogger(__name__)

Checked = Sequence[tuple[CatalogueEntry, Sequence[Check]]]
"""Candidate clips with all their checks."""
ALL_TRACKS = "all tracks made"
STEPS = {
    "quality": "sharp, lit, moving, long enough",
    "people": "one person, body in view",
    "overlays": "nothing drawn over the person",
    ALL_TRACKS: ALL_TRACKS,  # any other verdict is a stage's
    TO_BE_MADE: "tracks there since thresholds changed",
    "copies": "no near-duplicate",
    HELD_OUT: "unlike the benchmark",
}
"""Verdict -> step of the funnel, in order."""
OCCASIONAL = ("overlays", TO_BE_MADE, HELD_OUT)
"""Steps of the funnel that are omitted if they reject nothing."""
MAX_KEPT, MAX_TRACKS, MAX_NEAR, MAX_REJECTED = 48, 12, 12, 9


def write_report(
    path: Path,
    entries: Sequence[CatalogueEntry],
    sources: Sequence[SourceRow],
    config: CurateConfig,
) -> None:
    """Write the page, atomically."""
    out = path.parent
    kept = [entry for entry in entries if entry.is_kept]
    rejected = [entry for entry in entries if not entry.is_kept]
    names = {
        entry.clip.clip_id: f"{entry.source.name} at {entry.clip.record['start_s']:.1f} s"
        for entry in entries
    }
    checker = Checker(config)
    checked = [(entry, checker.clip_checks(entry)) for entry in entries]
    verdicts = {entry.clip.clip_id: rejecting(c, entry.clip.code) for entry, c in checked}
    verdicts |= {s.sha256: rejecting(checker.source_checks(s), s.code) for s in sources if s.code}
    near = _near_sheet(checked, out / "clips")
    doubtful = arbiter_sheet(sources, config, out / "signals")
    sections = [
        section("Rejected, step by step", _funnel(entries, sources, verdicts)),
        section("Reasons", _reasons(rejected, sources, verdicts, names)),
        section("Kept", _kept_sheet(kept, out / "clips")),
        section("Tracks", _tracks_sheet(kept, out / "clips")),
        section("Near a threshold", near) if near else "",
        section("Rejected", _rejected_sheet(rejected, out / "signals", verdicts, names, config))
        if rejected
        else "",
        section("Doubtful cuts", doubtful) if doubtful else "",
        section("Values and thresholds", histograms(checked)),
        section("Sources", _source_table(entries, sources)),
        section("Models", _models(kept)),
        section("Time spent", _cost(entries, sources)),
    ]
    title = "Curation report"
    seconds = sum(entry.clip.record["end_s"] - entry.clip.record["start_s"] for entry in kept)
    groups = Counter(entry.group for entry in kept)
    total = len(entries) + sum(source.code is not None for source in sources)
    figures = (
        '<div style="margin:0 0 20px">'
        + cards(
            [
                _card(len(sources), "video"),
                _card(len(kept), "clip kept", "clips kept"),
                (str(total - len(kept)), "rejected"),
                (duration_in_words(seconds), "of one person moving"),
                _card(len(groups), "group (never split)", "groups (never split)"),
                (str(sum(count > 1 for count in groups.values())), "of them hold several clips"),
            ]
        )
        + "</div>"
    )
    lead = "Raw videos in, clips of exactly one person out; every decision with its evidence."
    text = page(title, lead, [figures, *[part for part in sections if part]])
    write_file(path, text.encode())


def _card(number: int, noun: str, plural: str | None = None) -> tuple[str, str]:
    shown, _, label = counted(number, noun, plural).partition(" ")
    return shown, label


def _funnel(
    entries: Sequence[CatalogueEntry], sources: Sequence[SourceRow], verdicts: Mapping[str, Check]
) -> str:
    readable = [source for source in sources if source.code is None]
    lost: Counter[str] = Counter()
    for entry in entries:
        if not entry.is_kept:
            verdict = verdicts[entry.clip.clip_id].verdict
            lost[verdict if verdict in STEPS else ALL_TRACKS] += 1
    steps: list[tuple[str, int]] = [("videos", len(sources)), ("readable videos", len(readable))]
    left = len(entries)
    steps.append(("scenes and stretches", left))
    for verdict, label in STEPS.items():
        if not lost[verdict] and verdict in OCCASIONAL:
            continue
        left -= lost[verdict]
        steps.append((label, left))
    # videos are compared with all videos, stretches with all stretches
    whole = [len(sources)] * 2 + [len(entries)] * (len(steps) - 2)
    rows = [
        (label, count, Html(_bar(count / max(total, 1))))
        for (label, count), total in zip(steps, whole, strict=True)
    ]
    return table(("step", "left", ""), rows)


def _bar(share: float) -> str:
    return (
        '<div style="background:var(--line,#ddd);border-radius:4px;min-width:6rem;'
        'margin-top:.35rem">'
        '<div style="background:var(--accent,#4477aa);border-radius:4px;height:.8rem;'
        f'width:{100 * share:.1f}%"></div></div>'
    )


def _reasons(
    rejected: Sequence[CatalogueEntry],
    sources: Sequence[SourceRow],
    verdicts: Mapping[str, Check],
    names: dict[str, str],
) -> str:
    found: dict[str, list[tuple[str, Check, dict[str, Any]]]] = defaultdict(list)
    for entry in rejected:
        clip = entry.clip
        case = (entry.source.name, verdicts[clip.clip_id], clip.evidence)
        found[str(clip.code)].append(case)
    for source in sources:
        if source.code is not None:
            found[source.code].append((source.name, verdicts[source.sha256], source.evidence))
    if not found:
        return "<p>Nothing was rejected.</p>"
    rows: list[tuple[object, ...]] = []
    for code, cases in sorted(found.items(), key=lambda item: -len(item[1])):
        name, check, evidence = cases[0]
        rows.append(
            (code, len(cases), check.meaning, name, evidence_text(check, evidence, names))
        )  # fmt: skip
    return table(("reason", "clips", "what it means", "for example", "its evidence"), rows)


def _near_sheet(checked: Checked, clips: Path) -> str:
    near = nearly_turned(checked)
    if not near:
        return ""
    figures: list[str] = []
    for entry, value in near[:MAX_NEAR]:
        assert entry.clip.folder is not None
        strip = jpeg_image(clip_strip(clips / entry.clip.folder), entry.source.name)
        figures.append(captioned(strip, f"{entry.source.name}: {value}"))
    lead = "<p>Kept, but rejected if the threshold were 10% stricter; nearest first.</p>"
    return lead + _how_many(len(figures), len(near)) + grid(figures, 360)


def _kept_sheet(kept: Sequence[CatalogueEntry], clips: Path) -> str:
    if not kept:
        return "<p>No clip was kept.</p>"
    figures: list[str] = []
    for entry in _spread(kept, MAX_KEPT):
        record = entry.clip.record
        assert entry.clip.folder is not None
        strip = jpeg_image(clip_strip(clips / entry.clip.folder), entry.source.name)
        figures.append(
            captioned(
                strip,
                f"{entry.source.name}, {record['start_s']:.2f}-{record['end_s']:.2f} s, "
                f"{record['height']}x{record['width']}, {record['fps']:.4g} fps, {entry.split}",
            )
        )
    return _how_many(len(figures), len(kept)) + grid(figures, 360)


def _tracks_sheet(kept: Sequence[CatalogueEntry], clips: Path) -> str:
    if not kept:
        return ""
    figures: list[str] = []
    for entry in _spread(kept, MAX_TRACKS):
        assert entry.clip.folder is not None
        strip = jpeg_image(track_strip(clips / entry.clip.folder), entry.source.name)
        scores = entry.clip.record.get("scores") or {}
        area = scores.get("mask_area")
        note = "" if area is None else f", mask on {100 * area:.0f}% of the frame"
        figures.append(captioned(strip, f"{entry.source.name}{note}"))
    lead = (
        "<p>From left: frame; area to inpaint, in red; agnostic frame; DensePose; clothes labels; "
        "garment as the model sees it.</p>"
    )
    return lead + _how_many(len(figures), len(kept)) + grid(figures, 560)


def _rejected_sheet(
    rejected: Sequence[CatalogueEntry],
    folder: Path,
    verdicts: Mapping[str, Check],
    names: dict[str, str],
    config: CurateConfig,
) -> str:
    by_code: dict[str, list[CatalogueEntry]] = defaultdict(list)
    for entry in rejected:
        by_code[str(entry.clip.code)].append(entry)
    parts: list[str] = []
    cache: dict[str, Signals | None] = {}
    for code, cases in sorted(by_code.items(), key=lambda item: -len(item[1])):
        figures: list[str] = []
        for entry in _spread(cases, MAX_REJECTED):
            signals = _signals_of(entry.source, folder, cache)
            record = entry.clip.record
            span = (record["start_s"], record["end_s"])
            strip = None if signals is None else _strip_of(signals, span, code, config)
            if strip is None:
                continue
            caption = (
                f"{entry.source.name}, {span[0]:.2f}-{span[1]:.2f} s: "
                f"{evidence_text(verdicts[entry.clip.clip_id], entry.clip.evidence, names)}"
            )
            figures.append(captioned(jpeg_image(strip, entry.source.name), caption))
        meaning = verdicts[cases[0].clip.clip_id].meaning
        parts.append(f"<h3>{escape(code)}: {escape(meaning)}</h3>")
        parts.append(_how_many(len(figures), len(cases)) + grid(figures, 360))
    return "".join(parts)


def _strip_of(
    signals: Signals, span: tuple[float, float], code: str, config: CurateConfig
) -> np.ndarray | None:
    """Frames of a rejected stretch; what is drawn over the person is outlined."""
    selection = config.selection
    if code != OVERLAY or signals.samples is None:
        return preview_strip(signals, span)
    people = people_in(signals, span, selection.people, selection.quality)
    over = overlays_in(signals, span, people, selection.quality, selection.overlays)
    return people_strip(signals, span, people, over)


def _signals_of(
    source: SourceRow, folder: Path, cache: dict[str, Signals | None]
) -> Signals | None:
    if source.sha256 not in cache:
        name = source.facts.get("signals")
        path = folder / str(name)
        cache.clear()  # one at a time: a long source has megabytes of signals
        cache[source.sha256] = read_signals(path) if name and path.is_file() else None
    return cache[source.sha256]


def _source_table(entries: Sequence[CatalogueEntry], sources: Sequence[SourceRow]) -> str:
    by_source: dict[str, list[CatalogueEntry]] = defaultdict(list)
    for entry in entries:
        by_source[entry.source.sha256].append(entry)
    rows: list[tuple[object, ...]] = []
    for source in sorted(sources, key=lambda row: row.name):
        theirs = by_source[source.sha256]
        kept = sum(entry.is_kept for entry in theirs)
        reasons = Counter(entry.clip.code for entry in theirs if not entry.is_kept)
        if source.code is not None:
            reasons[source.code] += 1
        header = source.facts.get("header") or {}
        size = f"{header['height']}x{header['width']}" if header else ""
        notes = [f"{code} {count}" for code, count in reasons.most_common()]
        whole = {name for entry in theirs for name in entry.clip.record.get("whole_photos", ())}
        notes += [f"whole photo taken for the {name}" for name in sorted(whole)]
        notes += ["ends early"] if source.facts.get("is_partial") else []
        notes += [f"also named {', '.join(source.also_named)}"] if source.also_named else []
        rows.append(
            (
                source.name, size, source.facts.get("duration_s", ""), kept,
                "; ".join(notes), source.sidecar.get("licence") or "unknown",
            )
        )  # fmt: skip
    return table(
        ("video", "size", "seconds", "kept", "rejected because", "licence"), rows, is_sortable=True
    )


def _models(kept: Sequence[CatalogueEntry]) -> str:
    used = {
        (role, info["name"], info["version"], info["weights_sha256"] or "", info["note"])
        for entry in kept
        for role, info in (entry.clip.record.get("backends") or {}).items()
    }
    if not used:
        return ""
    rows = [
        (role, name, version, ", ".join(part[:12] for part in weights.split("+")), note or "exact")
        for role, name, version, weights, note in sorted(used)
    ]
    return table(("role", "model", "version", "weights", "approximation, and its cost"), rows)


def _cost(entries: Sequence[CatalogueEntry], sources: Sequence[SourceRow]) -> str:
    cost = run_cost([s.facts for s in sources], [e.clip.record for e in entries])
    frames = sum(source.facts.get("num_frames", 0) for source in sources)
    if cost is None or not frames:
        return ""
    everything = ("everything", [cost.cpu_s, cost.wall_s])
    rows = [
        (step, cpu, wall, f"{100 * wall / max(cost.wall_s, 1e-9):.0f}%", 1000 * cpu / frames,
         frames / max(cpu, 1e-9))
        for step, (cpu, wall) in [*cost.steps.items(), everything]
    ]  # fmt: skip
    return f"<p>{cost.in_words(sorted({1, cpu_count(), 16}))}</p>" + table(
        ("step", "CPU s", "wall s", "share of wall", "CPU ms per source frame",
         "source frames per second and core"),
        rows,
    )  # fmt: skip


def _spread(items: Sequence[CatalogueEntry], limit: int) -> list[CatalogueEntry]:
    """At most ``limit`` entries, spread evenly in order of source name."""
    ordered = sorted(items, key=lambda entry: (entry.source.name, entry.clip.clip_id))
    if len(ordered) <= limit:
        return ordered
    return [ordered[int(index)] for index in np.linspace(0, len(ordered) - 1, limit)]


def _how_many(shown: int, total: int) -> str:
    return "" if shown == total else f"<p>{shown} of {total}.</p>"
