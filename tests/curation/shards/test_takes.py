"""One garment in one room, taken twice, is never in train and in val."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.errors import ConfigError
from configs.loading import load_config
from curation.ledger import Ledger
from curation.publish import Published, publish
from curation.settings import CurateConfig
from curation.shards.takes import TakesConfig, find_takes
from curation.stages.colours import ColourProfile
from tests.output_fixtures import CONFIG, stored_source

NUM_GARMENTS = 4


def colours(garment: int, place: int, strays: float = 0.0) -> ColourProfile:
    """One bin of 256 each; a share of the garment's colours ``strays`` into the next bin."""
    worn = np.zeros(256)
    worn[garment], worn[garment + 1] = 1 - strays, strays
    return ColourProfile(
        garment=worn, background=np.eye(256)[place], person=np.full((2, 3), np.nan)
    )


def test_takes_share_garment_and_room() -> None:
    profiles = {
        "a": colours(1, 1), "b": colours(1, 1, 0.14), "other_shirt": colours(3, 1),
        "other_room": colours(1, 5), "nobodys": colours(9, 9),
    }  # fmt: skip
    assert find_takes(profiles, TakesConfig()) == [["a", "b"]]
    assert find_takes(profiles, TakesConfig(max_garment_apart=0.05)) == []
    assert find_takes(profiles, TakesConfig(together=False)) == []
    assert find_takes({}, TakesConfig()) == []
    with pytest.raises(ConfigError, match="max_garment_apart is 2"):
        TakesConfig(max_garment_apart=2)


def test_small_steps_do_not_chain_a_studio_into_one_group() -> None:
    names = [f"{number:02d}" for number in range(15)]
    profiles = {name: colours(1, 1, 0.06 * n) for n, name in enumerate(names)}
    found = find_takes(profiles, TakesConfig())
    assert sorted(name for take in found for name in take) == names
    assert [len(take) for take in found] == [3] * 5


def written(out: Path, *words: str) -> CurateConfig:
    """Two takes of each garment, each garment in a room of its own; nothing is published."""
    config = load_config(
        CurateConfig, CONFIG, [f"out={out}", "perception=embedded", "shards.val_share=0.5", *words]
    )
    with Ledger(out / "ledger.sqlite") as ledger:
        for number in range(2 * NUM_GARMENTS):
            source, clips = stored_source(config, number)
            looks = colours(2 * (number // 2), 2 * (number // 2)).pack()
            ledger.record(source, clips)
            ledger.record_looks({str(clip.folder): looks for clip in clips})
    return config


def published(config: CurateConfig) -> dict[int, list[str]]:
    """Garment -> the splits of its takes."""
    out = Path(config.out)
    with Ledger(out / "ledger.sqlite") as ledger:
        publish(config, ledger, Published(num_sources=2 * NUM_GARMENTS, num_decoded=1))
    splits: dict[int, list[str]] = {}
    for row in pq.read_table(out / "manifest.parquet").to_pylist():
        number = int(row["source"].split()[1].removesuffix(".mp4"))
        splits.setdefault(number // 2, []).append(row["split"])
    return splits


def test_takes_are_published_in_one_split_and_the_report_counts_their_groups(
    tmp_path: Path,
) -> None:
    config = written(tmp_path / "out")
    splits = published(config)
    assert {len(found) for found in splits.values()} == {2}
    assert all(one == other for one, other in splits.values())
    assert {one for one, _ in splits.values()} == {"train", "val"}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    (before, _) = page.split("of them hold several clips")
    assert before[-60:].count(str(NUM_GARMENTS)) == 1


def test_what_an_earlier_version_placed_stays_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = written(tmp_path / "out", "takes.together=false")
    before = published(config)
    apart = sum(one != other for one, other in before.values())
    assert apart > 0
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        after = published(replace(config, takes=TakesConfig()))
    assert after == before
    assert f"{apart} garments are shown in one room in several splits" in caplog.text
