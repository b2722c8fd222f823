"""Ten moments, two of each command; a hundred: ``python -m tests.kills``."""

import pytest

from tests.kills.__main__ import COMMANDS
from tests.kills.harness import Killer, products


@pytest.mark.slow
@pytest.mark.perception
@pytest.mark.timeout(1800)
def test_killed_runs_lose_nothing_and_end_with_the_same_bytes(tmp_path):
    killer = Killer(tmp_path / "runs")
    try:
        kills = list(killer.moments(list(COMMANDS), 2 * len(COMMANDS), seed=1))
    finally:
        killer.close()
    assert {kill.command: kill.faults for kill in kills if kill.faults} == {}


def test_products_see_every_byte_but_times(tmp_path):
    def written(score, seconds, picture=b"a"):
        (tmp_path / "metrics.json").write_text(f'{{"score": {score}, "seconds": {seconds}}}')
        (tmp_path / "x.png").write_bytes(picture)
        return products(tmp_path)

    first = written(1, 2)
    assert written(1, 3) == first
    assert written(2, 2) != first
    assert written(1, 2, b"b") != first
