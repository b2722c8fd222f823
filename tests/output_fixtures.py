"""A curated folder as a run leaves it, made without a video and without a model.

Tracks are written by the real encoders, measurements are those of a person who stands in the
middle of a textured, moving picture; verdicts are the real ones.
"""

from functools import partial
from pathlib import Path

import numpy as np

from configs.loading import load_config, save_config
from curation.first_pass.signals import PersonSamples, Signals, write_signals
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.publish import Published, publish
from curation.settings import CurateConfig
from curation.shards.duplicates import pack_hashes, sample_hashes
from datasets.storage import store_folder, write_file
from datasets.video.orientation import Orientation
from tests.shard_fixtures import sample_members

CONFIG = Path(__file__).parents[1] / "configs" / "curate.yaml"
FPS = 8.0


def config_of(out: Path, *more: str) -> CurateConfig:
    words = [f"out={out}", "perception=embedded", "workers=1", "shards.max_clips=2", *more]
    return load_config(CurateConfig, CONFIG, [*words, "shards.val_share=0.0"])


def standing_signals(seed: int, num_frames: int = 40, sharpness: float = 200.0) -> Signals:
    """One take of one person, upright and whole, in a picture of 720x400."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_frames) / FPS
    thumbs = np.stack([np.roll(rng.integers(0, 256, (16, 17), dtype=np.uint8), 1)] * num_frames)
    for index in range(num_frames):
        thumbs[index, :8] = np.roll(thumbs[index, :8], index % 5, axis=1)
    keypoints = np.zeros((num_frames, 17, 3), np.float32)
    keypoints[..., 0], keypoints[..., 1], keypoints[..., 2] = 0.5, np.linspace(0.15, 0.85, 17), 1.0
    return Signals(
        times_s=times,
        content=np.full(num_frames, 2.0, np.float32),
        histogram=np.full(num_frames, 0.99, np.float32),
        motion=np.full(num_frames, 3.0, np.float32),
        sharpness=np.full(num_frames, sharpness, np.float32),
        brightness=np.full(num_frames, 120.0, np.float32),
        contrast=np.full(num_frames, 50.0, np.float32),
        bars=np.zeros((num_frames, 4), np.float32),
        thumbs=thumbs,
        sizes=np.tile(np.int32([720, 400]), (num_frames, 1)),
        fill_times_s=times,
        fills=np.zeros((num_frames, 4), np.float32),
        still_edges=np.zeros((num_frames, 32, 32, 3), np.uint8),
        fault_times_s=np.zeros(0),
        joins_s=np.zeros(0),
        num_interlaced=0,
        orientation=Orientation(),
        seconds={"first pass": [0.4, 0.5]},
        samples=PersonSamples(
            times_s=times,
            num_people=np.ones(num_frames, np.int32),
            boxes=np.tile(np.array([0.3, 0.1, 0.7, 0.9], np.float32), (num_frames, 1)),
            scores=np.full(num_frames, 0.95, np.float32),
            keypoints=keypoints,
            track_ids=np.full(num_frames, -1, np.int32),
            changes=np.full(num_frames, np.nan, np.float32),
        ),
    )


def write_output(out: Path, num_sources: int = 5, clips_each: int = 1) -> CurateConfig:
    """A folder of so many sources, each kept clip with real tracks; one foreign file besides."""
    config = config_of(out)
    (out / "clips").mkdir(parents=True)
    (out / "signals").mkdir()
    with Ledger(out / "ledger.sqlite") as ledger:
        for number in range(num_sources):
            source, clips = stored_source(config, number, clips_each)
            ledger.record(source, clips)
        ledger.record(
            SourceRow(
                sha256="f" * 64, name="page.mp4", group="f" * 64, num_bytes=9, fingerprint="x",
                code="not_a_video", evidence={"detail": "text"},
            ),
            [],
        )  # fmt: skip
        publish(config, ledger, Published(num_sources=num_sources, num_decoded=num_sources))
    save_config(config, out / "config.yaml")
    return config


def stored_source(
    config: CurateConfig, number: int, clips_each: int = 1, seed: int | None = None
) -> tuple[SourceRow, list[ClipRow]]:
    """A source's row and its kept clips', their tracks and its measurements stored."""
    out = Path(config.out)
    seed = number if seed is None else seed
    sha = f"{number:02x}" * 32
    signals = standing_signals(seed)
    name = f"{sha[:32]}-{'0' * 12}.signals"
    write_file(out / "signals" / name, partial(write_signals, signals))
    source = SourceRow(
        sha256=sha, name=f"dancer {number}.mp4", group=sha, num_bytes=1000, fingerprint="x",
        sidecar={"licence": "CC0"}, facts={"signals": name, "num_frames": 40, "duration_s": 5.0},
    )  # fmt: skip
    clips: list[ClipRow] = []
    for index in range(clips_each):
        key = f"{sha[:16]}_{index * 1000:08d}_{index * 1000 + 1500:08d}"
        files = sample_members(key, 12, np.random.default_rng(100 * number + index))
        del files["json"]
        start = float(index)
        hashes = sample_hashes(signals.times_s, signals.thumbs, (start, start + 1.5), 4.0)
        if index:
            hashes = np.roll(hashes, 37 * index, axis=1)
        clips.append(
            ClipRow(
                clip_id=key, source_sha256=sha, status="kept", code=None, evidence={},
                record={
                    "source": source.name, "source_sha256": sha, "scene_start_s": 0.0,
                    "scene_end_s": 5.0, "start_s": start, "end_s": start + 1.5, "fps": FPS,
                    "num_frames": 12, "height": 128, "width": 96, "category": "upper",
                    "garment_frame": 3, "num_people": 1, "backends": {},
                    "scores": {"sharpness": 200.0, "brightness": 120.0, "duration_s": 1.5},
                    "hashes": pack_hashes(hashes), "request": f"request {key}",
                },
                folder=store_folder(out / "clips", files),
            )
        )  # fmt: skip
    return source, clips
