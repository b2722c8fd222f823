"""Benchmarks prepared once: masks and DensePose for videos that come as folders of frames.

``python -m curation.run configs/curate.yaml bench=vvt`` reads the VVT folder (datasets/vvt.py),
makes the tracks of every test video with the same models and stages as curation, and packs them
with the product photographs into ``<folder>/shards/bench-*.tar``. No frame is left out.
"""

import functools
import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from omegaconf import DictConfig, OmegaConf

from configs.errors import ConfigError, DataError
from curation.canonical import MULTIPLE
from curation.clip import Clip, Reject, Tracks
from curation.executor import Limit
from curation.ledger import ClipRow, SourceRow
from curation.members import encode_tracks, place_garment
from curation.perception.protocols import Perception
from curation.perception.select import choose_perception
from curation.pipeline import SourceResult, fingerprint
from curation.settings import CurateConfig
from curation.stages.agnostic import MaskGarment
from curation.stages.densepose import DensePoseConfig, MapSurface
from curation.stages.parsing import ParseClothes, ParsingConfig
from curation.storage import store_folder
from curation.video import decode_jpeg
from datasets.vvt import VvtItem, read_vvt

logger = logging.getLogger(__name__)

BENCHMARKS = ("vvt",)
VVT_FPS = 30.0
"""The frames carry no rate; it only decides how fast a report plays them."""


@dataclass(frozen=True, kw_only=True)
class FramesJob:
    """One person's frames, and the garments to be put on them."""

    name: str
    items: list[VvtItem]
    sha256: str
    fingerprint: str


def prepare_jobs(config: CurateConfig) -> tuple[CurateConfig, list[FramesJob]]:
    """What there is to do for ``config.bench``, and the settings it is to be done with.

    Raises:
        ConfigError: the benchmark is not known or its folder is not named.
        DataError: its folder is missing or incomplete.
    """
    root = benchmark_root(config)
    items = read_vvt(root)
    config = replace(config, out=str(root), duplicates=replace(config.duplicates, enabled=False))
    perception = choose_perception(config.perception, config.weights)
    infos = {role: asdict(info) for role, info in perception.infos().items()}
    people: dict[str, list[VvtItem]] = {}
    for item in items:
        people.setdefault(item.person_id, []).append(item)
    jobs: list[FramesJob] = []
    for person_id, theirs in sorted(people.items()):
        paths = theirs[0].frame_paths
        garments = [path for item in theirs for path in (item.garment_path, item.own_garment_path)]
        deciding = fingerprint(
            infos, config.stage_settings(), [_sha256([path]) for path in garments]
        )
        jobs.append(
            FramesJob(
                name=f"test_frames/{person_id}",
                items=theirs,
                sha256=_sha256(paths),
                fingerprint=deciding,
            )
        )
    return config, jobs


def benchmark_root(config: CurateConfig) -> Path:
    """Where the benchmark lies: ``bench_root``, or ``root`` of configs/eval/<bench>.yaml."""
    if config.bench not in BENCHMARKS:
        raise ConfigError(f"bench is {config.bench!r}; {', '.join(BENCHMARKS)} can be prepared")
    if config.bench_root is not None:
        return Path(config.bench_root)
    path = Path("configs/eval") / f"{config.bench}.yaml"
    settings = OmegaConf.load(path) if path.is_file() else None
    root = settings.get("root") if isinstance(settings, DictConfig) else None
    if root is None:
        raise ConfigError(f"{path} names no root; give bench_root=FOLDER")
    return Path(str(root))


def build_worker(
    config: CurateConfig,
) -> Callable[[FramesJob, Callable[[Limit], None]], SourceResult]:
    """What a worker process does with a job; called once in each."""
    perception = choose_perception(config.perception, config.weights)
    return functools.partial(prepare_video, config, perception)


def prepare_video(
    config: CurateConfig,
    perception: Perception,
    job: FramesJob,
    set_limit: Callable[[Limit], None],
) -> SourceResult:
    """All tracks of one person's frames, once, and a sample for each garment."""
    frames = _read_frames(job.items[0].frame_paths)
    set_limit(Limit(seconds=config.time_limit_s(len(frames) / VVT_FPS)))
    count, height, width = frames.shape[:3]
    clip = Clip(
        source=job.name,
        source_sha256=job.sha256,
        scene_start_s=0.0,
        scene_end_s=count / VVT_FPS,
        start_s=0.0,
        end_s=count / VVT_FPS,
        source_fps=VVT_FPS,
        source_height=height,
        source_width=width,
        crop=(0, 0, height, width),
        height=height,
        width=width,
        fps=VVT_FPS,
        num_frames=count,
        num_people=1,
        split="bench",
    )
    found = perception.detector.detect(list(frames))
    people = [sample[0] if sample else None for sample in found]
    tracks: Tracks = Tracks(frames=frames, people=people)
    # a benchmark keeps every frame, so the filters of training clips are wide open
    stages = (
        MapSurface(estimator=perception.densepose, config=DensePoseConfig(min_mapped_share=0.0)),
        ParseClothes(parser=perception.parser, config=ParsingConfig(min_garment_share=0.0)),
        MaskGarment(config=replace(config.agnostic, min_coverage=0.0, max_area=1.0)),
    )
    for stage in stages:
        outcome = stage.process(clip, tracks)
        if isinstance(outcome, Reject):
            row = ClipRow(
                clip_id=clip.clip_id,
                source_sha256=job.sha256,
                status="rejected",
                code=outcome.code,
                evidence=outcome.evidence,
                record=asdict(outcome.clip),
                folder=None,
            )
            return SourceResult(row=frames_row(job), clips=[row], was_decoded=True)
        clip, tracks = outcome
    rows = [_sample(config, perception, job, item, clip, tracks) for item in job.items]
    return SourceResult(row=frames_row(job), clips=rows, was_decoded=True)


def _sample(
    config: CurateConfig,
    perception: Perception,
    job: FramesJob,
    item: VvtItem,
    clip: Clip,
    tracks: Tracks,
) -> ClipRow:
    height, width = tracks.frames.shape[1:3]
    worn_png = place_garment(item.own_garment_path, height, width)
    worn = decode_jpeg(worn_png)
    files = encode_tracks(clip, replace(tracks, garment=worn, garment_mask=product_mask(worn)))
    files["target.png"] = place_garment(item.garment_path, height, width)
    name = item.person_id if item.is_paired else f"{item.person_id}_{item.garment_id}"
    record = {
        **asdict(clip),
        "backends": {role: asdict(info) for role, info in perception.infos().items()},
        "category": config.agnostic.category,
        "bench_id": name,
        "paired": item.is_paired,
        "garment_id": item.garment_id,
    }
    return ClipRow(
        clip_id=f"{clip.clip_id}_{hashlib.sha256(name.encode()).hexdigest()[:8]}",
        source_sha256=job.sha256,
        status="kept",
        code=None,
        evidence={},
        record=record,
        folder=store_folder(Path(config.out) / "clips", files),
    )


def product_mask(image: np.ndarray) -> np.ndarray:
    """Where a product photograph shows the garment: what differs from its border's colour.

    Args:
        image: (height, width, 3) uint8 on a plain ground.

    Returns:
        (height, width) uint8, 255 = garment, holes filled.
    """
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    ground = np.median(border, axis=0)
    differs = np.abs(image.astype(np.float32) - ground).max(axis=-1) > 12
    closed = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.drawContours(mask, outlines, -1, 255, cv2.FILLED)
    return mask


def _read_frames(paths: list[Path]) -> np.ndarray:
    frames: list[np.ndarray] = []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"{path} is not a picture that can be read")
        if frames and image.shape != frames[0].shape:
            raise DataError(f"{path} has another size than {paths[0]}")
        frames.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    height, width = frames[0].shape[:2]
    if height % MULTIPLE or width % MULTIPLE:
        raise DataError(
            f"{paths[0]} is {height}x{width} (height x width); multiples of {MULTIPLE} are needed"
        )
    return np.stack(frames)


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def frames_row(
    job: FramesJob, *, code: str | None = None, evidence: dict[str, Any] | None = None
) -> SourceRow:
    """The ledger's row of a benchmark video."""
    return SourceRow(
        sha256=job.sha256,
        code=code,
        evidence=evidence or {},
        name=job.name,
        sidecar={"split": "bench"},
        group=job.sha256,
        num_bytes=sum(path.stat().st_size for path in job.items[0].frame_paths),
        fingerprint=job.fingerprint,
        facts={"num_frames": len(job.items[0].frame_paths)},
    )
