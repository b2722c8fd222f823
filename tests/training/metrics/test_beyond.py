"""The records of the newer metrics: what they are given, and when they have no number."""

from dataclasses import replace

import numpy as np
import pytest

from training.metrics.catalogue import METRICS
from training.metrics.flicker import FLICKER, TEMPORAL
from training.metrics.garment_colour import GARMENT_COLOUR
from training.metrics.garment_pattern import GARMENT_PATTERN
from training.metrics.identity import IDENTITY
from training.metrics.leak import LEAK
from training.metrics.metric import Metric, VideoInputs
from training.metrics.protocols import get_protocol
from training.metrics.seams import SEAM

ALL = (FLICKER, TEMPORAL, IDENTITY, GARMENT_COLOUR, GARMENT_PATTERN, LEAK, SEAM)
SHAPE = (6, 40, 32)


def inputs() -> VideoInputs:
    """Red cloth that was put on again, and rightly."""
    region = np.zeros(SHAPE, dtype=bool)
    region[:, 10:30, 8:24] = True
    video = np.random.default_rng(0).integers(90, 110, (*SHAPE, 3)).astype(np.uint8)
    video[region] = (180, 30, 30)
    garment = np.full((40, 32, 3), 255, dtype=np.uint8)
    garment[5:35, 5:27] = (180, 30, 30)
    return VideoInputs(
        prediction=video,
        source=video,
        truth=video,
        mask=np.where(region, 255, 0).astype(np.uint8),
        garment_region=region,
        garment=garment,
        pairing="paired",
        protocol=get_protocol("fixed"),
    )


def value(metric: Metric, given: VideoInputs) -> float | None:
    assert metric.compute is not None
    return metric.compute(given).value


def test_all_of_them_are_in_every_table() -> None:
    assert set(ALL) <= set(METRICS)
    assert not any(metric.is_higher_better for metric in ALL)


@pytest.mark.parametrize("metric", [FLICKER, TEMPORAL, IDENTITY, GARMENT_COLOUR, GARMENT_PATTERN])
def test_the_truth_is_perfect(metric: Metric) -> None:
    assert value(metric, inputs()) == pytest.approx(0, abs=1e-3)


def test_a_leak_is_looked_for_in_unpaired_results_only() -> None:
    assert value(LEAK, inputs()) is None
    blue = inputs().garment.copy()
    blue[5:35, 5:27] = (30, 40, 180)
    unpaired = replace(
        inputs(), pairing="unpaired", garment=blue, truth=None, result_memo={}, item_memo={}
    )
    assert value(LEAK, unpaired) == 1.0


def test_seams_need_to_know_where_windows_end() -> None:
    assert value(SEAM, inputs()) is None
    assert SEAM.no_value.startswith("borders of windows are not known")
    blinking = inputs().prediction.copy()
    blinking[1::2, 12:28, 10:22] += 10
    blinking[3:, 12:28, 10:22, 1] += 40
    known = replace(inputs(), prediction=blinking, segment_borders=[3])
    assert value(SEAM, known) == pytest.approx((10 + 40 / 3) / 10)


def test_without_a_truth_the_source_says_how_much_may_flicker() -> None:
    given = replace(inputs(), truth=None, pairing="unpaired", result_memo={}, item_memo={})
    assert value(FLICKER, given) == 0
    brighter = given.prediction.copy()
    brighter[1::2] += 20
    flickering = replace(given, prediction=brighter, result_memo={}, item_memo={})
    assert value(FLICKER, flickering) == pytest.approx(20, abs=0.5)
    assert TEMPORAL.needs_truth


def test_what_belongs_to_the_item_is_computed_once_for_all_methods() -> None:
    first = inputs()
    second = replace(first, prediction=first.prediction[:, :, ::-1].copy(), result_memo={})
    for given in (first, second):
        for metric in ALL:
            value(metric, given)
    assert len(first.item_memo) == 4  # motion, its change, colours and pattern asked for
    assert second.item_memo is first.item_memo


def test_every_frame_has_its_own_number() -> None:
    for metric in (FLICKER, TEMPORAL, IDENTITY, GARMENT_COLOUR, GARMENT_PATTERN):
        assert metric.compute is not None
        per_frame = metric.compute(inputs()).per_frame
        assert per_frame is not None
        assert len(per_frame) == SHAPE[0]
    assert FLICKER.compute is not None
    assert (FLICKER.compute(inputs()).per_frame or [0])[0] is None
