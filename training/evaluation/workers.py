"""Scores the items of an evaluation, in one process or several, with the same result.

Every process builds the same ``ItemScorer`` and maps (pairing, item number) to ``ItemScores``;
these are gathered in the benchmark's order, so the split over processes does not matter. Results of
a checkpoint are generated beforehand, in one process per device.
"""

import multiprocessing
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch

from configs.errors import DataError
from datasets.benchmarks.benchmark import Benchmark, BenchmarkItem
from training.evaluation.baselines import BASELINES
from training.evaluation.clips import ClipSelector
from training.evaluation.config import EvaluationConfig
from training.evaluation.predictions import CheckpointResults, GivenResults
from training.evaluation.scoring import REFERENCE, ItemScores, Method, Result, Scorer, Video
from training.evaluation.store import ContentStore
from training.evaluation.suite import MetricSuite, load_suite
from training.metrics.protocols import get_protocol

T = TypeVar("T")
ItemPlace = tuple[str, int]
"""A pairing and an item's index in it."""


class ItemScorer:
    """Everything needed to score any item of one evaluation."""

    def __init__(
        self,
        config: EvaluationConfig,
        chosen: dict[str, list[str]],
        device: str | None = None,
        suite: MetricSuite | None = None,
    ) -> None:
        """Open the benchmark and load the networks, unless ``suite`` has them.

        ``device`` None: the first of ``config.devices``, else GPU or CPU.
        """
        self.config, self.chosen = config, chosen
        self.bench = Benchmark(Path(config.root), config.bench, config.subset)
        self.size = measured_size(config, self.bench)
        first = next(iter(config.devices), None)
        self.suite = suite or load_suite(get_protocol(config.protocol), device or first or "auto")
        self.methods = {config.name: make_method(config, device or first), **baselines(config)}
        self._scorer = Scorer(self.suite, ContentStore(config.cache))
        self._selectors: dict[str, ClipSelector] = {}
        self._next: ItemPlace | None = None  # the next item in the selectors' order

    def load(self, pairing: str, index: int) -> BenchmarkItem:
        """Decode one item."""
        with self._scorer.times.part("decoding the benchmark"):
            return self.bench.load(self.chosen[pairing][index], *self.size)

    def score(self, pairing: str, index: int) -> ItemScores:
        """Every method's numbers and features for one item."""
        item = self.load(pairing, index)
        if self._next != (pairing, index):
            before = self._frames_before(pairing, index)
            self._selectors = {
                name: ClipSelector(self.suite.protocol, before.get(name))
                for name in (REFERENCE, *self.methods)
            }
        scores = self._scorer.score_item(item, pairing, self.methods, self._selectors)
        self._next = (pairing, index + 1)
        return scores

    def _frames_before(self, pairing: str, index: int) -> dict[str, Video]:
        """Frames of earlier items in this item's first clip, if clips span videos."""
        protocol = self.suite.protocol
        if protocol.clip_selection != "across":
            return {}
        identities = self.chosen[pairing][:index]
        wanted = sum(self.bench.num_frames(each) for each in identities) % protocol.clip_frames
        before: dict[str, list[Video]] = {name: [] for name in (REFERENCE, *self.methods)}
        while wanted > 0:
            index -= 1
            item = self.load(pairing, index)
            truth = item.truth(pairing)
            taken = slice(max(0, len(item.video) - wanted), None)
            wanted -= len(item.video[taken])
            for name, frames in (
                (REFERENCE, item.video if truth is None else truth),
                *((name, method(item, pairing).frames) for name, method in self.methods.items()),
            ):
                before[name].insert(0, frames[taken])
        return {name: np.concatenate(frames) for name, frames in before.items() if frames}


def measured_size(config: EvaluationConfig, bench: Benchmark) -> tuple[int, int]:
    """(height, width) of all results and metrics."""
    if config.height is not None and config.width is not None:
        return config.height, config.width
    return bench.resolution()


def make_method(config: EvaluationConfig, device: str | None = None) -> Method:
    """The source of the evaluated method's results."""
    if config.pred is not None:
        return GivenResults(Path(config.pred), config.pairings, config.segment_frames).read
    return checkpoint_results(config, device).paint


def checkpoint_results(config: EvaluationConfig, device: str | None = None) -> CheckpointResults:
    """The checkpoint's results for this evaluation."""
    folder = config.folder / "predictions"
    return CheckpointResults(Path(config.checkpoint or ""), config.painting, folder, device)


def baselines(config: EvaluationConfig) -> dict[str, Method]:
    """The trivial methods, by name."""
    if not config.baselines:
        return {}
    return {
        name: lambda item, pairing, make=make: Result(frames=make(item, pairing))
        for name, make in BASELINES.items()
    }


def item_painter(
    config: EvaluationConfig, chosen: dict[str, list[str]], device: str | None = None
) -> Callable[[str, int], None]:
    """Generates a checkpoint's result of an item unless it exists; scoring then only reads it."""
    bench = Benchmark(Path(config.root), config.bench, config.subset)
    size = measured_size(config, bench)
    results = checkpoint_results(config, device or next(iter(config.devices), None))

    def paint(pairing: str, index: int) -> None:
        results.paint(bench.load(chosen[pairing][index], *size), pairing)

    return paint


def item_scorer(
    config: EvaluationConfig, chosen: dict[str, list[str]], device: str | None = None
) -> Callable[[str, int], ItemScores]:
    """Scores an item of one evaluation."""
    return ItemScorer(config, chosen, device).score


def score_all(
    config: EvaluationConfig, chosen: dict[str, list[str]], places: Sequence[ItemPlace]
) -> Iterator[ItemScores]:
    """Score items in ``config.num_processes`` processes; yields scores in the order of the places.

    Raises:
        DataError: an item or a result is wrong, or a worker was killed.
    """
    yield from _run(item_scorer, config, chosen, places, config.num_processes)


def paint_all(
    config: EvaluationConfig, chosen: dict[str, list[str]], places: Sequence[ItemPlace]
) -> Iterator[None]:
    """Generate missing results: one process per device, or this process if there is one device."""
    if len(config.devices) > 1:
        yield from _run(item_painter, config, chosen, places, len(config.devices))
        return
    paint = item_painter(config, chosen)
    for place in places:
        yield paint(*place)


def _run(
    build: Callable[..., Callable[[str, int], T]],
    config: EvaluationConfig,
    chosen: dict[str, list[str]],
    places: Sequence[ItemPlace],
    num_processes: int,
) -> Iterator[T]:
    # spawn: a fork would inherit CUDA and the threads of torch and OpenCV in an unknown state
    context = multiprocessing.get_context("spawn")
    devices: queue.Queue[str | None] = context.Queue()  # pyright: ignore[reportAssignmentType]
    for number in range(num_processes):
        devices.put(config.devices[number % len(config.devices)] if config.devices else None)
    pool = ProcessPoolExecutor(
        num_processes,
        mp_context=context,
        initializer=_begin,
        initargs=(partial(build, config, chosen), devices),
    )
    try:
        for answer in [pool.submit(_answer, place) for place in places]:
            yield answer.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process was killed, probably out of memory; lower `workers`. Finished scores "
            "are kept: rerun the same command to resume"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: Callable[[], Callable[[str, int], Any]] | None = None
"""State of a worker process: built at its first item, so that errors reach the parent."""


def _begin(
    build: Callable[[str | None], Callable[[str, int], Any]],
    devices: "queue.Queue[str | None]",
) -> None:
    global _work
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _work = cache(partial(build, devices.get()))


def _answer(place: ItemPlace) -> Any:
    assert _work is not None
    return _work()(*place)
