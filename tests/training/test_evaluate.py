"""The evaluation of a folder of results, from shards to metrics.json and report.html."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from configs.errors import ConfigError, DataError
from configs.loading import load_config, to_plain
from datasets.benchmarks.benchmark import Benchmark
from datasets.tracks import encode_rgb_lossless, encode_video
from inference.sampling.sampler_choice import SamplerChoice
from models.codecs.vae import CodecConfig
from models.stdit import STDiTConfig
from models.system import SystemConfig, build_system
from models.text import CaptionConfig
from models.viton_dit import VitonDiTConfig
from tests.benchmark_fixtures import (
    COLOURS,
    FPS,
    FRAMES,
    HEIGHT,
    IDS,
    WIDTH,
    dancer,
    write_bench,
    write_vvt,
)
from training.evaluate import evaluate, main
from training.evaluation.baselines import BASELINES
from training.evaluation.compare import comparison
from training.evaluation.config import EvaluationConfig
from training.evaluation.metrics_file import read_metrics
from training.evaluation.predictions import CheckpointConfig, CheckpointResults
from training.metrics.catalogue import METRICS
from training.metrics.i3d import InceptionI3d


def row_of(metrics: dict[str, Any], pairing: str, method: str) -> dict[str, Any]:
    return next(r for r in metrics["pairings"][pairing]["rows"] if r["method"] == method)


def test_perfect_results_score_perfectly_and_beat_every_baseline(setting: dict[str, Any]) -> None:
    metrics = evaluate(EvaluationConfig(**setting, max_items=2))
    for pairing in ("paired", "unpaired"):
        scores = row_of(metrics, pairing, "run")["scores"]
        assert scores["ssim"]["value"] == pytest.approx(1, abs=1e-9)
        assert scores["ssim_masked"]["value"] == pytest.approx(1, abs=1e-9)
        assert scores["colour_delta_e"]["value"] == 0
        agnostic = row_of(metrics, pairing, "agnostic")["scores"]
        assert agnostic["ssim"]["value"] < 0.95
        assert agnostic["ssim_masked"]["value"] < agnostic["ssim"]["value"]
    source = row_of(metrics, "unpaired", "source copied")["scores"]
    assert source["colour_delta_e"]["value"] > 20
    pasted = row_of(metrics, "unpaired", "mean garment colour")["scores"]
    assert pasted["colour_delta_e"]["value"] < 2
    assert row_of(metrics, "paired", "source copied")["scores"]["ssim"]["value"] == pytest.approx(1)


def test_metrics_json_states_what_the_numbers_mean(setting: dict[str, Any]) -> None:
    evaluate(EvaluationConfig(**setting, name="perfect"))
    folder = Path(setting["out"]) / "synthetic-perfect"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["protocol"]["name"] == "fixed"
    assert metrics["protocol"]["lpips_net"] == "alex"
    assert metrics["resolution"] == {"height": HEIGHT, "width": WIDTH}
    assert metrics["versions"]["torchmetrics"]
    assert metrics["versions"]["cv2"] == cv2.__version__  # whichever of its wheels is installed
    assert "weights absent" in metrics["weights"]["i3d"]["absent"]
    paired = metrics["pairings"]["paired"]
    assert (paired["num_videos"], paired["num_frames"], paired["num_clips"]) == (4, 48, 4)
    assert "known to this benchmark" in metrics["pairings"]["unpaired"]["truth"]
    row = row_of(metrics, "paired", "perfect")
    assert [video["id"] for video in row["videos"]] == IDS
    assert row["scores"]["ssim"]["interval"] == pytest.approx([1, 1], abs=1e-9)
    assert "i3d.pt" in row["scores"]["vfid_i3d"]["gap"]
    report = (folder / "report.html").read_text()
    for shown in ("mean garment colour", "weights absent", "Worst, unpaired"):
        assert shown in report
    assert "KeyTailor" not in report  # published numbers stand beside VVT's alone


def test_a_missing_result_is_an_error_that_names_its_id(setting: dict[str, Any]) -> None:
    (Path(setting["pred"]) / "unpaired" / "c.mp4").unlink()
    with pytest.raises(DataError, match=r"no result for 'c'"):
        evaluate(EvaluationConfig(**setting))
    assert not (Path(setting["out"]) / "synthetic-run").exists()


def test_results_of_another_size_or_length_are_refused(setting: dict[str, Any]) -> None:
    path = Path(setting["pred"]) / "paired" / "a.mp4"
    video = dancer(0, COLOURS["a"])[0]
    path.write_bytes(encode_rgb_lossless(video[:-1], FPS))
    with pytest.raises(DataError, match="'a' has 11 frames; the benchmark's video has 12"):
        evaluate(EvaluationConfig(**setting))
    path.write_bytes(encode_rgb_lossless(video.repeat(2, axis=1).repeat(2, axis=2), FPS))
    with pytest.raises(DataError, match="give height=192 width=128"):
        evaluate(EvaluationConfig(**setting))


def test_a_flat_folder_of_lossy_files_is_scored_as_paired_results(setting: dict[str, Any]) -> None:
    flat = Path(setting["pred"]).with_name("flat")
    flat.mkdir()
    for number, identity in enumerate(IDS):
        noise = np.random.default_rng(number).normal(0, 25, (FRAMES, HEIGHT, WIDTH, 3))
        noisy = np.clip(dancer(number, COLOURS[identity])[0] + noise, 0, 255).astype(np.uint8)
        (flat / f"{identity}.mp4").write_bytes(encode_video(noisy, FPS))
    metrics = evaluate(EvaluationConfig(**(setting | {"pred": str(flat), "baselines": False})))
    assert list(metrics["pairings"]) == ["paired"]
    score = row_of(metrics, "paired", "run")["scores"]["ssim"]
    assert score["value"] < 0.97
    assert score["interval"][0] <= score["value"] <= score["interval"][1]


def test_unpaired_without_truth_has_no_ssim_and_says_so(
    setting: dict[str, Any], tmp_path: Path
) -> None:
    root = write_bench(tmp_path / "filmed", has_truth=False)
    metrics = evaluate(
        EvaluationConfig(**(setting | {"root": str(root), "pairings": ["unpaired"]}), max_items=2)
    )
    scores = row_of(metrics, "unpaired", "run")["scores"]
    assert "no ground truth" in scores["ssim"]["gap"]
    assert scores["colour_delta_e"]["value"] < 2
    assert row_of(metrics, "unpaired", "source copied")["scores"]["colour_delta_e"]["value"] > 20


def test_a_video_that_was_scored_is_not_scored_again(setting: dict[str, Any]) -> None:
    setting |= {"max_items": 2}
    first = evaluate(EvaluationConfig(**setting, name="first"))
    cached = sorted((Path(setting["out"]) / "cache" / "scores").iterdir())
    times = [path.stat().st_mtime_ns for path in cached]
    second = evaluate(EvaluationConfig(**setting, name="second"))
    again = sorted((Path(setting["out"]) / "cache" / "scores").iterdir())
    assert again == cached
    assert [path.stat().st_mtime_ns for path in again] == times
    for pairing in ("paired", "unpaired"):
        one, two = (row_of(m, pairing, m["name"])["scores"] for m in (first, second))
        assert one == two


def test_identical_folders_have_no_frechet_distance(
    setting: dict[str, Any], weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"source copied": BASELINES["source copied"]}  # of all, I3D would take most of the time
    monkeypatch.setattr("training.evaluation.workers.BASELINES", one)
    torch.manual_seed(0)
    torch.save(InceptionI3d().state_dict(), weights_dir / "i3d.pt")
    metrics = evaluate(EvaluationConfig(**(setting | {"pairings": ["unpaired"], "max_items": 2})))
    perfect = row_of(metrics, "unpaired", "run")["scores"]
    source = row_of(metrics, "unpaired", "source copied")["scores"]
    assert perfect["vfid_i3d"]["num_clips"] == 2
    assert source["vfid_i3d"]["value"] > 0
    assert abs(perfect["vfid_i3d"]["value"]) < 1e-6 * source["vfid_i3d"]["value"]
    assert source["vfid_i3d"]["interval"] is None  # two videos: nothing to leave out
    assert "value" in perfect["kvd"]
    assert "gap" in perfect["vfid_resnext"]
    assert len(metrics["weights"]["i3d"]["sha256"]) == 64


def test_the_report_on_vvt_stands_beside_the_published_numbers(
    setting: dict[str, Any], tmp_path: Path
) -> None:
    setting |= {"bench": "vvt", "pairings": ["paired"], "max_items": 2, "baselines": False}
    evaluate(EvaluationConfig(**setting))
    report = (tmp_path / "eval" / "vvt-run" / "report.html").read_text()
    rows = {row.split("</td>")[0].split(">")[-1]: row for row in report.split("<tr>")}
    cells = rows["ClothFormer"].split("<td")
    assert "5.048" in cells[5]
    assert cells[6] == "></td>"
    cells = rows["VITON-DiT"].split("<td")
    assert cells[5] == "></td>"
    assert "0.187" in cells[6]


def test_a_vvt_folder_gives_paired_and_unpaired_tables_of_anybodys_results(
    tmp_path: Path, weights_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    torch.save(InceptionI3d().state_dict(), weights_dir / "i3d.pt")
    root = write_vvt(tmp_path / "vvt")
    results = tmp_path / "theirs"
    for name in ("paired/a", "paired/b", "unpaired/a_b", "unpaired/b_a"):
        person, garment = Path(name).name[0], Path(name).name[-1]
        video = dancer(IDS.index(person), COLOURS[garment])[0]
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / f"{name}.mp4").write_bytes(encode_rgb_lossless(video, FPS))
    words = [f"root={root}", f"pred={results}", f"out={tmp_path / 'eval'}", "name=theirs"]
    main(["configs/eval/vvt.yaml", *words, "height=null", "width=null", "baselines=false"])
    printed = capsys.readouterr().out
    assert "vvt, paired: 2 videos" in printed
    assert "vvt, unpaired: 2 videos" in printed
    metrics = read_metrics(tmp_path / "eval" / "vvt-theirs")
    paired = row_of(metrics, "paired", "theirs")["scores"]
    assert paired["ssim"]["value"] == pytest.approx(1, abs=1e-9)
    unpaired = row_of(metrics, "unpaired", "theirs")["scores"]
    assert "no ground truth" in unpaired["ssim"]["gap"]
    assert unpaired["colour_delta_e"]["value"] < 2
    assert unpaired["vfid_i3d"]["num_clips"] == 2
    assert unpaired["vfid_i3d"]["value"] > 1e3 * abs(paired["vfid_i3d"]["value"])
    assert metrics["pairings"]["unpaired"]["conditions_made_by"] == [
        {"models": {"densepose": {"name": "made by a test"}}, "num_items": 2}
    ]
    report = (tmp_path / "eval" / "vvt-theirs" / "report.html").read_text()
    assert "VITON-DiT" in report

    (results / "unpaired" / "b_a.mp4").unlink()
    with pytest.raises(DataError, match="'b_a'"):
        main(["configs/eval/vvt.yaml", *words, "height=null", "width=null"])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A training checkpoint of a tiny system with random weights."""
    torch.manual_seed(0)
    trunk = STDiTConfig(
        in_channels=4, out_channels=8, dim=32, depth=2, num_heads=4, caption_dim=16,
        caption_length=3,
    )  # fmt: skip
    config = SystemConfig(
        network=VitonDiTConfig(trunk=trunk),
        codec=CodecConfig(kind="dct", latent_channels=4),
        caption=CaptionConfig(),
        height=32,
        width=32,
        num_frames=4,
        fps=FPS,
    )
    state = {f"network.{k}": v for k, v in build_system(config).network.state_dict().items()}
    content = {"state_dict": state, "system": to_plain(config), "ema": None, "global_step": 3}
    torch.save(content, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_checkpoints_results_are_kept_without_loss_and_painted_once(
    setting: dict[str, Any], checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setting |= {"pred": None, "checkpoint": str(checkpoint), "max_items": 2, "baselines": False}
    painting = CheckpointConfig(sampler=SamplerChoice(num_steps=1), device="cpu")
    first = evaluate(EvaluationConfig(**setting, painting=painting))
    folder = Path(setting["out"]) / "synthetic-run" / "predictions"
    kept = sorted(folder.glob("*/*.mp4"))
    assert [f"{path.parent.name}/{path.stem}" for path in kept] == [
        "paired/a", "paired/b", "unpaired/a", "unpaired/b",
    ]  # fmt: skip
    times = [path.stat().st_mtime_ns for path in kept]
    second = evaluate(EvaluationConfig(**setting, painting=painting))
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert first["pairings"] == second["pairings"]
    assert len(first["made_by"]["sha256"]) == 64
    assert first["made_by"]["painting"]["sampler"]["num_steps"] == 1

    scored = evaluate(EvaluationConfig(**(setting | {"pred": str(folder), "name": "given"})))
    assert row_of(scored, "paired", "given")["scores"] == row_of(first, "paired", "run")["scores"]

    evaluate(EvaluationConfig(**setting, painting=replace(painting, seed=7)))
    assert "generating them again" in caplog.text
    assert [path.stat().st_mtime_ns for path in kept] != times


def test_a_runs_folder_paints_with_its_last_checkpoint_and_knows_its_seams(
    setting: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.move(checkpoint, run / "checkpoints" / "last.ckpt")
    painting = CheckpointConfig(sampler=SamplerChoice(num_steps=1), device="cpu")
    results = CheckpointResults(run, painting, tmp_path / "painted")
    item = Benchmark(Path(setting["root"]), "synthetic").load("a", HEIGHT, WIDTH)
    assert results.start()["checkpoint"] == str(run / "checkpoints" / "last.ckpt")
    painted = results.paint(item, "paired")
    assert painted.segment_borders  # 12 frames in windows of 4
    assert all(0 < border < FRAMES for border in painted.segment_borders)
    again = CheckpointResults(run, painting, tmp_path / "painted").paint(item, "paired")
    np.testing.assert_array_equal(again.frames, painted.frames)
    assert again.segment_borders == painted.segment_borders
    with pytest.raises(ConfigError, match=r"is a folder without checkpoints/last\.ckpt"):
        CheckpointResults(tmp_path / "painted", painting, tmp_path / "nothing")


def test_evaluations_of_different_protocols_do_not_compare(setting: dict[str, Any]) -> None:
    setting |= {"pairings": ["paired"], "shown_videos": 0, "max_items": 2, "baselines": False}
    evaluate(EvaluationConfig(**setting, name="one"))
    evaluate(EvaluationConfig(**setting, name="two"))
    evaluate(EvaluationConfig(**setting, name="public", protocol="catv2ton-mp4"))
    out = Path(setting["out"])
    one, two, public = (read_metrics(out / f"synthetic-{n}") for n in ("one", "two", "public"))
    assert [table.row_count for table in comparison(one, two)] == [len(METRICS)]
    with pytest.raises(ConfigError, match=r"clip_colour_order: 'rgb' and 'bgr'"):
        comparison(one, public)


def test_nothing_to_score_and_a_checkpoint_that_is_not_there_are_said(
    setting: dict[str, Any],
) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint=FILE or pred=FOLDER"):
        evaluate(EvaluationConfig(**(setting | {"pred": None})))
    with pytest.raises(ConfigError, match=r"checkpoint nowhere\.ckpt does not exist"):
        evaluate(EvaluationConfig(**(setting | {"pred": None, "checkpoint": "nowhere.ckpt"})))


@pytest.mark.parametrize("name", ["synthetic", "vvt", "vivid_s", "dance"])
def test_every_benchmark_file_loads_and_its_root_follows_data_root(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", "/elsewhere")
    config = load_config(EvaluationConfig, f"configs/eval/{name}.yaml", ["name=x"])
    assert config.bench == name
    assert config.root.startswith("/elsewhere/")
    assert str(config.folder) == f"runs/eval/{name}-x"


def test_wrong_settings_are_refused_before_any_work() -> None:
    for words, message in (
        (["protocol=fvd"], "known: fixed"),
        (["pairings=[both]"], "accepted: paired, unpaired"),
        (["height=100", "width=null"], "set both height and width"),
        (["painting.sampler.solver=euler"], "dpm"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(EvaluationConfig, "configs/eval/synthetic.yaml", words)


def test_the_command_prints_the_tables_and_where_the_report_lies(
    setting: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "pred" / "unpaired")
    words = [f"{key}={value}" for key, value in setting.items()]
    main(["configs/eval/synthetic.yaml", *words, "height=null", "width=null", "max_items=2"])
    printed = capsys.readouterr().out
    assert "synthetic, paired: 2 videos" in printed
    assert {"source", "copied", "agnostic", "pasted"} <= set(printed.split())  # headers wrap
    assert "weights absent" in printed
    assert "report.html" in printed
