"""Rendered dancers: synthetic raw videos to curate, and a benchmark with ground truth.

``python -m datasets.synthetic configs/demo/render.yaml out=raw/dancers`` writes

    OUT/train/*.mp4            raw videos (training, validation and a few unusable ones)
    OUT/bench/raw/*.mp4        raw videos to try garments on
    OUT/bench/garments/*.png   the garments to try on, product pictures
    OUT/bench/truth/*.mp4      the same motion in those garments
    OUT/bench/truth_masks/*.mp4  the garment's region in the truth (lossless gray, 255 = garment)

with a sidecar ``<stem>.json`` next to each raw video. Every file is a pure function of the
settings; a second run skips what exists, a changed setting (or renderer) renders everything again.
"""

import json
import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.console import Progress, counted
from configs.errors import DataError
from configs.loading import load_config, split_arguments, to_plain
from datasets.labels import ParseLabel
from datasets.storage import settings_sha256, sweep, write_file
from datasets.synthetic.cast import ClipSpec, draw_clip
from datasets.synthetic.clips import (
    RenderedClip,
    render_clip,
    render_frames,
    render_garment,
    render_occlusion,
)
from datasets.synthetic.config import SyntheticConfig
from datasets.synthetic.rejects import REJECTS, render_reject
from datasets.tracks import encode_labels, encode_video

logger = logging.getLogger(__name__)

LICENCE = "CC0-1.0 (rendered)"
MANIFEST = "render.json"

__all__ = [
    "RenderedClip", "SyntheticConfig", "draw_clip", "main", "render_clip", "renderer_sources",
    "write_dancers",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One raw video and its related files."""

    kind: str  # train, val, bench or bad
    index: int

    def files(self) -> list[str]:
        """Paths under OUT; the last one is written last and marks the job as done."""
        name = self.name
        if self.kind == "bench":
            return [
                f"bench/garments/{name}.png", f"bench/truth/{name}.mp4",
                f"bench/truth_masks/{name}.mp4", f"bench/raw/{name}.mp4", f"bench/raw/{name}.json",
            ]  # fmt: skip
        return [f"train/{name}.mp4", f"train/{name}.json"]

    @property
    def name(self) -> str:
        if self.kind == "bad":
            return REJECTS[self.index]
        return f"{'dancer' if self.kind == 'train' else self.kind}_{self.index:03d}"


def write_dancers(config: SyntheticConfig) -> int:
    """Render what is missing under ``config.out``.

    Returns:
        The number of rendered videos; 0 if everything existed.

    Raises:
        DataError: the folder cannot be written.
    """
    out = Path(config.out)
    jobs = [
        _Job(kind=kind, index=index)
        for kind, count in (
            ("bench", config.num_bench), ("bad", config.num_bad), ("val", config.num_val),
            ("train", config.num_train),
        )
        for index in range(count)
    ]  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder in (out, *(path for path in out.rglob("*") if path.is_dir())):
            sweep(folder)
        _forget_other_renders(config, out, jobs)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from error
    missing = [job for job in jobs if not all((out / file).is_file() for file in job.files())]
    workers = min(config.workers or os.cpu_count() or 1, max(len(missing), 1))
    with Progress("rendering dancers", len(jobs), done=len(jobs) - len(missing)) as progress:
        if workers == 1:
            for job in missing:
                _run_job(config, job)
                progress.advance()
            return len(missing)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            for done in as_completed([pool.submit(_run_job, config, job) for job in missing]):
                done.result()
                progress.advance()
    return len(missing)


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _forget_other_renders(config: SyntheticConfig, out: Path, jobs: list[_Job]) -> None:
    """Delete what an earlier run with other settings wrote, and record what this run writes."""
    identity = _identity(config)
    files = [file for job in jobs for file in job.files()]
    manifest = out / MANIFEST
    if manifest.is_file():
        try:
            earlier = json.loads(manifest.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            earlier = {}
        stale = set(earlier.get("files", []))
        if earlier.get("identity") == identity:
            stale -= set(files)
        else:
            logger.info("settings or renderer changed: rendering %s again", out)
        for file in sorted(stale):
            (out / file).unlink(missing_ok=True)
    content = {"identity": identity, "config": to_plain(config), "files": files}
    write_file(manifest, json.dumps(content, indent=1).encode())


def _identity(config: SyntheticConfig) -> str:
    """Hash of everything a rendered file depends on: settings and the renderer's source."""
    settings = to_plain(config)
    for name in ("out", "workers", "num_train", "num_val", "num_bench", "num_bad"):
        settings.pop(name)
    return settings_sha256(settings, *renderer_sources())


def renderer_sources() -> list[Path]:
    """The files that a rendered pixel depends on."""
    return sorted(Path(__file__).parent.rglob("*.py"))


def _run_job(config: SyntheticConfig, job: _Job) -> None:
    out = Path(config.out)
    sidecar: dict[str, Any] = {"licence": LICENCE, "url": None, "split": job.kind}
    if job.kind == "bad":
        content, note = render_reject(job.name, config.clip("bad", job.index))
        sidecar |= {"split": "train", "group": job.name, "note": note}
        write_file(out / f"train/{job.name}.mp4", content)
    else:
        spec = config.clip(job.kind, job.index)
        sidecar["group"] = f"{job.kind}-{config.seed}-{job.index:03d}"
        if job.kind == "bench":
            sidecar |= _write_bench_truth(config, spec, job, out)
        if config.has_cut(job.kind, job.index):
            content, sidecar["note"] = render_reject("hard_cut", spec)
        else:
            content = encode_video((frame for frame, _ in render_frames(spec)), spec.fps)
        write_file(out / job.files()[-2], content)
        sidecar["garment"] = spec.dancers[0].figure.garment.to_plain()
    write_file(out / job.files()[-1], json.dumps(sidecar, indent=1).encode())


def _write_bench_truth(
    config: SyntheticConfig, spec: ClipSpec, job: _Job, out: Path
) -> dict[str, Any]:
    """Write the target garment and the same motion in it; returns the sidecar's keys for both."""
    target = config.target(spec)
    picture = render_garment(target, spec.height, spec.width)
    _, png = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    write_file(out / f"bench/garments/{job.name}.png", png.tobytes())
    frames, parse, hidden = zip(*render_occlusion(spec.wearing(target)), strict=True)
    masks = [np.where(labels == ParseLabel.UPPER, 255, 0).astype(np.uint8) for labels in parse]
    write_file(out / f"bench/truth/{job.name}.mp4", encode_video(frames, spec.fps))
    write_file(out / f"bench/truth_masks/{job.name}.mp4", encode_labels(masks, spec.fps))
    return {
        "truth": f"../truth/{job.name}.mp4",
        "truth_mask": f"../truth_masks/{job.name}.mp4",
        "target_garment": f"../garments/{job.name}.png",
        "target": target.to_plain(),
        "fps": spec.fps,
        "hidden": [round(share, 3) for share in hidden],  # share of the garment, per frame
    }


def main(argv: list[str]) -> int:
    """Command line: ``python -m datasets.synthetic CONFIG.yaml key=value ...``."""
    path, overrides = split_arguments(
        argv, "python -m datasets.synthetic CONFIG.yaml out=DIR key=value ..."
    )
    config = load_config(SyntheticConfig, path, overrides)
    rendered = write_dancers(config)
    total = config.num_train + config.num_val + config.num_bench + config.num_bad
    print(
        f"{counted(total, 'video')} under {config.out}: {rendered} rendered, "
        f"{total - rendered} already there"
    )
    return 0
