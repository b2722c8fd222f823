"""Write shards, manifest and report from the ledger; whatever is up to date is kept."""

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.console import counted
from configs.front_door import as_called
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry, build_catalogue, groups_of, packed_clips
from curation.shards.held_out import HeldOut, choose_held_out, clip_profiles, hold_out, left_out
from curation.shards.manifest import manifest_rows, write_manifest
from curation.shards.rejected import write_rejected
from curation.shards.shards import pack_shards, plan_shards
from curation.shards.takes import find_takes, in_several_splits
from curation.stages.colours import ColourProfile
from curation.step_times import run_cost
from datasets.storage import write_file

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Published:
    """Counts of a run, for its last lines."""

    num_sources: int
    num_decoded: int = 0
    num_kept: int = 0
    num_written: int = 0  # shards
    reasons: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)  # of the clips in shards


def publish(
    config: CurateConfig, ledger: Ledger, outcome: Published, only: set[str] | None = None
) -> None:
    """Write shards, manifest and report from the ledger, and counts into ``outcome``.

    ``only``: sha256 of the sources to include, for a benchmark whose list changed.
    """
    out = Path(config.out)
    sources = [row for row in ledger.sources() if only is None or row.sha256 in only]
    clips = [row for row in ledger.clips() if only is None or row.source_sha256 in only]
    profiles = _profiles(config, ledger, sources, clips)
    takes = find_takes(profiles, config.takes)
    entries, held = _held_out(config, ledger, sources, clips, takes)
    _warn_of_takes(in_several_splits(takes, entries))
    targets = {one.clip_id: one.target for one in held}
    packed = packed_clips(entries, out / "clips", targets)
    outcome.splits = Counter(clip.split for clip in packed)
    shard_of = plan_shards(packed, config.shards, ledger.shards())
    ledger.record_places(groups_of(entries), shard_of)
    outcome.num_written = pack_shards(packed, out / "shards", shard_of)
    write_rejected(out / "shards", entries, sources)
    rows = manifest_rows(entries, sources, shard_of)
    write_manifest(out / "manifest.parquet", rows)
    outcome.num_kept = sum(row["status"] == "kept" for row in rows)
    outcome.reasons = Counter(row["reason"] for row in rows if row["status"] != "kept")
    if outcome.num_written or outcome.num_decoded or not (out / "report.html").is_file():
        from curation.report.report import write_report  # many imports, needed only here

        write_report(out / "report.html", entries, sources, config)
        cost = run_cost([source.facts for source in sources], [clip.record for clip in clips])
        if cost is not None:
            write_file(out / "cost.json", json.dumps(cost.as_record(), indent=1).encode())


def stored_catalogue(
    config: CurateConfig, ledger: Ledger, sources: list[SourceRow], clips: list[ClipRow]
) -> list[CatalogueEntry]:
    """The catalogue as the last run left it."""
    entries, held, left = _as_stored(config, ledger, sources, clips, [])
    return hold_out(entries, held, left)


def _as_stored(
    config: CurateConfig,
    ledger: Ledger,
    sources: list[SourceRow],
    clips: list[ClipRow],
    takes: list[list[str]],
) -> tuple[list[CatalogueEntry], list[HeldOut], dict[str, Any]]:
    """The catalogue, clips held out so far, and those that are left out because of them."""
    stored = ledger.recall("held_out") or {"held": [], "left": {}}
    held = [HeldOut(**one) for one in stored["held"]]
    entries = build_catalogue(
        sources, clips, config.duplicates, config.shards, ledger.groups(),
        {one.clip_id for one in held}, takes,
    )  # fmt: skip
    return entries, held, stored["left"]


def _profiles(
    config: CurateConfig, ledger: Ledger, sources: list[SourceRow], clips: list[ClipRow]
) -> dict[str, ColourProfile]:
    """Colours of the kept clips whose split is not stated by a sidecar, to find takes alike."""
    if not config.takes.together or config.benchmark is not None:
        return {}
    stated = {source.sha256 for source in sources if source.sidecar.get("split")}
    free = (clip for clip in clips if clip.source_sha256 not in stated)
    profiles, new = clip_profiles(free, Path(config.out) / "clips", ledger.looks())
    ledger.record_looks(new)
    return profiles


def _held_out(
    config: CurateConfig,
    ledger: Ledger,
    sources: list[SourceRow],
    clips: list[ClipRow],
    takes: list[list[str]],
) -> tuple[list[CatalogueEntry], list[HeldOut]]:
    """The catalogue with as many clips held out as requested, or as before."""
    entries, before, _ = _as_stored(config, ledger, sources, clips, takes)
    if not before and not config.num_held_out:
        return entries, []
    kept = (entry.clip for entry in entries)
    profiles, new = clip_profiles(kept, Path(config.out) / "clips", ledger.looks())
    held = choose_held_out(entries, profiles, before, config.num_held_out, config.held_out)
    left = left_out(entries, profiles, held, config.held_out)
    _warn_of_trained(held[len(before) :], ledger.shards())
    ledger.record_looks(new)
    ledger.remember("held_out", {"held": [asdict(one) for one in held], "left": left})
    return hold_out(entries, held, left), held


def _warn_of_takes(apart: list[list[str]]) -> None:
    if apart:
        logger.warning(
            "%d garments are shown in one room in several splits, for instance in %s: their groups "
            "are from an earlier version; curate into a new OUT to draw the splits again",
            len(apart), " and ".join(apart[0][:2]),
        )  # fmt: skip


def _warn_of_trained(held: list[HeldOut], shard_of: dict[str, str]) -> None:
    trained = [one for one in held if shard_of.get(one.clip_id, "").startswith("train-")]
    if trained:
        logger.warning(
            "%d of the clips held out now were in train shards before; models trained on those "
            "shards have seen them", len(trained),
        )  # fmt: skip


def print_outcome(outcome: Published, out: Path) -> None:
    """Print the table of reasons and the output paths."""
    console = Console()
    if outcome.reasons:
        table = Table(title="Rejected", title_justify="left")
        table.add_column("reason")
        table.add_column("clips", justify="right")
        for reason, count in outcome.reasons.most_common():
            table.add_row(reason, str(count))
        console.print(table)
    total = sum(outcome.reasons.values())
    console.print(
        f"{counted(outcome.num_sources, 'video')}: {counted(outcome.num_kept, 'clip')} kept, "
        f"{total} rejected -> "
        f"{out / 'shards'}, {out / 'manifest.parquet'}, {out / 'report.html'}",
        soft_wrap=True,
    )
    if outcome.splits["train"] and not outcome.splits["val"]:
        told = (
            "No clip was assigned to val, which validation needs: set a larger "
            f"shards.val_share (`make curate-refilter OUT={out} ARGS=shards.val_share=0.3`), or "
            "write `split: val` into a sidecar; or train without: data.num_validation_clips=0"
        )
        console.print(as_called(told), soft_wrap=True)
