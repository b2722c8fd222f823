"""Scores one benchmark item for every method; each number and feature is computed once.

Frames are decoded and hashed once for all methods and metrics, a clip is converted once for both
networks, and stored values are not computed again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from datasets.benchmarks.benchmark import BenchmarkItem
from training.evaluation.clips import Clip, ClipSelector, to_network_input
from training.evaluation.reencode import reencode_x264
from training.evaluation.store import ContentStore, digest_of
from training.evaluation.suite import MetricSuite
from training.evaluation.timing import EvaluationTimes
from training.metrics.catalogue import METRICS
from training.metrics.metric import Metric, VideoInputs, VideoNumber

Video = UInt8[np.ndarray, "t h w 3"]
Features = Float[np.ndarray, "clips dim"]
CLIPS_AT_ONCE = 4
"""Batch size of the video networks; memory grows with it."""
REFERENCE = ""
"""Name of the real videos' clips among those of the methods."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """A method's result for an item."""

    frames: Video
    segment_borders: list[int] | None = None  # first frames of later segments; None: unknown


Method = Callable[[BenchmarkItem, str], Result]


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """One row of the per-video table; a value is None if it does not exist."""

    id: str
    num_frames: int
    values: dict[str, float | None]  # by the metric's key
    frames: dict[str, list[float | None]]  # metrics with a number for every frame

    def to_plain(self) -> dict[str, Any]:
        """The row for metrics.json."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemScores:
    """All scores of one item, small enough to be sent between processes."""

    num_frames: int
    num_clips: int
    has_truth: bool
    videos: dict[str, VideoScores]  # by method
    features: dict[str, dict[str, Features]]  # by method or REFERENCE, then by network
    seconds: dict[str, float] = field(default_factory=dict)  # by part


class Scorer:
    """Scores items with one suite of metrics and stores the results."""

    def __init__(
        self,
        suite: MetricSuite,
        store: ContentStore | None = None,
        metrics: Sequence[Metric] = METRICS,
    ) -> None:
        """Create a scorer of these metrics; without a store, every number is computed again."""
        self.suite, self.store, self.metrics = suite, store, metrics
        self.times = EvaluationTimes()

    def score_item(
        self,
        item: BenchmarkItem,
        pairing: str,
        methods: Mapping[str, Method],
        selectors: dict[str, ClipSelector],
    ) -> ItemScores:
        """Score every method's result of one item.

        Args:
            item: decoded once.
            pairing: "paired" or "unpaired".
            methods: by name; called one after the other.
            selectors: one for REFERENCE and for each method. If clips span videos they hold the
                frames before this item, and keep this item's.
        """
        source = self._as_measured(item.video)
        known = item.truth(pairing)
        truth = None
        if known is not None:
            truth = source if known is item.video else self._as_measured(known)
        with self.times.part("hashing"):
            digests = _Digests()
            of_item = digest_of([
                digests.of(source), None if truth is None else digests.of(truth), pairing,
                item.mask, item.garment_region, item.garment(pairing),
            ])  # fmt: skip
        reference = source if truth is None else truth
        clips = selectors[REFERENCE].push(reference)
        features = {REFERENCE: self.features(clips, self._clips_name(reference, clips, digests))}
        videos: dict[str, VideoScores] = {}
        memo: dict[Any, Any] = {}
        for name, method in methods.items():
            with self.times.part("reading results"):
                result = method(item, pairing)
            prediction = source if result.frames is item.video else self._as_measured(result.frames)
            inputs = VideoInputs(
                prediction=prediction,
                source=source,
                truth=truth,
                mask=item.mask,
                garment_region=item.garment_region,
                garment=item.garment(pairing),
                pairing=pairing,
                protocol=self.suite.protocol,
                segment_borders=result.segment_borders,
                lpips=self.suite.lpips,
                features=self.suite.features,
                item_memo=memo,
            )
            with self.times.part("hashing"):
                digest = digest_of([of_item, digests.of(prediction), result.segment_borders])
            videos[name] = self.score_video(inputs, item.id, digest)
            theirs = selectors[name].push(prediction)
            features[name] = self.features(theirs, self._clips_name(prediction, theirs, digests))
        return ItemScores(
            num_frames=len(source),
            num_clips=len(clips),
            has_truth=truth is not None,
            videos=videos,
            features=features,
            seconds=self.times.take(),
        )

    def score_video(self, inputs: VideoInputs, identity: str, digest: str = "") -> VideoScores:
        """Every metric of single videos that this machine can compute; ``digest`` of the inputs."""
        wanted = {self._number_name(metric): metric for metric in self._computable(inputs)}
        known = {} if self.store is None else self.store.numbers(digest)
        missing = {name: metric for name, metric in wanted.items() if name not in known}
        for name, metric in missing.items():
            assert metric.compute is not None
            with self.times.part(f"metric {metric.key}"), exact_arithmetic():
                known[name] = asdict(metric.compute(inputs))
        if missing and self.store is not None:
            self.store.save_numbers(digest, known)
        numbers = {metric.key: VideoNumber(**known[name]) for name, metric in wanted.items()}
        return VideoScores(
            id=identity,
            num_frames=len(inputs.prediction),
            values={key: number.value for key, number in numbers.items()},
            frames={key: n.per_frame for key, n in numbers.items() if n.per_frame is not None},
        )

    def features(self, clips: Sequence[Clip], digest: str = "") -> dict[str, Features]:
        """Features (clips, dim) by network, float32; a clip is converted once for all networks."""
        protocol = self.suite.protocol
        names = {
            network: digest_of([digest, network, self.suite.sha256[network], protocol.clip_size])
            for network in self.suite.networks
        }
        store = self.store
        found = {
            network: None if store is None else store.features(name)
            for network, name in names.items()
        }
        missing = [network for network, features in found.items() if features is None]
        if missing:
            parts: dict[str, list[np.ndarray]] = {network: [] for network in missing}
            for start in range(0, len(clips), CLIPS_AT_ONCE):
                with self.times.part("converting clips"):
                    batch = to_network_input(list(clips[start : start + CLIPS_AT_ONCE]), protocol)
                for network in missing:
                    with self.times.part(f"network {network}"):
                        parts[network].append(self._forward(network, batch))
            for network in missing:
                empty = np.zeros((0, int(self.suite.networks[network].num_features)), np.float32)  # pyright: ignore
                made = np.concatenate([empty, *parts[network]])
                if store is not None:
                    store.save_features(names[network], made)
                found[network] = made
        return {network: features for network, features in found.items() if features is not None}

    @torch.no_grad()
    def _forward(self, network: str, batch: torch.Tensor) -> np.ndarray:
        module = self.suite.networks[network]
        device = next(module.parameters()).device
        with exact_arithmetic():
            return module(batch.to(device)).float().cpu().numpy()

    def _as_measured(self, frames: Video) -> Video:
        if self.suite.protocol.reencode == "none":
            return frames
        with self.times.part("re-encoding"):
            return reencode_x264(frames)

    def _clips_name(self, video: Video, clips: Sequence[Clip], digests: "_Digests") -> str:
        """Digest of a video's clips: the video's own, unless they hold frames of other videos."""
        protocol = self.suite.protocol
        with self.times.part("hashing"):
            if protocol.clip_selection == "across":
                return digest_of([*clips])
            return digest_of([
                digests.of(video), protocol.clip_selection, protocol.clip_colour_order,
                protocol.clip_frames,
            ])  # fmt: skip

    def _computable(self, inputs: VideoInputs) -> list[Metric]:
        return [
            metric
            for metric in self.metrics
            if metric.kind == "video"
            and self.suite.gap(metric) is None
            and (inputs.truth is not None or not metric.needs_truth)
        ]

    def _number_name(self, metric: Metric) -> str:
        """The number's name in the store: everything but the inputs that affects it."""
        settings = [str(getattr(self.suite.protocol, name)) for name in metric.protocol_fields]
        weights = self.suite.weights_of(metric)
        named = [self.suite.sha256[weights]] if weights else []
        return "|".join([metric.key, str(metric.version), *settings, *named])


class _Digests:
    """Digests of one item's videos; each array is hashed once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Video, str]] = {}  # keeps videos alive: ids stay unique

    def of(self, video: Video) -> str:
        if id(video) not in self._known:
            self._known[id(video)] = (video, digest_of([video]))
        return self._known[id(video)][1]


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """No TF32 in convolutions and no algorithm search, so that a GPU matches a CPU's numbers."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield
