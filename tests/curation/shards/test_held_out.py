"""Held-out clips: unlike each other, gone from train with what shows them, and there for good."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from curation import explain, purge, verify
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.publish import Published, publish
from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry
from curation.shards.held_out import HeldOut, choose_held_out, hold_out, left_out
from curation.stages.clip_files import encode_png
from curation.stages.colours import (
    ColourProfile,
    HeldOutConfig,
    apart,
    measure_profile,
    people_apart,
    read_profile,
)
from datasets.benchmarks.benchmark import Benchmark
from datasets.labels import ParseLabel
from datasets.shards import index_split
from datasets.tracks import encode_labels, encode_video
from tests.output_fixtures import config_of, stored_source, write_output

CONFIG = HeldOutConfig()
ALL_DIFFER = (
    "held_out.min_garment_apart=0", "held_out.min_background_apart=0",
    "held_out.min_person_apart=0",
)  # fmt: skip


def colours(garment: int, place: int, person: float) -> ColourProfile:
    """One bin of 256 each; hair as bright as ``person``."""
    return ColourProfile(
        garment=np.eye(256)[garment],
        background=np.eye(256)[place],
        person=np.array([[person, 0.0, 0.0], [np.nan] * 3]),
    )


def entry(name: str, group: str | None = None, split: str | None = None) -> CatalogueEntry:
    source = SourceRow(
        sha256=name, name=name, group=group or name, num_bytes=1, fingerprint="f",
        sidecar={"split": split} if split else {},
    )  # fmt: skip
    clip = ClipRow(
        clip_id=name, source_sha256=name, status="kept", code=None, evidence={},
        record={"source": name, "source_sha256": name, "scene_start_s": 0.0, "scene_end_s": 2.0,
                "start_s": 0.0, "end_s": 2.0}, folder=f"aa/{name}",
    )  # fmt: skip
    return CatalogueEntry(clip=clip, source=source, split=split or "train", group=group or name)


def test_no_two_show_one_person_or_garment_or_place():
    profiles = {
        "a": colours(1, 1, 10), "a_again": colours(1, 1, 11), "same_shirt": colours(1, 2, 60),
        "same_room": colours(2, 1, 60), "same_person": colours(3, 3, 10.5),
        "b": colours(4, 4, 60), "c": colours(5, 5, 90),
    }  # fmt: skip
    entries = [entry(name) for name in profiles]
    held = choose_held_out(entries, profiles, [], 7, CONFIG)
    names = {one.clip_id for one in held}
    assert len(held) >= 3
    for one in names:
        for other in names - {one}:
            assert CONFIG.differ(profiles[one], profiles[other])
    assert not {"a", "a_again"} <= names
    assert all(one.target in names - {one.clip_id} for one in held)


def test_what_shows_the_same_leaves_train_and_what_does_not_stays():
    profiles = {
        "a": colours(1, 1, 10), "a_again": colours(2, 1, 11), "same_room": colours(3, 1, 60),
        "same_shirt_there": colours(1, 1, 60), "part_two": colours(9, 9, 90),
        "b": colours(4, 4, 60),
    }  # fmt: skip
    entries = [entry(name, "g" if name in {"a", "part_two"} else None) for name in profiles]
    held = [HeldOut(clip_id="a", group="g", target="b")]
    left = left_out(entries, profiles, held, CONFIG)
    assert set(left) == {"a_again", "same_shirt_there", "part_two"}
    assert left["part_two"] == {"same_group_as": "a"}
    assert left["a_again"]["shows_what_does"] == "a"
    listed = {e.clip.clip_id: e for e in hold_out(entries, held, left)}
    assert listed["a"].split == "bench"
    assert listed["a_again"].clip.code == "held_out"
    assert listed["same_room"].split == "train"


def test_what_was_chosen_stays_and_a_sidecar_is_obeyed():
    profiles = {f"{n}": colours(n, n, 10.0 * n) for n in range(1, 8)}
    entries = [entry(name) for name in sorted(profiles)[:4]]
    first = choose_held_out(entries, profiles, [], 2, CONFIG)
    more = [*entries, entry("5", split="train"), entry("6"), entry("7")]
    again = choose_held_out(more, profiles, first, 2, CONFIG)
    assert [one.clip_id for one in again] == [one.clip_id for one in first]
    grown = choose_held_out(more, profiles, first, 6, CONFIG)
    assert [one.clip_id for one in grown][:2] == [one.clip_id for one in first]
    assert "5" not in {one.clip_id for one in grown}
    assert choose_held_out(more, profiles, grown, 1, CONFIG) == grown  # never fewer


def test_a_clip_that_is_cut_otherwise_is_replaced_by_its_groups_longest():
    entries = [entry("new_cut", "g"), entry("b")]
    entries[0].clip.record["end_s"] = 9.0
    profiles = {"new_cut": colours(1, 1, 10), "b": colours(2, 2, 60)}
    before = [HeldOut(clip_id="old_cut", group="g", target=None)]
    (held,) = choose_held_out(entries, profiles, before, 1, CONFIG)
    assert (held.clip_id, held.group) == ("new_cut", "g")


def test_looks_tell_garments_places_and_people_apart_and_light_a_little(tmp_path):
    def measured(shirt, wall, hair) -> ColourProfile:
        labels = np.zeros((64, 64), np.uint8)
        labels[20:50, 12:36], labels[5:12, 18:30] = ParseLabel.UPPER, ParseLabel.HAIR
        colours = {ParseLabel.UPPER: shirt, ParseLabel.HAIR: hair}
        frame = np.full((64, 64, 3), wall, np.uint8)
        for label, colour in colours.items():
            frame[labels == label] = colour
        folder = tmp_path / f"{shirt}{wall}{hair}"
        folder.mkdir()
        (folder / "mp4").write_bytes(encode_video(np.stack([frame] * 3), 8.0))
        (folder / "parse.mp4").write_bytes(encode_labels(np.stack([labels] * 3), 8.0))
        (folder / "garment.png").write_bytes(encode_png(np.full((64, 64, 3), shirt, np.uint8)))
        (folder / "garment_mask.png").write_bytes(
            encode_png(cv2.circle(np.zeros((64, 64), np.uint8), (24, 32), 15, 255, -1))
        )
        return measure_profile(folder)

    one = measured((200, 30, 30), (90, 130, 90), (40, 30, 20))
    dimmer = measured((190, 28, 28), (85, 122, 85), (38, 28, 19))
    other = measured((30, 30, 200), (200, 190, 150), (220, 190, 120))
    assert max(apart(one.garment, dimmer.garment), apart(one.background, dimmer.background)) < 0.3
    assert people_apart(one, dimmer) < 0.1
    assert apart(one.garment, other.garment) > 0.9
    assert apart(one.background, other.background) > 0.9
    assert people_apart(one, other) > 0.9
    back = read_profile(one.pack())
    np.testing.assert_allclose(back.garment, one.garment, atol=1e-4)
    assert np.isnan(back.person[1]).all()  # no face is seen
    assert people_apart(one, ColourProfile(**{**vars(one), "person": np.full((2, 3), np.nan)})) == 0


@pytest.fixture
def output(tmp_path) -> tuple[Path, CurateConfig]:
    out = tmp_path / "dance"
    write_output(out, num_sources=5)
    return out, config_of(out, "bench=2", *ALL_DIFFER)


def publish_all(config: CurateConfig) -> None:
    with Ledger(Path(config.out) / "ledger.sqlite") as ledger:
        publish(config, ledger, Published(num_sources=1, num_decoded=1))


def splits(out: Path) -> dict[str, str]:
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    return {row["source"]: row["split"] or row["reason"] for row in rows}


def test_make_eval_reads_what_was_held_out_and_train_has_it_no_more(output, caplog):
    out, config = output
    before = {sample.key for sample in index_split(out, "train")}
    publish_all(config)
    assert "2 of the clips held out now were in train shards before" in caplog.text
    benchmark = Benchmark(out, "dance")
    assert len(benchmark.ids("paired")) == len(benchmark.ids("unpaired")) == 2
    for identity in benchmark.ids("unpaired"):
        item = benchmark.load(identity, 128, 96)
        assert item.video.shape == (12, 128, 96, 3)
        assert item.target_garment is not None
        assert (item.target_garment != item.own_garment).any()
    bench = {sample.key for sample in index_split(out, "bench")}
    assert {sample.key for sample in index_split(out, "train")} == before - bench
    assert verify.main([str(out), "quick=true"]) == 0


def test_adding_sources_moves_no_old_clip(output):
    out, config = output
    publish_all(config)
    before = splits(out)
    with Ledger(out / "ledger.sqlite") as ledger:
        for number in (7, 8):
            ledger.record(*stored_source(config, number))
    publish_all(replace(config, bench=None))
    after = splits(out)
    assert {name: after[name] for name in before} == before
    assert after["dancer 7.mp4"] == after["dancer 8.mp4"] == "train"


def test_a_copy_of_a_held_out_clip_never_comes_into_train(output):
    out, config = output
    publish_all(config)
    (held, *_) = (name for name, split in splits(out).items() if split == "bench")
    with Ledger(out / "ledger.sqlite") as ledger:
        ledger.record(*stored_source(config, 9, seed=int(held.split()[1].partition(".")[0])))
    publish_all(config)
    assert splits(out)["dancer 9.mp4"] == "near_duplicate"
    assert splits(out)[held] == "bench"


def test_a_purged_one_is_forgotten_and_the_next_takes_its_place(output, capsys):
    out, config = output
    publish_all(config)
    old = {name for name, split in splits(out).items() if split == "bench"}
    gone = min(old)
    (out / "config.yaml").write_text(
        (out / "config.yaml").read_text("utf-8").replace("bench: null", "bench: '2'"), "utf-8"
    )
    purge.main([str(out), gone])
    now = {name for name, split in splits(out).items() if split == "bench"}
    assert now >= old - {gone}
    assert gone not in now
    explain.main([str(out), min(old - {gone})])
    assert "split bench" in capsys.readouterr().out
