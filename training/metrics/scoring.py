"""Scores of videos, and the rows that sum them up.

Everything expensive is kept by content: frames, region, protocol and weights are hashed together,
so a video that was scored once is not scored again, by this run or by another, and a result that
changed is.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from datasets.benchmarks import BenchmarkItem
from training.metrics.clips import ClipSelector, to_network_input
from training.metrics.colour import (
    delta_e_76,
    delta_e_2000,
    garment_pixels,
    mean_lab,
    region_colour,
)
from training.metrics.frechet import frechet_distance, kernel_distance
from training.metrics.intervals import block_interval, bootstrap_interval, jackknife_interval
from training.metrics.ssim import ssim_per_frame
from training.metrics.suite import METRICS, MetricSuite

Video = UInt8[np.ndarray, "t h w 3"]
CLIPS_AT_ONCE = 4
FEATURE_METRICS = {"vfid_i3d": "i3d", "vfid_resnext": "resnext", "kvd": "i3d"}
FRAME_METRICS = ("ssim", "ssim_masked", "lpips", "lpips_masked")
SCORING_VERSION = 2
"""Raised when a per-video number changes its meaning, so that no cached one is taken for it."""


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """One row of the per-video table; None where a number does not exist."""

    id: str
    num_frames: int
    ssim: float | None
    ssim_masked: float | None
    lpips: float | None
    lpips_masked: float | None
    colour_delta_e: float | None
    colour_delta_e_76: float | None
    ssim_frames: list[float]

    def to_plain(self) -> dict[str, Any]:
        """The row for metrics.json."""
        return asdict(self)


class Scorer:
    """Scores videos with one suite of metrics and remembers them in a folder."""

    def __init__(self, suite: MetricSuite, cache: Path) -> None:
        self.suite, self.cache = suite, cache

    def score_video(self, prediction: Video, item: BenchmarkItem, pairing: str) -> VideoScores:
        """SSIM, masked SSIM and LPIPS where a truth is known; the colour distance always."""
        truth = item.truth(pairing)
        parts = [prediction, item.mask, item.garment_region, item.garment(pairing)]
        if truth is not None:
            parts.append(truth)
        protocol = self.suite.protocol
        settings = [
            SCORING_VERSION, protocol.ssim_colour, protocol.lpips_net,
            self.suite.sha256.get(protocol.lpips_net), truth is not None,
        ]  # fmt: skip
        path = self.cache / "scores" / f"{_digest(parts, settings)}.json"
        if path.is_file():
            return replace(VideoScores(**json.loads(path.read_text())), id=item.id)
        scores = self._compute(prediction, truth, item, pairing)
        _write_whole(path, json.dumps(scores.to_plain()).encode())
        return scores

    def features(self, network: str, clips: Sequence[Video]) -> Tensor:
        """Features (clips, dim) of one network, float32 on the CPU."""
        module, protocol = self.suite.networks[network], self.suite.protocol
        dim = int(module.num_features)  # pyright: ignore[reportArgumentType]
        if not clips:
            return torch.zeros(0, dim)
        path = (
            self.cache
            / "features"
            / f"{_digest(clips, [network, self.suite.sha256[network], protocol.clip_size])}.npy"
        )
        if path.is_file():
            return torch.from_numpy(np.load(path, allow_pickle=False))
        device = next(module.parameters()).device
        parts: list[Tensor] = []
        with torch.no_grad():
            for start in range(0, len(clips), CLIPS_AT_ONCE):
                batch = to_network_input(list(clips[start : start + CLIPS_AT_ONCE]), protocol)
                parts.append(module(batch.to(device)).float().cpu())
        features = torch.cat(parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npy")
        np.save(partial, features.numpy())
        partial.replace(path)
        return features

    def _compute(
        self, prediction: Video, truth: Video | None, item: BenchmarkItem, pairing: str
    ) -> VideoScores:
        ssim = ssim_masked = lpips = lpips_masked = None
        ssim_frames: list[float] = []
        if truth is not None:
            colour = self.suite.protocol.ssim_colour
            whole, inside = ssim_per_frame(prediction, truth, item.mask > 127, colour)
            ssim, ssim_frames = float(whole.mean()), [round(float(value), 5) for value in whole]
            ssim_masked = _mean_of_known(inside)
            if self.suite.lpips is not None:
                whole, inside = self.suite.lpips.per_frame(prediction, truth, item.mask > 127)
                lpips, lpips_masked = float(whole.mean()), _mean_of_known(inside)
        shown = region_colour(prediction, item.garment_region)
        wanted = (
            mean_lab(garment_pixels(item.garment(pairing)))
            if truth is None
            else region_colour(truth, item.garment_region)
        )
        delta_e = delta_e_76_value = None
        if shown is not None and wanted is not None:
            delta_e = delta_e_2000(shown, wanted)
            delta_e_76_value = delta_e_76(shown, wanted)
        return VideoScores(
            id=item.id,
            num_frames=len(prediction),
            ssim=ssim,
            ssim_masked=ssim_masked,
            lpips=lpips,
            lpips_masked=lpips_masked,
            colour_delta_e=delta_e,
            colour_delta_e_76=delta_e_76_value,
            ssim_frames=ssim_frames,
        )


class MethodScores:
    """One method's scores over a benchmark, video by video."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.videos: list[VideoScores] = []
        self.features: dict[str, list[Tensor]] = {name: [] for name in scorer.suite.networks}
        self._selector = ClipSelector(scorer.suite.protocol)
        self.num_clips = 0

    def add_features(self, video: Video) -> None:
        """Take the next video's clips; videos come in the benchmark's order."""
        clips = self._selector.push(video)
        self.num_clips += len(clips)
        for name, groups in self.features.items():
            groups.append(self.scorer.features(name, clips))

    def add(self, prediction: Video, item: BenchmarkItem, pairing: str) -> None:
        """Score the next video."""
        self.videos.append(self.scorer.score_video(prediction, item, pairing))
        self.add_features(prediction)


def summarise(scores: MethodScores, reference: MethodScores, has_truth: bool) -> dict[str, Any]:
    """Each metric's value with its 95 % interval, or the reason why there is none.

    Args:
        scores: of the method.
        reference: the features of the real videos.
        has_truth: whether every video has a truth to compare frames with.
    """
    summary: dict[str, Any] = {}
    for metric in METRICS:
        gap = scores.scorer.suite.gap(metric)
        if metric.key in FRAME_METRICS and not has_truth:
            gap = "no truth: nobody knows what the unpaired result should look like"
        if gap is not None:
            summary[metric.key] = {"gap": gap}
        elif metric.key in FEATURE_METRICS:
            summary[metric.key] = _set_distance(metric.key, scores, reference)
        else:
            values = [getattr(video, metric.key) for video in scores.videos]
            known = [value for value in values if value is not None]
            summary[metric.key] = (
                {"value": float(np.mean(known)), "interval": bootstrap_interval(known)}
                if known
                else {"gap": "no painted pixel in any frame"}
            )
    return summary


def _set_distance(key: str, scores: MethodScores, reference: MethodScores) -> dict[str, Any]:
    ours = scores.features[FEATURE_METRICS[key]]
    real = reference.features[FEATURE_METRICS[key]]
    first, second = torch.cat(ours), torch.cat(real)
    if min(len(first), len(second)) < 2:
        return {"gap": f"{len(first)} clips: two are needed for a distance between sets"}
    if key == "kvd":
        distance, interval = kernel_distance, block_interval
    else:
        distance, interval = frechet_distance, jackknife_interval
    return {
        "value": distance(first, second),
        "interval": interval(ours, real, distance),
        "num_clips": len(first),
    }


def _mean_of_known(values: np.ndarray) -> float | None:
    """Mean over the frames that have a value; None where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _digest(arrays: Sequence[np.ndarray], settings: Sequence[object]) -> str:
    digest = hashlib.sha256(json.dumps(list(settings)).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.replace(path)
