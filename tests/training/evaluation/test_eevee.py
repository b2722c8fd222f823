"""A folder of Eevee's layout, from its lists and videos to metrics.json and report.html."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from configs.errors import DataError
from curation import run
from curation.benchmark import FramesJob, prepare_video
from curation.pipeline import SourceResult
from curation.settings import CurateConfig
from datasets.benchmarks.benchmark import Benchmark
from datasets.benchmarks.vivid import clip_frames
from datasets.tracks import encode_rgb_lossless
from tests.curation.hostile import colour_of, colour_perception, dance
from training.evaluate import evaluate, main
from training.evaluation.baselines import BASELINES
from training.evaluation.config import EvaluationConfig
from training.metrics.dinov2 import DinoConfig, DinoVisionTransformer

FRAMES, HEIGHT, WIDTH, FPS = 5, 160, 96, 10.0
COLOURS = ((20, 190, 60), (60, 200, 90))
PLACES = {"upper_bdoy/00000": 0, "upper_bdoy/00001": 1, "lower_body/00003": 0, "dresses/00030": 1}


def garment(colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (h, w, 4), BGR and alpha: a square of cloth."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    picture[30:90, 20:76] = (*colour[::-1], 255)
    return picture


def write_eevee(root: Path) -> Path:
    """Two drawn figures in Eevee's layout; the close-up is the middle of the full shot."""
    for place, index in PLACES.items():
        folder = root / place
        folder.mkdir(parents=True)
        for name in ("garment.png", "garment_detail.png", "person.png"):
            cv2.imwrite(str(folder / name), garment(COLOURS[index]))
        frames = np.stack(dance(FRAMES, seed=index, height=HEIGHT, width=WIDTH))
        tops = [np.where(colour_of(frame) == 2, np.uint8(255), np.uint8(0)) for frame in frames]
        worn = np.stack([cv2.dilate(top, np.ones((5, 5))) for top in tops])
        for shot, (top, bottom) in enumerate(((0, HEIGHT), (16, 112))):
            masks = np.repeat(worn[:, top:bottom, :, None], 3, axis=-1)
            for what, video in (("", frames[:, top:bottom]), ("_mask", masks)):
                path = folder / f"video_{shot}{what}.mp4"
                path.write_bytes(encode_rgb_lossless(np.ascontiguousarray(video, np.uint8), FPS))
    (root / "dresses_test.csv").write_text("Person,Garment\n00030,00030\n")
    (root / "lower_test.csv").write_text("Person\n00003\n")
    (root / "upper_test.csv").write_text("Person,Garment\n00000,00001\n00001,00000\n")
    return root


def prepared_here(
    jobs: Sequence[FramesJob], _build: object, _first: object, config: CurateConfig
) -> Iterator[tuple[FramesJob, SourceResult]]:
    """In this process, with models that know the figures by their colours."""
    for job in jobs:
        yield job, prepare_video(config, colour_perception(), job, lambda _: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, prepared."""
    root = write_eevee(tmp_path_factory.mktemp("eevee"))
    with pytest.raises(
        DataError, match=r"Eevee folder of 8 videos.*has no DensePose yet.*BENCH=eevee"
    ):
        Benchmark(root, "eevee")
    words = ["configs/curate.yaml", "bench=eevee", f"bench_root={root}", "workers=1"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("curation.benchmark.NUM_FRAMES", FRAMES)
        patched.setattr("curation.benchmark.choose_perception", lambda _: colour_perception())
        patched.setattr("curation.run._executed", prepared_here)
        assert run.main(words) == 0
    return root


def test_masks_are_the_benchmarks_own_and_frames_those_of_its_videos(root: Path) -> None:
    bench = Benchmark(root, "eevee")
    assert bench.ids("unpaired") == [
        "upper_body-00000-video_0_00001", "upper_body-00000-video_1_00001",
        "upper_body-00001-video_0_00000", "upper_body-00001-video_1_00000",
    ]  # fmt: skip
    assert len(bench.ids("paired")) == 8
    item = bench.load("upper_body-00000-video_0", HEIGHT, WIDTH)
    folder = root / "upper_bdoy" / "00000"
    np.testing.assert_array_equal(item.video, clip_frames(folder / "video_0.mp4", 0, FRAMES))
    given = clip_frames(folder / "video_0_mask.mp4", 0, FRAMES)[..., 1]
    np.testing.assert_array_equal(item.mask, np.where(given > 127, 255, 0))
    assert item.iuv[..., 0].any()
    assert bench.record(item.id)["backends"]["mask"]["name"] == "the benchmark's own"
    trousers = bench.record("lower_body-00003-video_1")
    assert (trousers["category"], trousers["frame_range"]) == ("lower", [0, FRAMES])


def test_a_subset_is_scored_alone_and_an_unknown_one_is_refused(root: Path) -> None:
    close_ups = Benchmark(root, "eevee", "video_1")
    assert all(name.endswith("video_1") for name in close_ups.ids("paired"))
    assert len(close_ups.ids("paired")) == 4
    assert Benchmark(root, "eevee", "dresses").ids("unpaired") == []
    with pytest.raises(DataError, match=r"'video_2'.*several share are 00000, .*video_0, video_1"):
        Benchmark(root, "eevee", "video_2")


def test_a_folder_of_the_layout_is_scored_end_to_end(
    root: Path,
    tmp_path: Path,
    weights_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = {"source copied": BASELINES["source copied"]}  # the others take most of the time
    monkeypatch.setattr("training.evaluation.workers.BASELINES", one)
    torch.manual_seed(0)
    tiny = DinoConfig(dim=32, depth=2, num_heads=4, grid=4)
    monkeypatch.setattr(
        "training.weights.metric_networks.DinoVisionTransformer",
        lambda: DinoVisionTransformer(tiny),
    )
    network = DinoVisionTransformer(tiny)
    torch.nn.init.normal_(network.pos_embed)
    torch.save(network.state_dict(), weights_dir / "dinov2_vitb14_pretrain.pth")
    bench = Benchmark(root, "eevee", "video_0")
    results = tmp_path / "theirs"
    for pairing in ("paired", "unpaired"):
        (results / pairing).mkdir(parents=True)
        for name in bench.ids(pairing):
            frames = bench.load(name, HEIGHT, WIDTH).video.copy()
            if pairing == "paired":
                frames[2] = 255 - frames[2]  # one bad frame
            path = results / pairing / f"{name}.mp4"
            path.write_bytes(encode_rgb_lossless(frames, FPS))
    words = [f"root={root}", f"pred={results}", f"out={tmp_path}", "name=theirs", "shown_videos=1"]
    main(["configs/eval/eevee.yaml", *words, f"height={HEIGHT}", f"width={WIDTH}"])
    printed = capsys.readouterr().out
    assert "eevee, paired: 4 videos" in printed
    assert "eevee, unpaired: 2 videos" in printed
    folder = tmp_path / "eevee-video_0-theirs"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["subset"] == "video_0"
    paired = scores_of(metrics, "paired")
    mean, lowest = paired["garment_likeness"], paired["garment_likeness_lowest"]
    assert lowest["value"] < mean["value"] < 1
    source = scores_of(metrics, "paired", "source copied")
    assert mean["value"] < source["garment_likeness"]["value"]
    assert "no ground truth" in scores_of(metrics, "unpaired")["ssim"]["gap"]
    assert "value" in scores_of(metrics, "unpaired")["garment_likeness_lowest"]
    report = (folder / "report.html").read_text()
    assert "garment likeness, lowest\u00a0frame" in report or "garment likeness, lowest" in report
    assert "subset video_0" in report

    (weights_dir / "dinov2_vitb14_pretrain.pth").unlink()
    (weights_dir / "SHA256.json").unlink()
    settings: dict[str, Any] = {
        "bench": "eevee",
        "root": str(root),
        "out": str(tmp_path),
        "pred": str(results),
    }
    again = evaluate(
        EvaluationConfig(
            **settings, subset="video_0", name="bare", pairings=["paired"], max_items=1,
            height=HEIGHT, width=WIDTH, baselines=False, shown_videos=0,
        )
    )  # fmt: skip
    assert "FETCH=dinov2" in scores_of(again, "paired")["garment_likeness"]["gap"]


def scores_of(metrics: dict[str, Any], pairing: str, method: str = "") -> dict[str, Any]:
    rows = metrics["pairings"][pairing]["rows"]
    return next(row for row in rows if row["method"] in (method or metrics["name"],))["scores"]
