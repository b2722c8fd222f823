import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from configs.errors import ConfigError, DataError
from configs.loading import load_config
from datasets.labels import ParseLabel
from datasets.synthetic.clips import render_frames
from datasets.synthetic.dataset import LICENCE, SyntheticConfig, main, write_dancers
from datasets.synthetic.rejects import REJECTS, render_reject
from datasets.tracks import read_frames, read_labels

TINY = [
    "num_train=1",
    "num_val=1",
    "num_bench=1",
    "duration_s=0.5",
    "fps=8",
    "height=96",
    "width=64",
]


def _config(out: Path, *words: str) -> SyntheticConfig:
    return load_config(
        SyntheticConfig, None, [*TINY, "num_bad=0", "workers=1", *words, f"out={out}"]
    )


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dancers")
    assert write_dancers(_config(out)) == 3
    return out


def test_every_raw_video_has_a_sidecar_that_curation_reads(rendered: Path):
    for raw, split in (
        ("train/dancer_000", "train"), ("train/val_000", "val"), ("bench/raw/bench_000", "bench"),
    ):  # fmt: skip
        sidecar = json.loads((rendered / f"{raw}.json").read_text())
        assert (sidecar["licence"], sidecar["split"]) == (LICENCE, split)
        assert read_frames((rendered / f"{raw}.mp4").read_bytes()).shape == (4, 96, 64, 3)


def test_the_benchmark_knows_target_truth_and_where_the_garment_is(rendered: Path):
    raw = rendered / "bench/raw/bench_000.mp4"
    sidecar = json.loads(raw.with_suffix(".json").read_text())
    worn = read_frames(raw.read_bytes()).astype(int)
    truth = read_frames((raw.parent / sidecar["truth"]).read_bytes()).astype(int)
    mask = read_labels((raw.parent / sidecar["truth_mask"]).read_bytes())
    picture = cv2.imread(str(raw.parent / sidecar["target_garment"]))
    assert picture.shape == (96, 64, 3)
    assert worn.shape == truth.shape
    assert set(np.unique(mask)) == {0, 255}
    difference = np.abs(worn - truth).mean(axis=-1)
    assert difference[mask == 255].mean() > 5 * difference[mask == 0].mean()


def test_a_second_run_renders_nothing_and_a_lost_file_is_rendered_again(rendered: Path):
    video = rendered / "train/dancer_000.mp4"
    before = video.read_bytes()
    assert write_dancers(_config(rendered)) == 0
    video.unlink()
    assert write_dancers(_config(rendered)) == 1
    assert video.read_bytes() == before


def test_a_changed_setting_renders_anew_and_clears_what_no_longer_belongs(tmp_path: Path):
    write_dancers(_config(tmp_path, "num_train=2", "num_val=0", "num_bench=0"))
    before = (tmp_path / "train/dancer_000.mp4").read_bytes()
    assert write_dancers(_config(tmp_path, "num_val=0", "num_bench=0", "seed=1")) == 1
    assert (tmp_path / "train/dancer_000.mp4").read_bytes() != before
    assert not (tmp_path / "train/dancer_001.mp4").exists()


def test_unusable_videos_are_unusable_in_the_way_they_are_named(tmp_path: Path):
    config = _config(tmp_path, "num_train=0", "num_val=0", "num_bench=0", f"num_bad={len(REJECTS)}")
    assert write_dancers(config) == len(REJECTS)
    frames = {}
    for name in REJECTS:
        path = tmp_path / f"train/{name}.mp4"
        assert json.loads(path.with_suffix(".json").read_text())["note"]
        if name == "truncated":
            with pytest.raises(av.error.InvalidDataError), av.open(str(path)):
                pass
            continue
        frames[name] = read_frames(path.read_bytes()).astype(int)
    assert len(frames["hard_cut"]) == 2 * len(frames["two_dancers"])
    steps = np.abs(np.diff(frames["hard_cut"], axis=0)).mean(axis=(1, 2, 3))
    assert int(steps.argmax()) == len(frames["two_dancers"]) - 1


def test_a_share_of_the_training_videos_holds_a_cut_whatever_their_number(tmp_path: Path):
    config = _config(tmp_path, "num_train=2", "num_val=0", "num_bench=0", "cut_share=0.5")
    cut = [config.has_cut("train", index) for index in range(8)]
    assert cut == [False, True] * 4
    assert not any(config.has_cut("bench", index) for index in range(8))
    assert sum(_config(tmp_path, "cut_share=0.3").has_cut("train", i) for i in range(10)) == 3
    write_dancers(config)
    frames = [read_frames((tmp_path / f"train/dancer_00{i}.mp4").read_bytes()) for i in range(2)]
    assert [len(video) for video in frames] == [4, 8]
    change = np.abs(np.diff(frames[1].astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert change.argmax() == 3


def test_the_upper_framing_shows_garments_about_twice_as_large(tmp_path: Path):
    size = ("height=256", "width=192", "num_bench=0")
    areas = []
    for framing in ("whole", "upper"):
        spec = _config(tmp_path, *size, f"framing={framing}", "dancers=benchmark").clip("train", 0)
        _, parse = next(iter(render_frames(spec)))
        areas.append((parse == ParseLabel.UPPER).mean())
    assert 3 < areas[1] / areas[0] < 6


def test_rendering_needs_neither_av_nor_decord_nor_torch():
    code = (
        "import sys, datasets.synthetic.clips as s\n"
        "assert not {'av', 'decord', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_bad_settings_name_the_key_and_what_is_accepted():
    for words, expected in (
        (["num_bad=99"], "num_bad is 99; at most"),
        (["height=95"], "even numbers from 64"),
        (["duration_s=0"], "duration_s is 0"),
        (["fsp=3"], "did you mean 'fps'"),
    ):
        with pytest.raises(ConfigError, match=expected):
            load_config(SyntheticConfig, None, words)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        write_dancers(_config(tmp_path / "file"))


def test_the_demo_settings_load_and_the_command_reports(
    capsys: pytest.CaptureFixture, rendered: Path
):
    words = [*TINY, "num_bad=0", "workers=1", "dancers=demo", "framing=whole", f"out={rendered}"]
    assert main(["configs/demo/render.yaml", *words]) == 0
    assert "0 rendered, 3 already there" in capsys.readouterr().out


def test_a_close_up_of_the_demos_size_renders_every_hair():
    spec = SyntheticConfig(duration_s=0.5, fps=4.0).clip("bad", REJECTS.index("close_up"))
    content, _ = render_reject("close_up", spec)
    assert read_frames(content).shape == (2, 512, 384, 3)
