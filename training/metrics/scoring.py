"""Scores of videos, and the rows that sum them up.

Everything expensive is kept by content: frames, region, protocol and weights are hashed together,
so a video that was scored once is not scored again, by this run or by another, and a result that
changed is.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from datasets.benchmarks import BenchmarkItem
from training.metrics.catalogue import METRICS
from training.metrics.clips import ClipSelector, to_network_input
from training.metrics.frechet import frechet_distance, kernel_distance
from training.metrics.intervals import block_interval, bootstrap_interval, jackknife_interval
from training.metrics.metric import NO_TRUTH, Metric, VideoInputs, VideoNumber
from training.metrics.suite import MetricSuite

Video = UInt8[np.ndarray, "t h w 3"]
CLIPS_AT_ONCE = 4
FEATURE_METRICS = {"vfid_i3d": "i3d", "vfid_resnext": "resnext", "kvd": "i3d"}


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """One row of the per-video table; a value is None where it does not exist."""

    id: str
    num_frames: int
    values: dict[str, float | None]  # by the metric's key
    frames: dict[str, list[float | None]]  # the metrics that have a number for every frame

    def to_plain(self) -> dict[str, Any]:
        """The row for metrics.json."""
        return asdict(self)


class Scorer:
    """Scores videos with one suite of metrics and remembers them in a folder."""

    def __init__(self, suite: MetricSuite, cache: Path) -> None:
        self.suite, self.cache = suite, cache

    def score_video(self, inputs: VideoInputs, identity: str) -> VideoScores:
        """Every metric of single videos that this machine can compute for these inputs."""
        wanted = {self._name(metric): metric for metric in self._computable(inputs)}
        path = self.cache / "scores" / f"{_digest_inputs(inputs)}.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        missing = {name: metric for name, metric in wanted.items() if name not in known}
        for name, metric in missing.items():
            assert metric.compute is not None
            known[name] = asdict(metric.compute(inputs))
        if missing:
            _write_whole(path, json.dumps(known).encode())
        numbers = {metric.key: VideoNumber(**known[name]) for name, metric in wanted.items()}
        return VideoScores(
            id=identity,
            num_frames=len(inputs.prediction),
            values={key: number.value for key, number in numbers.items()},
            frames={key: n.per_frame for key, n in numbers.items() if n.per_frame is not None},
        )

    def _computable(self, inputs: VideoInputs) -> list[Metric]:
        return [
            metric
            for metric in METRICS
            if metric.kind == "video"
            and self.suite.gap(metric) is None
            and (inputs.truth is not None or not metric.needs_truth)
        ]

    def _name(self, metric: Metric) -> str:
        """The number's name in the cache: all that changes it beside the inputs."""
        settings = [getattr(self.suite.protocol, field) for field in metric.protocol_fields]
        weights = self.suite.weights_of(metric)
        return "|".join(
            [metric.key, str(metric.version), *map(str, settings)]
            + ([self.suite.sha256[weights]] if weights else [])
        )

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
        inputs = VideoInputs(
            prediction=prediction,
            source=item.video,
            truth=item.truth(pairing),
            mask=item.mask,
            garment_region=item.garment_region,
            garment=item.garment(pairing),
            pairing=pairing,
            protocol=self.scorer.suite.protocol,
            lpips=self.scorer.suite.lpips,
        )
        self.videos.append(self.scorer.score_video(inputs, item.id))
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
        if metric.needs_truth and not has_truth:
            gap = NO_TRUTH
        if gap is not None:
            summary[metric.key] = {"gap": gap}
        elif metric.kind == "set":
            summary[metric.key] = _set_distance(metric.key, scores, reference)
        else:
            values = [video.values.get(metric.key) for video in scores.videos]
            known = [value for value in values if value is not None]
            summary[metric.key] = (
                {"value": float(np.mean(known)), "interval": bootstrap_interval(known)}
                if known
                else {"gap": metric.no_value}
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


def _digest_inputs(inputs: VideoInputs) -> str:
    """Of all that a metric may look at."""
    arrays = [inputs.prediction, inputs.source, inputs.mask, inputs.garment_region, inputs.garment]
    if inputs.truth is not None and inputs.truth is not inputs.source:
        arrays.append(inputs.truth)
    return _digest(arrays, [inputs.pairing, inputs.truth is not None, inputs.segment_borders])


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
