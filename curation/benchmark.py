"""Published benchmarks: masks and DensePose for the videos of a test set, prepared once.

``python -m curation.run configs/curate.yaml bench=vvt`` reads the VVT folder
(datasets/benchmarks/vvt.py), ``bench=vivid_s`` that of ViViD-S (datasets/benchmarks/vivid.py),
``bench=eevee`` that of Eevee (datasets/benchmarks/eevee.py), which brings masks of its own. Every
test video's tracks come from the same models and stages as in curation, and are packed with the
product photographs into ``<folder>/shards/bench-*.tar``. No frame is dropped; a video that a stage
rejects is listed in ``shards/rejected.json``.
"""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from omegaconf import DictConfig, OmegaConf

from configs.errors import ConfigError, DataError
from configs.loading import find_config
from curation.clip import Clip, Stage, Tracks, run_stages
from curation.clip_maker import fingerprint, infos_of, rejected_row
from curation.ledger import ClipRow, SourceRow
from curation.perception.check import check_perception
from curation.perception.protocols import Perception
from curation.perception.select import choose_perception
from curation.pipeline import SourceResult, build_stages
from curation.selection.candidates import RejectedClip
from curation.settings import CurateConfig
from curation.stages.clip_files import encode_png, encode_tracks, read_picture
from curation.stages.given_mask import GIVEN_MASK, TakeGivenMask, given_mask
from curation.stages.product_photo import lay_out_product
from curation.video.canonical import MULTIPLE, CanonicalConfig
from curation.workers.executor import Limit
from datasets import pictures
from datasets.benchmarks.eevee import NUM_FRAMES, EeveeClip, read_eevee
from datasets.benchmarks.vivid import (
    VividClip,
    clip_frames,
    frame_rate,
    read_vivid,
    video_header,
)
from datasets.benchmarks.vvt import VvtItem, read_vvt
from datasets.storage import file_sha256, store_folder

logger = logging.getLogger(__name__)

BENCHMARKS = ("vvt", "vivid_s", "eevee")
GIVEN = {"people", "labels", "garments"}
"""Stages that are skipped."""
VVT_FPS = 30.0
"""Frames carry no rate; this only decides how fast a report plays them."""


@dataclass(frozen=True, kw_only=True)
class BenchSample:
    """One sample: a garment to put on the person of a video."""

    bench_id: str
    own_garment: Path
    target: Path | None  # picture of the garment to put on; None: only the worn one
    record: dict[str, Any]  # further keys of the sample's json


@dataclass(frozen=True, kw_only=True)
class FramesJob:
    """The frames of one video, and the garments to put on the person in them."""

    name: str  # path below the benchmark's folder
    pictures: list[Path]  # one file per frame; or one video, and
    frame_range: tuple[int, int] | None  # the frames of it that are used
    fps: float
    category: str
    samples: list[BenchSample]
    ids: dict[str, list[str]]  # pairing -> the items that cannot be scored without it
    sha256: str
    fingerprint: str
    sidecar: dict[str, Any] = field(default_factory=lambda: {"split": "bench"})
    mask: Path | None = None  # a video that comes with the benchmark; None: made here
    is_filtered: bool = False  # training photograph: thresholds apply, its size is a bucket's

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        if self.frame_range is None:
            return len(self.pictures)
        return self.frame_range[1] - self.frame_range[0]


def prepare_jobs(config: CurateConfig) -> tuple[CurateConfig, list[FramesJob]]:
    """The jobs of ``config.bench``, and the settings to run them with.

    Raises:
        ConfigError: unknown benchmark, or no folder is given for it.
        DataError: its folder is missing or incomplete.
    """
    root = benchmark_root(config)
    config = replace(config, out=str(root), duplicates=replace(config.duplicates, enabled=False))
    perception = choose_perception(config.perception)
    infos = infos_of(perception)
    deciding = functools.partial(fingerprint, infos, config.stage_settings())
    if config.bench == "vvt":
        return config, _vvt_jobs(read_vvt(root), config.agnostic.category, deciding)
    if config.bench == "eevee":
        return config, [_eevee_job(clip, root, deciding) for clip in read_eevee(root)]
    return config, [_vivid_job(clip, root, deciding) for clip in read_vivid(root)]


def _vvt_jobs(
    items: Sequence[VvtItem], category: str, deciding: Callable[..., str]
) -> list[FramesJob]:
    people: dict[str, list[VvtItem]] = {}
    for item in items:
        people.setdefault(item.person_id, []).append(item)
    jobs: list[FramesJob] = []
    for person_id, theirs in sorted(people.items()):
        samples = [
            BenchSample(
                bench_id=person_id if item.is_paired else f"{person_id}_{item.garment_id}",
                own_garment=item.own_garment_path,
                target=item.garment_path,
                record={"paired": item.is_paired, "garment_id": item.garment_id},
            )
            for item in theirs
        ]
        garments = [path for item in theirs for path in (item.garment_path, item.own_garment_path)]
        unpaired = [sample.bench_id for sample in samples if not sample.record["paired"]]
        jobs.append(
            FramesJob(
                name=f"test_frames/{person_id}",
                pictures=theirs[0].frame_paths,
                frame_range=None,
                fps=VVT_FPS,
                category=category,
                samples=samples,
                ids={"paired": [person_id], "unpaired": unpaired},
                sha256=file_sha256(*theirs[0].frame_paths),
                fingerprint=deciding([file_sha256(path) for path in garments]),
            )
        )
    return jobs


def _vivid_job(clip: VividClip, root: Path, deciding: Callable[..., str]) -> FramesJob:
    """A clip with its first other garment in one sample, and one for each further one."""
    others = {
        f"{clip.id}_{path.stem}" if index else clip.id: (path.stem, path)
        for index, path in enumerate(clip.other_garment_paths)
    }
    name = clip.video_path.relative_to(root).as_posix()
    where = f"{name}@{clip.first}-{clip.end}"
    return _video_job(clip, (clip.first, clip.end), others, name, where, deciding)


def _eevee_job(clip: EeveeClip, root: Path, deciding: Callable[..., str]) -> FramesJob:
    """A video with each other garment in one sample; its mask is the benchmark's own."""
    size, mask_size = (video_header(path)[1] for path in (clip.video_path, clip.mask_path))
    if size != mask_size:
        raise DataError(
            f"{clip.mask_path} is {mask_size[0]}x{mask_size[1]} (height x width), its video "
            f"{size[0]}x{size[1]}; both must have one size"
        )
    others = {f"{clip.id}_{name}": (name, path) for name, path in clip.other_garments.items()}
    name = clip.video_path.relative_to(root).as_posix()
    return _video_job(clip, (0, NUM_FRAMES), others, name, name, deciding, clip.mask_path)


def _video_job(
    clip: VividClip | EeveeClip,
    frame_range: tuple[int, int],
    others: dict[str, tuple[str, Path]],  # id of the item -> id and picture of the other garment
    name: str,
    where: str,  # tells it from other ranges of the same video
    deciding: Callable[..., str],
    mask: Path | None = None,
) -> FramesJob:
    own = clip.own_garment_path
    record = {"paired_id": clip.id, "frame_range": list(frame_range), "subset": clip.subset}
    samples = [
        BenchSample(
            bench_id=item, own_garment=own, target=path, record=record | {"garment_id": garment}
        )
        for item, (garment, path) in others.items()
    ] or [BenchSample(bench_id=clip.id, own_garment=own, target=None, record=record)]
    files = [own, *(path for _, path in others.values()), *filter(None, [mask])]
    return FramesJob(
        name=name,
        pictures=[clip.video_path],
        frame_range=frame_range,
        fps=frame_rate(clip.video_path),
        category=clip.category,
        samples=samples,
        ids={"paired": [clip.id], "unpaired": list(others)},
        sha256=hashlib.sha256(f"{where} {file_sha256(clip.video_path)}".encode()).hexdigest(),
        fingerprint=deciding(clip.category, [file_sha256(path) for path in files]),
        mask=mask,
    )


def benchmark_root(config: CurateConfig) -> Path:
    """The benchmark's folder: ``bench_root``, or ``root`` of configs/eval/<bench>.yaml."""
    if config.bench not in BENCHMARKS:
        raise ConfigError(f"bench is {config.bench!r}; accepted: {', '.join(BENCHMARKS)}")
    if config.bench_root is not None:
        return Path(config.bench_root)
    path = find_config(f"configs/eval/{config.bench}.yaml")
    settings = OmegaConf.load(path) if path.is_file() else None
    root = settings.get("root") if isinstance(settings, DictConfig) else None
    if root is None:
        raise ConfigError(f"{path} has no root; give bench_root=FOLDER")
    return Path(str(root))


def build_worker(
    config: CurateConfig,
) -> Callable[[FramesJob, Callable[[Limit], None]], SourceResult]:
    """The function that does a job; called once in each worker process."""
    perception = choose_perception(config.perception)
    check_perception(perception, config.perception)
    return functools.partial(prepare_video, config, perception)


def prepare_video(
    config: CurateConfig,
    perception: Perception,
    job: FramesJob,
    set_limit: Callable[[Limit], None],
) -> SourceResult:
    """All tracks of one video's frames, made once, and a sample for each garment."""
    frames = _frames_of(job, config.canonical)
    set_limit(Limit(seconds=config.time_limit_s(len(frames) / job.fps, perception)))
    mask = None if job.mask is None else given_mask(job.mask, job.num_frames)
    num_there = len(frames) if mask is None else min(len(frames), len(mask))
    if num_there != job.num_frames:
        evidence = {"frames_asked": job.num_frames, "frames_there": num_there}
        row = frames_row(job, code="range_beyond_end", evidence=evidence)
        return SourceResult(row=row, clips=[], was_decoded=True)
    size = frames.shape[1], frames.shape[2]
    products = [item.own_garment for item in job.samples] if job.is_filtered else []
    uncut = [path.name for path in products if lay_out_product(path, *size).is_whole]
    if uncut:
        row = frames_row(job, code="garment_not_cut", evidence={"photo": uncut[0]})
        return SourceResult(row=row, clips=[], was_decoded=True)
    clip = _clip_of(job, frames)
    found = perception.detector.detect(list(frames))
    people = [sample[0] if sample else None for sample in found]
    tracks = Tracks(frames=frames, people=people)
    run = run_stages(stages_of(job, config, perception, mask), clip, tracks)
    if run.reject is not None:
        row = rejected_row(RejectedClip(clip=run.clip, reject=run.reject))
        return SourceResult(row=frames_row(job), clips=[row], was_decoded=True)
    rows = [_sample(config, perception, job, item, run.clip, run.tracks) for item in job.samples]
    return SourceResult(row=frames_row(job), clips=rows, was_decoded=True)


def stages_of(
    job: FramesJob,
    config: CurateConfig,
    perception: Perception,
    mask: np.ndarray | None = None,
) -> list[Stage]:
    """The stages of videos, except that every frame stays and the garment photograph is given.

    ``mask`` (t, height, width) uint8 takes the place of the one that would be made.
    """
    agnostic = replace(config.agnostic, category=job.category)
    surface, parsing = config.densepose, config.parsing
    if not job.is_filtered or job.category == "lower":  # parsing looks for an upper garment
        parsing = replace(parsing, min_garment_share=0.0, max_outfit_change=1.0)
    if not job.is_filtered:
        # a benchmark keeps every frame, so the filters of training clips are disabled
        agnostic = replace(agnostic, min_coverage=0.0, max_area=1.0)
        surface = replace(surface, min_mapped_share=0.0)
    garments = replace(config.garments, category=job.category)
    config = replace(
        config, agnostic=agnostic, densepose=surface, parsing=parsing, garments=garments
    )
    stages = [s for s in build_stages(config, perception) if s.name not in GIVEN]
    if mask is None:
        return stages
    given = TakeGivenMask(mask=mask, category=job.category)
    return [given if stage.name == given.name else stage for stage in stages]


def _clip_of(job: FramesJob, frames: np.ndarray) -> Clip:
    count, height, width = frames.shape[:3]
    start_s = (job.frame_range[0] if job.frame_range else 0) / job.fps
    return Clip(
        source=job.name,
        source_sha256=job.sha256,
        scene_start_s=start_s,
        scene_end_s=start_s + count / job.fps,
        start_s=start_s,
        end_s=start_s + count / job.fps,
        source_fps=job.fps,
        source_height=height,
        source_width=width,
        crop=(0, 0, height, width),
        height=height,
        width=width,
        fps=job.fps,
        num_frames=count,
        num_people=1,
        split="bench",
    )


def _sample(
    config: CurateConfig,
    perception: Perception,
    job: FramesJob,
    sample: BenchSample,
    clip: Clip,
    tracks: Tracks,
) -> ClipRow:
    height, width = tracks.frames.shape[1:3]
    worn = lay_out_product(sample.own_garment, height, width)
    whole_photos = ["garment"] if worn.is_whole else []
    clip = replace(clip, garment_affine=None)  # not cut out of the clip
    files = encode_tracks(clip, replace(tracks, garment=worn.picture, garment_mask=worn.mask))
    if sample.target is not None:
        target = lay_out_product(sample.target, height, width)
        files["target.png"] = encode_png(target.picture)
        whole_photos += ["target"] if target.is_whole else []
    record = {
        **clip.as_record(),
        "backends": infos_of(perception) | ({} if job.mask is None else GIVEN_MASK),
        "category": job.category,
        "bench_id": sample.bench_id,
        **sample.record,
        **({"whole_photos": whole_photos} if whole_photos else {}),
    }
    return ClipRow(
        clip_id=f"{clip.clip_id}_{hashlib.sha256(sample.bench_id.encode()).hexdigest()[:8]}",
        source_sha256=job.sha256,
        status="kept",
        code=None,
        evidence={},
        record=record,
        folder=store_folder(Path(config.out) / "clips", files),
    )


def _frames_of(job: FramesJob, canonical: CanonicalConfig) -> np.ndarray:
    if job.is_filtered:
        return fit_to_bucket(job.pictures[0], canonical)[None]
    if job.frame_range is None:
        return _read_frames(job.pictures)
    return clip_frames(job.pictures[0], *job.frame_range)


def fit_to_bucket(path: Path, config: CanonicalConfig) -> np.ndarray:
    """A photograph, (height, width, 3) uint8 RGB, scaled to cover the bucket nearest in aspect."""
    image = read_picture(path)
    aspect = image.shape[0] / image.shape[1]
    height, width = min(config.buckets, key=lambda size: abs(np.log(aspect * size[1] / size[0])))
    scale = max(height / image.shape[0], width / image.shape[1])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    covering = cv2.resize(image, size, interpolation=method)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return cv2.cvtColor(covering[top : top + height, left : left + width], cv2.COLOR_BGR2RGB)


def _read_frames(paths: list[Path]) -> np.ndarray:
    frames: list[np.ndarray] = []
    for path in paths:
        image, _ = pictures.read_picture(path)
        if frames and image.shape != frames[0].shape:
            raise DataError(f"{path} differs in size from {paths[0]}")
        frames.append(image)
    height, width = frames[0].shape[:2]
    if height % MULTIPLE or width % MULTIPLE:
        raise DataError(
            f"{paths[0]} is {height}x{width} (height x width); both must be multiples of {MULTIPLE}"
        )
    return np.stack(frames)


def frames_row(
    job: FramesJob, *, code: str | None = None, evidence: dict[str, Any] | None = None
) -> SourceRow:
    """The ledger's row of a benchmark video."""
    return SourceRow(
        sha256=job.sha256,
        code=code,
        evidence=evidence or {},
        name=job.name,
        sidecar=job.sidecar,
        group=job.sha256,
        num_bytes=sum(path.stat().st_size for path in job.pictures),
        fingerprint=job.fingerprint,
        facts={"num_frames": job.num_frames, "ids": job.ids},
    )
