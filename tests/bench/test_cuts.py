"""The benchmark of cuts: transitions lie where it says, and are counted as it says."""

import numpy as np

from curation.first_pass.signals import Signals
from curation.selection.shots import ShotsConfig
from tests.bench.cut_videos import dissolve, insert, join
from tests.bench.cuts import Score
from tests.output_fixtures import standing_signals


def pieces(count: int, length: int) -> list[list[np.ndarray]]:
    return [[np.full((4, 4, 3), 40 * (i + 1), np.uint8)] * length for i in range(count)]


def test_joined_pieces_have_their_transitions_where_the_list_says() -> None:
    for length, total in ((0, 30), (4, 22)):
        frames, truth = join(pieces(3, 10), dissolve, length)
        assert len(frames) == total
        blends = [i for i, frame in enumerate(frames) if frame[0, 0, 0] not in (40, 80, 120)]
        assert blends == [i for start, end in truth for i in range(start, end)]
        assert [int(frames[end][0, 0, 0]) for _, end in truth] == [80, 120]
    frames, truth = insert(pieces(2, 10), 3)
    assert truth == ((5, 8), (13, 13), (18, 21))
    assert [int(frames[i][0, 0, 0]) for i in (4, 5, 7, 8, 12, 13, 18)] == [
        40, 80, 80, 40, 40, 80, 40,
    ]  # fmt: skip


def counted(truth: tuple[tuple[int, int], ...], signals: Signals) -> tuple[int, int, int]:
    score = Score()
    score.add(truth, signals, ShotsConfig())
    return score.found, score.wrong, score.left


def test_a_transition_is_found_wrong_or_partly_left() -> None:
    signals = standing_signals(0, num_frames=40)
    signals.contrast[20:24] = 0.0  # blank frames: the rules leave 20..23 out
    assert counted(((20, 24),), signals) == (1, 0, 0)
    assert counted((), signals) == (0, 1, 0)
    assert counted(((20, 30),), signals) == (1, 0, 4)  # two more are trimmed
    assert counted(((30, 32),), signals) == (0, 1, 2)
