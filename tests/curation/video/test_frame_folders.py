"""A folder of numbered frames is a video like any other."""

import json

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError, DataError
from configs.loading import load_config
from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.ledger import Ledger
from curation.settings import CurateConfig
from curation.video.decode import decode, read_header
from curation.video.frame_folders import frames_in, frames_rate
from curation.video.sources import SourcesConfig, find_sources, sha256_of
from datasets.video.reader import ReadNotes, UnreadableVideoError


def write_frames(folder, frames, pattern="{:04d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / pattern.format(index)), frame[..., ::-1])
    return folder


def test_frames_are_read_in_order_of_their_numbers_at_the_rate_of_the_sidecar(tmp_path, moving):
    frames = moving(1, 12)
    folder = write_frames(tmp_path / "00001" / "images", frames, "frame-{}.png")
    (tmp_path / "00001" / "images.json").write_text(json.dumps({"fps": 24}))
    header = read_header(folder)
    assert (header.height, header.width, header.duration_s) == (180, 320, 0.5)
    read = list(decode(folder, ReadNotes()))
    assert [round(time_s * 24) for time_s, _ in read] == list(range(12))
    for (_, frame), wanted in zip(read, frames, strict=True):
        np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), wanted)
    assert len(list(decode(folder, ReadNotes(), 0.25))) == 6


def test_a_broken_picture_is_a_fault_and_the_others_are_read(tmp_path, moving):
    folder = write_frames(tmp_path / "images", moving(1, 12))
    (folder / "0005.png").write_bytes(b"no picture")
    faults = ReadNotes()
    assert len(list(decode(folder, faults))) == 11
    assert faults.times_s == [pytest.approx(4 / 30)]
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UnreadableVideoError, match="none of its pictures"):
        read_header(folder)


def test_the_first_pass_measures_a_folder_like_a_file(tmp_path, moving):
    folder = write_frames(tmp_path / "images", moving(1, 20))
    signals, store = measure_source(folder, FirstPassConfig(), 1.0)
    store.close()
    assert signals.num_frames == 20
    assert signals.size_at(0.0) == (180, 320)
    assert signals.motion[1:].min() > 1


def test_few_or_unnumbered_pictures_are_no_video(tmp_path, moving):
    few = write_frames(tmp_path / "few", moving(1, 7))
    named = write_frames(tmp_path / "named", moving(1, 9), "cover{:02d}.png")
    (named / "logo.png").write_bytes((named / "cover01.png").read_bytes())
    assert frames_in(few) == []
    assert frames_in(named) == []
    assert frames_rate(few) == 30.0
    (tmp_path / "few.json").write_text('{"fps": "fast"}')
    with pytest.raises(DataError, match=r"fps is 'fast'; must be a number"):
        frames_rate(few)


def test_one_folder_is_one_source_and_known_again_without_reading(tmp_path, moving):
    root = tmp_path / "TikTok_dataset"
    for number in (1, 336):
        for kind in ("images", "masks"):
            write_frames(root / f"{number:05d}" / kind, moving(number, 9))
    config = load_config(CurateConfig, "configs/sources/tiktok.yaml").sources
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        first, second = find_sources(root, ledger.hash_of, config=config)
        assert [first.name, second.name] == ["00001/images", "00336/images"]
        assert [first.sidecar.split, second.sidecar.split] == ["train", "bench"]
        assert "research only" in str(first.sidecar.licence)
        assert first.sha256 == sha256_of(first.path)
        (root / "00001" / "images.json").write_text('{"fps": 25}')
        assert find_sources(root, ledger.hash_of, config=config)[0].sha256 != first.sha256


def test_presets_keep_the_splits_of_their_data_sets(tmp_path):
    for name in ("train/a.mp4", "test/b.mp4", "notes/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    config = load_config(CurateConfig, "configs/sources/ubc_fashion.yaml").sources
    found = find_sources(tmp_path, sha256_of, config=config)
    assert {source.name: source.sidecar.split for source in found} == {
        "test/b.mp4": "bench",
        "train/a.mp4": "train",
    }
    with pytest.raises(DataError, match=r"no video that sources\.include accepts"):
        find_sources(tmp_path, sha256_of, config=SourcesConfig(include=["*.mov"]))
    with pytest.raises(ConfigError, match="'test' is 'hidden'; accepted: train, val, bench"):
        SourcesConfig(splits={"test": "hidden"})
    with pytest.raises(ConfigError, match="layout is 'zip'"):
        SourcesConfig(layout="zip")
