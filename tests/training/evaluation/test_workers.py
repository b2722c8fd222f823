"""One result however it is computed: processes, batches, interruptions, a second method."""

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import DataError
from datasets.benchmarks.benchmark import Benchmark
from datasets.tracks import encode_rgb_lossless
from tests.benchmark_fixtures import COLOURS, FPS, HEIGHT, IDS, WIDTH, dancer
from training.evaluate import evaluate, main
from training.evaluation.compare import paired_difference
from training.evaluation.config import EvaluationConfig
from training.evaluation.reencode import reencode_x264
from training.evaluation.scoring import Scorer
from training.evaluation.store import ContentStore
from training.evaluation.suite import MetricSuite
from training.metrics.i3d import InceptionI3d
from training.metrics.protocols import get_protocol
from training.metrics.ssim import ssim_per_frame


def write_noisy(folder: Path, strength: float) -> Path:
    """Paired results with noise, kept without loss."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, identity in enumerate(IDS):
        video = dancer(number, COLOURS[identity])[0]
        noise = np.random.default_rng(number).normal(0, strength * (1 + number), video.shape)
        noisy = np.clip(video + noise, 0, 255).astype(np.uint8)
        (folder / f"{identity}.mp4").write_bytes(encode_rgb_lossless(noisy, FPS))
    return folder


@pytest.fixture
def noisy(setting: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    write_noisy(tmp_path / "noisy", 12)
    return setting | {"pred": str(tmp_path / "noisy"), "pairings": ["paired"], "shown_videos": 0}


def numbers_of(metrics: dict[str, Any]) -> dict[str, float]:
    """Every number of every row and video, by its place."""
    found: dict[str, float] = {}
    for row in metrics["pairings"]["paired"]["rows"]:
        for key, score in row["scores"].items():
            if "value" in score:
                found[f"{row['method']} {key}"] = score["value"]
                for side, bound in enumerate(score["interval"] or ()):
                    found[f"{row['method']} {key} {side}"] = bound
        for video in row["videos"]:
            for key, value in video["values"].items():
                if value is not None:
                    found[f"{row['method']} {video['id']} {key}"] = value
    return found


@pytest.fixture
def warm_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes as ever, but forked from one fresh process that has imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.evaluation.workers"])
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)


@pytest.mark.usefixtures("warm_workers")
def test_worker_count_and_device_count_change_nothing_even_where_clips_straddle_videos(
    noisy: dict[str, Any], weights_dir: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    torch.save(InceptionI3d().state_dict(), weights_dir / "i3d.pt")
    noisy |= {"protocol": "catv2ton-frames", "baselines": False, "max_items": 3}
    alone = numbers_of(evaluate(EvaluationConfig(**noisy)))
    shared = noisy | {"out": str(tmp_path / "shared"), "devices": ["cpu", "cpu"]}
    several = evaluate(EvaluationConfig(**shared))
    assert several["pairings"]["paired"]["num_clips"] == 3
    assert alone["run vfid_i3d"] > 0
    assert numbers_of(several) == pytest.approx(alone, rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_what_a_worker_finds_wrong_is_the_same_one_sentence(noisy: dict[str, Any]) -> None:
    (Path(noisy["pred"]) / "c.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"c\.mp4 cannot be read as a video"):
        evaluate(EvaluationConfig(**noisy, workers=1))


def test_an_evaluation_that_was_stopped_goes_on_where_it_was(
    noisy: dict[str, Any], tmp_path: Path
) -> None:
    broken = Path(noisy["pred"]) / "c.mp4"
    whole = broken.read_bytes()
    broken.write_bytes(b"torn")
    with pytest.raises(DataError, match=r"c\.mp4"):
        evaluate(EvaluationConfig(**noisy))
    scores = tmp_path / "eval" / "cache" / "scores"
    before = {path.name: path.stat().st_mtime_ns for path in scores.iterdir()}
    assert len(before) == 2 * 4  # two videos of four methods
    broken.write_bytes(whole)
    evaluate(EvaluationConfig(**noisy))
    after = {path.name: path.stat().st_mtime_ns for path in scores.iterdir()}
    assert len(after) == 4 * 4
    assert after.items() >= before.items()


def test_a_second_method_computes_nothing_but_its_own(
    noisy: dict[str, Any], weights_dir: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    torch.save(InceptionI3d().state_dict(), weights_dir / "i3d.pt")
    noisy |= {"max_items": 2}
    first = evaluate(EvaluationConfig(**noisy))
    cache = tmp_path / "eval" / "cache"
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*/*")}
    write_noisy(tmp_path / "other", 5)
    again = EvaluationConfig(**(noisy | {"pred": str(tmp_path / "other"), "name": "other"}))
    second = evaluate(again)
    new = [path for path in cache.glob("*/*") if path not in before]
    assert sorted(path.parent.name for path in new) == ["features"] * 2 + ["scores"] * 2
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert second["seconds"]["network i3d"] < 0.6 * first["seconds"]["network i3d"]


def test_batch_size_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    suite = MetricSuite(
        protocol=get_protocol("fixed"), networks={"i3d": InceptionI3d()}, sha256={"i3d": "0"}
    )
    draw = np.random.default_rng(0)
    clips = [draw.integers(0, 256, (10, 32, 24, 3)).astype(np.uint8) for _ in range(3)]

    def features(size: int) -> np.ndarray:
        monkeypatch.setattr("training.evaluation.scoring.CLIPS_AT_ONCE", size)
        scorer = Scorer(suite, ContentStore(tmp_path / str(size)))
        return scorer.features(clips, "clips")["i3d"]

    alone, together = features(1), features(3)
    scale = np.abs(alone).max()
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6 * scale)


def test_catv2ton_mp4_re_encodes_both_sides_and_fixed_neither(noisy: dict[str, Any]) -> None:
    noisy |= {"max_items": 1, "baselines": False}
    source = dancer(0, COLOURS["a"])[0]
    bench = Benchmark(Path(noisy["root"]), "synthetic")
    stored = bench.load("a", HEIGHT, WIDTH).video
    np.testing.assert_array_equal(stored, source)
    noise = np.random.default_rng(0).normal(0, 12, source.shape)
    result = np.clip(source + noise, 0, 255).astype(np.uint8)
    nowhere = np.zeros(source.shape[:3], dtype=bool)
    expected = {
        "fixed": ssim_per_frame(result, source, nowhere)[0].mean(),
        "catv2ton-mp4": ssim_per_frame(reencode_x264(result), reencode_x264(source), nowhere)[
            0
        ].mean(),
    }
    assert abs(expected["fixed"] - expected["catv2ton-mp4"]) > 0.005
    for protocol, value in expected.items():
        metrics = evaluate(EvaluationConfig(**noisy, protocol=protocol, name=protocol))
        (row,) = metrics["pairings"]["paired"]["rows"]
        assert row["scores"]["ssim"]["value"] == pytest.approx(value, rel=1e-9)
        assert metrics["protocol"]["reencode"] == {"fixed": "none"}.get(protocol, "x264")


def test_items_that_preparation_rejected_are_counted_and_named(
    noisy: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {"id": "e", "source": "raw/e.mp4", "code": "mask_failed", "evidence": {}}
    content = {"schema": 1, "rejected": {"paired": [lost], "unpaired": []}}
    (Path(noisy["root"]) / "shards" / "rejected.json").write_text(json.dumps(content))
    words = [f"{key}={value}" for key, value in (noisy | {"pairings": "[paired]"}).items()]
    main(["configs/eval/synthetic.yaml", *words, "height=null", "width=null", "max_items=1"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 item is missing from this benchmark, so from every mean: e (mask_failed)" in printed
    metrics = json.loads((Path(noisy["out"]) / "synthetic-run" / "metrics.json").read_text())
    assert metrics["pairings"]["paired"]["missing"] == [
        {"id": "e", "source": "raw/e.mp4", "reason": "mask_failed"}
    ]
    assert metrics["pairings"]["paired"]["conditions_made_by"] == [
        {"models": "not stated by the samples", "num_items": 1}
    ]


def test_a_paired_difference_decides_where_the_means_overlap(
    noisy: dict[str, Any], tmp_path: Path
) -> None:
    noisy |= {"baselines": False}
    first = evaluate(EvaluationConfig(**noisy))
    shutil.rmtree(tmp_path / "noisy")
    write_noisy(tmp_path / "noisy", 10)
    second = evaluate(EvaluationConfig(**(noisy | {"name": "better"})))
    rows = [metrics["pairings"]["paired"]["rows"][0] for metrics in (first, second)]
    ssim = next(metric for metric in first["metrics"] if metric["key"] == "ssim")
    found = paired_difference(ssim, *rows)
    assert found is not None
    assert found.num_videos == 4
    means = [row["scores"]["ssim"] for row in rows]
    assert found.mean == pytest.approx(means[1]["value"] - means[0]["value"])
    assert means[0]["interval"][1] > means[1]["interval"][0]  # the intervals of the means overlap
    assert found.interval is not None
    assert found.interval[0] > 0
    assert found.better == 1
    back = paired_difference(ssim, rows[1], rows[0])
    assert back is not None
    assert back.better == 0
    kvd = next(metric for metric in first["metrics"] if metric["key"] == "kvd")
    assert paired_difference(kvd, *rows) is None
