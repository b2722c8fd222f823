"""Which clip a number shows: from the seed alone, for any mixture, ranks and workers."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from datasets.loading.sample_order import (
    CLIPS,
    IMAGES,
    RankBatches,
    SampleOrder,
    Step,
    Stream,
    Ticket,
)


def mixture(seed: int = 3) -> SampleOrder:
    """Two roots in two sizes of clips, one root of images; a quarter of the steps show images."""
    counts = [(CLIPS, (64, 48), 5, 0.6), (CLIPS, (64, 48), 3, 0.2), (CLIPS, (48, 64), 4, 0.2)]
    counts.append((IMAGES, (64, 48), 7, 1.0))
    streams = [
        Stream(kind=kind, size=size, rows=np.arange(count), weight=weight)
        for kind, size, count, weight in counts
    ]
    return SampleOrder(streams, seed, step_size=8, image_share=0.25)


def first_steps(order: SampleOrder, count: int, start: int = 0) -> list[Step]:
    return list(islice(order.steps(start), count))


def test_numbers_count_all_samples_without_a_gap() -> None:
    tickets = [t for step in first_steps(mixture(), 50) for t in step.tickets]
    assert [ticket.number for ticket in tickets] == list(range(len(tickets)))


def test_each_stream_hands_out_its_positions_in_order_and_none_twice() -> None:
    given: Counter[int] = Counter()
    for step in first_steps(mixture(), 200):
        for ticket in step.tickets:
            assert ticket.position == given[ticket.stream]
            given[ticket.stream] += 1
    assert len(given) == 4


def test_a_run_that_starts_at_a_step_goes_on_as_an_unbroken_one() -> None:
    whole = first_steps(mixture(), 700)
    for start in (1, 37, 512, 690):
        assert first_steps(mixture(), 700 - start, start) == whole[start:]


def test_a_step_shows_one_kind_of_one_size() -> None:
    order = mixture()
    kinds: Counter[str] = Counter()
    for step in first_steps(order, 400):
        streams = [order.streams[ticket.stream] for ticket in step.tickets]
        assert len({(stream.kind, stream.size) for stream in streams}) == 1
        assert len(step.tickets) == 8
        kinds[step.kind] += 1
    assert kinds[IMAGES] / 400 == pytest.approx(0.25, abs=0.07)


def test_samples_come_from_the_roots_as_their_weights_say() -> None:
    drawn: Counter[int] = Counter()
    for step in first_steps(mixture(), 2000):
        drawn.update(ticket.stream for ticket in step.tickets if step.kind == CLIPS)
    total = sum(drawn.values())
    for stream, weight in enumerate((0.6, 0.2, 0.2)):
        assert drawn[stream] / total == pytest.approx(weight, abs=0.03)


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 4), (2, 2), (4, 1), (2, 4)])
def test_ranks_and_micro_batches_share_out_the_same_samples(world_size, accumulate) -> None:
    order = mixture()
    ranks = [iter(RankBatches(order, 5, accumulate, rank, world_size))
             for rank in range(world_size)]  # fmt: skip
    for step in first_steps(order, 20, 5):
        seen: list[Ticket] = []
        for _ in range(accumulate):
            micro = [next(rank) for rank in ranks]
            assert len({len(batch) for batch in micro}) == 1
            seen += [ticket for batch in micro for ticket in batch]
        assert seen == step.tickets


def test_another_seed_mixes_otherwise() -> None:
    assert first_steps(mixture(seed=4), 20) != first_steps(mixture(), 20)
