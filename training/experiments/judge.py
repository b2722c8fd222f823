"""Judge a checkpoint on rendered dancers as a user runs it: a video file in, a video out.

    python -m training.experiments.judge checkpoint=runs/small/checkpoints/last.ckpt [key=value ...]

Writes one JSON: command, commit, device and time, and the numbers of ``judging.py`` for the
checkpoint, two methods without a network, and the ground truth. Generated videos are kept, so that
an interrupted command resumes; conditions are kept for all checkpoints.
"""

import hashlib
import json
import logging
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING

from configs.checks import check_range
from configs.command import run_command
from configs.errors import DataError
from configs.loading import load_config, to_plain
from datasets.pictures import read_picture
from datasets.storage import settings_sha256, sweep, write_file
from datasets.synthetic.garments import PATTERN_CLASSES
from datasets.tracks import encode_rgb_lossless, read_labels
from datasets.video.upright import upright_frames
from inference.conditions.garment import prepare_garment
from inference.conditions.stored import VideoConditions
from inference.pipeline import TryOnPipeline
from inference.sampling.long_video import LongVideoConfig, plan_windows
from inference.sampling.sampler_choice import SamplerChoice
from inference.sampling.seam import paste
from inference.tryon import build_pipeline
from inference.tryon_config import TryOnConfig
from inference.video.framing import CropWindow
from training.checkpoints.provenance import describe_code
from training.evaluation.baselines import GRAY, fill
from training.evaluation.pasting import paste_garment
from training.evaluation.results import read_result
from training.experiments.judging import (
    COLUMNS,
    ClipScore,
    behind_things,
    interval_apart,
    judge_clip,
    shown_mean,
    summarise,
)
from training.experiments.pattern_classifier import ClassifierConfig, train_classifier
from training.experiments.tables import decisions
from training.metrics.colour import garment_pixels
from training.metrics.seams import borders_of

log = logging.getLogger(__name__)
METHODS = ("painted", "agnostic", "mean colour", "pasted", "truth")
"""``pasted``: the garment's picture by DensePose, without a network (``evaluation/pasting.py``)."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """What to judge, and where files go."""

    checkpoint: str = MISSING
    bench: str = "data/benchmark/raw/bench"  # as datasets.synthetic writes it
    out: str = "runs/experiments/judged.json"
    work: str = "runs/experiments/judged"  # conditions and generated clips
    max_clips: int | None = None  # only the first N; None: all
    seed: int = 0
    weights: str = "ema"
    device: str = "auto"
    any_stage: bool = False  # also accept earlier stages: networks they lack add nothing
    perception: str = "embedded"
    sampler: SamplerChoice = field(default_factory=SamplerChoice)  # null: the checkpoint's
    long_video: LongVideoConfig = field(default_factory=LongVideoConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)

    def __post_init__(self) -> None:
        check_range(self, "max_clips", least=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueClip:
    """A rendered video to try a garment on, and its ground truth."""

    name: str
    video: Path
    garment: Path
    target: dict[str, Any]  # the garment's spec
    pattern_class: str
    source: np.ndarray  # (t, h, w, 3) uint8
    truth: np.ndarray  # likewise
    region: np.ndarray  # (t, h, w) bool, the garment in the truth
    hidden: np.ndarray  # (t,) float, share of the garment hidden by objects in front
    fps: float


def read_clips(bench: Path, most: int | None) -> list[Path]:
    """The raw videos of a rendered benchmark.

    Raises:
        DataError: there are none.
    """
    videos = sorted((bench / "raw").glob("*.mp4"))[:most]
    if not videos:
        raise DataError(
            f"{bench} holds no raw/*.mp4; `make render CONFIG=configs/experiments/render.yaml` "
            "makes them"
        )
    return videos


def read_clip(video: Path) -> TrueClip:
    """Load a raw video and its ground truth.

    Raises:
        DataError: it was made by an older renderer.
    """
    sidecar = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))
    if "hidden" not in sidecar:
        raise DataError(
            f"{video.with_suffix('.json')} does not say how much of the garment is hidden: an "
            "older version rendered it; run `make render` with the same settings again"
        )
    return TrueClip(
        name=video.stem,
        video=video,
        garment=video.parent / sidecar["target_garment"],
        target=sidecar["target"],
        pattern_class=PATTERN_CLASSES[sidecar["target"]["pattern"]],
        source=np.stack(list(upright_frames(video))),
        truth=np.stack(list(upright_frames(video.parent / sidecar["truth"]))),
        region=read_labels((video.parent / sidecar["truth_mask"]).read_bytes()) > 127,
        hidden=np.asarray(sidecar["hidden"], dtype=np.float64),
        fps=float(sidecar["fps"]),
    )


def judge(config: JudgeConfig) -> dict[str, Any]:
    """Generate, compare, summarise."""
    start = time.monotonic()
    videos = read_clips(Path(config.bench), config.max_clips)
    log.info("pattern classifier and its crops: made, or read from %s", config.classifier.cache)
    classifier = train_classifier(config.classifier)
    settings = replace(
        load_config(TryOnConfig, None, [f"perception={config.perception}"]),
        checkpoint=config.checkpoint, device=config.device, weights=config.weights,
        sampler=config.sampler, long_video=config.long_video,
    )  # fmt: skip
    pipeline = build_pipeline(settings, config.any_stage)
    window = config.long_video.window or pipeline.painter.system.config.num_frames
    films: dict[str, str] = {}
    scores: dict[str, list[ClipScore]] = {method: [] for method in METHODS}
    for number, video in enumerate(videos, start=1):
        clip = read_clip(video)
        log.info("%d of %d: preparing and generating %s", number, len(videos), clip.name)
        conditions = _prepare(pipeline, clip, config)
        painted, mask, films[clip.name] = _paint(pipeline, clip, conditions, config)
        colour = _mean_colour(clip.garment)
        borders = borders_of(plan_windows(len(painted), window, config.long_video))
        results = {
            "painted": painted,
            "agnostic": fill(clip.source, mask, GRAY),
            "mean colour": fill(clip.source, mask, colour),
            "pasted": _paste(clip, conditions),
            "truth": clip.truth,
        }
        compare = partial(
            judge_clip, clip.name, truth=clip.truth, garment=clip.region, mask=mask,
            true_class=clip.pattern_class, classifier=classifier, borders=borders,
            behind=behind_things(clip.hidden, clip.fps),
        )  # fmt: skip
        for method, frames in results.items():
            scores[method].append(compare(frames))
        log.info("%d of %d: %s", number, len(videos), scores["painted"][-1])
    report = pipeline.report
    methods = {method: summarise(found) for method, found in scores.items()}
    return {
        "checkpoint": {key: report[key] for key in ("checkpoint", "step", "weights", "sha256")},
        "settings": {**to_plain(config), "sampler": asdict(pipeline.painter.sampler)},
        "classifier": classifier.accuracy,
        "methods": methods,
        "films": films,
        "ssim_above": {
            method: interval_apart(methods["painted"], methods[method], "ssim")
            for method in ("agnostic", "mean colour", "pasted")
        },
        "seed": config.seed,
        "device": str(pipeline.painter.device),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - start, 1),
        "code": describe_code(),
    }


def _prepare(pipeline: TryOnPipeline, clip: TrueClip, config: JudgeConfig) -> VideoConditions:
    # benchmarks use the same clip names, and two may be judged at the same time
    where = hashlib.sha256(str(clip.video.resolve()).encode()).hexdigest()[:8]
    folder = Path(config.work) / "conditions" / f"{clip.name}-{where}"
    return pipeline.prepare(clip.video, "upper", work=folder)


def _paste(clip: TrueClip, conditions: VideoConditions) -> np.ndarray:
    """The garment's picture pasted by DensePose, in the source's frames."""
    framing = conditions.framing
    size = framing.out_height, framing.out_width
    picture = prepare_garment(clip.garment, *size, kind="product").picture
    frames: list[np.ndarray] = []
    for start, images, _, tracks in conditions.cuts():
        pasted = paste_garment(np.stack(images), tracks.mask > 127, tracks.iuv, picture)
        for row, (image, mask) in enumerate(zip(pasted, tracks.mask, strict=True)):
            whole = clip.source[start + row]
            frames.append(paste(whole, framing.put_back(whole, image), _back(framing, whole, mask)))
    return np.stack(frames)


def _back(framing: CropWindow, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A mask in the source's frame."""
    return framing.put_back(np.zeros(frame.shape[:2], np.uint8), mask)


def _paint(
    pipeline: TryOnPipeline, clip: TrueClip, conditions: VideoConditions, config: JudgeConfig
) -> tuple[np.ndarray, np.ndarray, str]:
    """The generated frames, the mask of what was to be generated, and the video's file."""
    work = Path(config.work)
    framing, blank = conditions.framing, np.zeros(clip.source.shape[1:3], np.uint8)
    mask = np.stack([framing.put_back(blank, f.mask) > 127 for f in conditions.frames()])
    settings = {
        "system": pipeline.system_identity(), "conditions": conditions.identity,
        **pipeline.painter.settings, "seed": config.seed, "garment": clip.target,
    }  # fmt: skip
    name = settings_sha256(settings)[:16]
    path = work / "painted" / f"{clip.name}-{name}.mp4"
    if path.is_file():
        return read_result(path), mask, str(path)
    result = pipeline(conditions, clip.garment, garment_kind="product", seed=config.seed)
    frames = np.stack(list(result.frames()))
    sweep(path.parent)
    write_file(path, encode_rgb_lossless(frames, conditions.source.fps))
    return frames, mask, str(path)


def _mean_colour(garment: Path) -> np.ndarray:
    return garment_pixels(read_picture(garment)[0]).mean(axis=0).astype(np.uint8)


def main(argv: list[str]) -> None:
    """Judge and write."""
    config = load_config(JudgeConfig, None, argv)
    found = judge(config)
    found["command"] = "python -m training.experiments.judge " + shlex.join(argv)
    out = Path(config.out)
    write_file(out, (json.dumps(found, indent=1) + "\n").encode())
    for method, row in found["methods"].items():
        sys.stdout.write(f"{method:<12} {line_of(row)}\n")
    for method, is_above in found["ssim_above"].items():
        verdict = "above" if is_above else "not clearly above"
        sys.stdout.write(f"painted's masked SSIM is {verdict} that of {method}\n")
    sys.stdout.write("On the same clips, with 95% intervals:\n")
    for line in decisions({"painted": [found]}, "painted"):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{out}\n")


def line_of(row: dict[str, Any]) -> str:
    """One method's numbers as text."""
    return "  ".join(f"{name} {shown_mean(**row[name])}" for name in COLUMNS)


if __name__ == "__main__":
    run_command(main)
