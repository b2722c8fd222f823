"""A curated folder by formula, as large as asked for, that can be judged again.

Every number that a threshold is held against is there, and every verdict is the real one; all
clips share the tracks of one small clip, since nobody looks at them.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.loading import save_config
from curation.clip import Clip
from curation.clip_maker import ClipMaker, fingerprint, rejected_row, with_hashes
from curation.first_pass.signals import PersonSamples, Signals, write_signals
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.perception.protocols import Person, named_perception
from curation.pipeline import build_maker
from curation.publish import Published, publish
from curation.selection.candidates import Candidate, RejectedClip, find_candidates
from curation.settings import CurateConfig
from curation.stages.people_files import pack_people
from datasets.storage import store_folder, write_file
from tests.output_fixtures import config_of, standing_signals
from tests.shard_fixtures import sample_members

INFOS: dict[str, Any] = {
    role: {"name": role, "version": "1", "weights_sha256": None, "is_approximate": True, "note": ""}
    for role in ("detector", "densepose", "parser")
}
FPS = 30.0


def write_judged(
    out: Path, num_sources: int, seconds: float = 4.0, *more: str, fps: float = FPS
) -> CurateConfig:
    """A folder of so many takes; sharpness 20..219 and mask area 0.1..0.59 go by the number."""
    config = config_of(out, *more)
    maker = build_maker(config, named_perception(INFOS))
    run = fingerprint(config.deciding(), INFOS)
    with Ledger(out / "ledger.sqlite") as ledger:
        ledger.remember("models", INFOS)
        for number in range(num_sources):
            ledger.record(*judged_source(config, maker, run, number, seconds, fps))
        publish(config, ledger, Published(num_sources=num_sources, num_decoded=num_sources))
    save_config(config, out / "config.yaml")
    return config


def sharpness_of(number: int) -> float:
    return 20.0 + number * 37 % 200


def mask_area_of(number: int) -> float:
    return 0.1 + number * 7 % 50 / 100


def judged_source(
    config: CurateConfig, maker: ClipMaker, run: str, number: int, seconds: float, fps: float = FPS
) -> tuple[SourceRow, list[ClipRow]]:
    """A source of one scene, judged by the real rules; its signals lie in ``out/signals``."""
    out = Path(config.out)
    signals = take_signals(number, seconds, fps)
    sha = f"{number * 2654435761 % (1 << 64):016x}" * 4
    name = f"{sha[:32]}-{'0' * 12}.signals"
    (out / "signals").mkdir(exist_ok=True)
    write_file(out / "signals" / name, functools.partial(write_signals, signals))
    base = Clip(
        source=f"take {number:05d}.mp4", source_sha256=sha, scene_start_s=0.0,
        scene_end_s=signals.end_s, start_s=0.0, end_s=signals.end_s,
    )  # fmt: skip
    rows: list[ClipRow] = []
    for outcome in find_candidates(base, signals, config.selection, config.canonical):
        if isinstance(outcome, RejectedClip):
            rows.append(rejected_row(outcome))
        else:
            row = made_row(config, maker, outcome, number)
            rows.append(with_hashes(row, signals, config.duplicates.hash_fps))
    source = SourceRow(
        sha256=sha, name=base.source, group=sha, num_bytes=1000, fingerprint=f"{run}--False",
        facts={
            "signals": name,
            "num_frames": signals.num_frames, "duration_s": signals.end_s,
        },
    )  # fmt: skip
    return source, rows


def take_signals(number: int, seconds: float, fps: float) -> Signals:
    """One take of one person at ``fps``, looked at 2.5 times a second.

    The lower half of the picture stands still, the upper half is another one in every frame.
    """
    count = round(seconds * fps)
    signals = standing_signals(number, count, sharpness_of(number))
    samples = signals.samples
    assert samples is not None
    some = slice(0, None, max(1, round(fps / 2.5)))
    times = np.arange(count) / fps
    kept = PersonSamples(
        times_s=times[some], num_people=samples.num_people[some], boxes=samples.boxes[some],
        scores=samples.scores[some], keypoints=samples.keypoints[some],
        track_ids=samples.track_ids[some], changes=samples.changes[some],
    )  # fmt: skip
    thumbs = signals.thumbs.copy()
    thumbs[:, :8] = np.random.default_rng(number).integers(96, 160, (count, 8, 17), dtype=np.uint8)
    return replace(signals, times_s=times, samples=kept, thumbs=thumbs)


@functools.cache
def tracks() -> dict[str, bytes]:
    """All members of a sample but the json."""
    members = sample_members("take", 12, np.random.default_rng(0))
    return {name: data for name, data in members.items() if name != "json"}


def made_row(config: CurateConfig, maker: ClipMaker, candidate: Candidate, number: int) -> ClipRow:
    """A kept clip's row with what every stage measured, its tracks stored."""
    out, clip = Path(config.out), candidate.clip
    count = clip.num_frames or 1
    keypoints = np.tile(np.array([192.0, 256.0, 1.0], np.float32), (17, 1))
    person = Person(box=np.array([96, 51, 288, 460], np.float32), score=0.9, keypoints=keypoints)
    people = [replace(person, track_id=index) for index in range(count)]
    packed = pack_people([[one] for one in people], people, clip.fps or 1.0)
    clip = clip.with_scores(
        seen_share=1.0, person_score=0.9, mapped_share=1.0, mask_coverage=1.0,
        mask_area=mask_area_of(number), mask_smallest_area=mask_area_of(number) - 0.05,
        mask_largest_area=mask_area_of(number) + 0.05, garment_largest_area=0.2,
    ).with_shares(
        garment_area=np.full(count, 0.2), body_share=np.full(count, 0.5),
        mask_coverage=np.full(count, 1.0), mask_area=np.full(count, mask_area_of(number)),
    )  # fmt: skip
    record = {
        **vars(clip),
        "request": maker.request(candidate, None),
        "people": store_folder(out / "people", packed),
        "made": dict(maker.provenance_keys),
        "seconds": {},
        "backends": INFOS,
        "category": maker.category,
        "num_bytes": sum(len(data) for data in tracks().values()),
    }
    return ClipRow(
        clip_id=clip.clip_id, source_sha256=clip.source_sha256, status="kept", code=None,
        evidence={}, record=record, folder=store_folder(out / "clips", tracks()),
    )  # fmt: skip
