"""Which clip the n-th sample of a run shows, for any mixture, from the seed alone.

Clips are grouped into *streams* by root (or all roots together), kind (clips of T frames, or single
images) and size. Each optimizer step draws one kind and one size, so that all ranks and
micro-batches of a step run the same graph; each of its samples draws a root by weight. A stream
yields its clips epoch by epoch, each epoch in a new order.

A sample is identified by its number: the count of all samples before it. None of this depends on
ranks, workers or micro-batches as long as a step has the same number of samples. A run that resumes
at step s replays the count of the steps before it, which takes a second for 100,000 of them.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler

from datasets.seeding import numpy_generator

CLIPS, IMAGES = "clips", "images"
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Clips that may share a batch: one kind, one size, one root."""

    kind: str
    size: tuple[int, int]  # height, width
    rows: Int[np.ndarray, " k"]  # of the clip table
    weight: float  # relative frequency among samples of this kind


@dataclass(frozen=True)
class Ticket:
    """One sample to be read."""

    number: int  # in the run
    stream: int
    position: int  # samples drawn from the stream before


@dataclass(frozen=True, kw_only=True)
class Step:
    """The samples of one optimizer step, all of one kind and size."""

    kind: str
    tickets: list[Ticket]


class SampleOrder:
    """Steps of a run, in order.

    Args:
        streams: at least one.
        seed: of the run.
        step_size: samples per optimizer step, of all ranks together.
        image_share: share of the steps that show images.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        seed: int,
        step_size: int,
        image_share: float = 0.0,
    ) -> None:
        self.streams, self.seed = list(streams), seed
        self.step_size, self.image_share = step_size, image_share
        groups: dict[tuple[str, tuple[int, int]], list[int]] = {}
        for index, stream in enumerate(self.streams):
            groups.setdefault((stream.kind, stream.size), []).append(index)
        self._groups = {
            kind: [_Group(self.streams, members) for (k, _), members in groups.items() if k == kind]
            for kind in (CLIPS, IMAGES)
        }

    def steps(self, start: int = 0) -> Iterator[Step]:
        """All steps from ``start`` on, without end."""
        given = np.zeros(len(self.streams), np.int64)
        number = 0
        for step in itertools.count():
            kind, group = self._draw_group(step)
            chosen = group.choose(self, number, self.step_size)
            if step >= start:
                yield Step(kind=kind, tickets=_tickets(chosen, number, given))
            given += np.bincount(chosen, minlength=len(given))
            number += self.step_size

    def _draw_group(self, step: int) -> tuple[str, "_Group"]:
        kind = CLIPS
        if not self._groups[CLIPS] or (
            self.image_share and self._uniform("kind", step) < self.image_share
        ):
            kind = IMAGES
        groups = self._groups[kind]
        if len(groups) == 1:
            return kind, groups[0]
        shares = np.cumsum([group.weight for group in groups])
        place = self._uniform("size", step) * shares[-1]
        return kind, groups[int(np.searchsorted(shares[:-1], place, side="right"))]

    def _uniform(self, purpose: str, index: int) -> float:
        return float(self.uniforms(purpose, index, 1)[0])

    def uniforms(self, purpose: str, first: int, count: int) -> np.ndarray:
        """Uniform numbers in [0, 1) for the indices ``first``, ``first + 1``, ..."""
        blocks = range(first // _BLOCK, (first + count - 1) // _BLOCK + 1)
        drawn = np.concatenate([self._block(purpose, block) for block in blocks])
        offset = first - blocks[0] * _BLOCK
        return drawn[offset : offset + count]

    def _block(self, purpose: str, block: int) -> np.ndarray:
        kept = self.__dict__.setdefault("_blocks", {})
        if kept.get(purpose, (-1,))[0] != block:
            kept[purpose] = (block, numpy_generator(self.seed, purpose, block).random(_BLOCK))
        return kept[purpose][1]


class _Group:
    """The streams that one step may draw from."""

    def __init__(self, streams: Sequence[Stream], members: list[int]) -> None:
        self.members = np.array(members)
        self.shares = np.cumsum([streams[index].weight for index in members])

    @property
    def weight(self) -> float:
        return float(self.shares[-1])

    def choose(self, order: SampleOrder, number: int, count: int) -> Int[np.ndarray, " count"]:
        """The streams of samples ``number``, ``number + 1``, ..."""
        if len(self.members) == 1:
            return np.full(count, self.members[0])
        places = order.uniforms("source", number, count) * self.shares[-1]
        return self.members[np.searchsorted(self.shares[:-1], places, side="right")]


def _tickets(chosen: np.ndarray, number: int, given: np.ndarray) -> list[Ticket]:
    counts = given.copy()
    tickets: list[Ticket] = []
    for offset, stream in enumerate(chosen.tolist()):
        tickets.append(Ticket(number + offset, stream, int(counts[stream])))
        counts[stream] += 1
    return tickets


class RankBatches(Sampler[list[Ticket]]):
    """The micro-batches of one rank: an equal block of each.

    Args:
        order: of the run.
        start: the first optimizer step.
        accumulate: micro-batches per step.
        rank: of this process.
        world_size: number of ranks.
    """

    def __init__(
        self,
        order: SampleOrder,
        start: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.order, self.start, self.accumulate = order, start, accumulate
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[list[Ticket]]:
        for step in self.order.steps(self.start):
            rows = len(step.tickets) // (self.accumulate * self.world_size)
            for micro in range(self.accumulate):
                first = (micro * self.world_size + self.rank) * rows
                yield step.tickets[first : first + rows]
