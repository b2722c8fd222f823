"""A checkpoint judged as the command does it: videos in, painted, compared, one JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tryon_fixtures import (
    build_tiny,
    colour_perception,
    draw,
    is_shirt,
    write_checkpoint,
    write_garment,
    write_video,
)

from configs.command import run_command
from datasets.tracks import encode_labels, encode_rgb_lossless
from training.experiments import judge
from training.experiments.pattern_classifier import PatternClassifier, TrainedClassifier

FRAMES, BLUE = 6, (40, 80, 200)
MODULE = "training.experiments.judge"


def write_bench(folder: Path, names=("bench_000", "bench_001")) -> None:
    """As ``datasets.synthetic`` lays it out: a dancer in red, who in truth wears blue."""
    for part in ("raw", "truth", "truth_masks", "garments"):
        (folder / part).mkdir(parents=True)
    frames = np.stack([draw(index, 120, 160) for index in range(FRAMES)])
    shirt = np.stack([is_shirt(frame) for frame in frames])
    truth = np.where(shirt[..., None], np.uint8(BLUE), frames)
    for name in names:
        write_video(folder / f"raw/{name}.mp4", people=[True] * FRAMES)
        (folder / f"truth/{name}.mp4").write_bytes(encode_rgb_lossless(truth, 10))
        masks = encode_labels(list(np.uint8(255) * shirt), 10)
        (folder / f"truth_masks/{name}.mp4").write_bytes(masks)
        write_garment(folder / f"garments/{name}.png")
        sidecar = {
            "truth": f"../truth/{name}.mp4", "truth_mask": f"../truth_masks/{name}.mp4",
            "target_garment": f"../garments/{name}.png", "target": {"pattern": "plain"},
            "fps": 10.0, "hidden": [0.0, 0.2, *[0.0] * (FRAMES - 2)],
        }  # fmt: skip
        (folder / f"raw/{name}.json").write_text(json.dumps(sidecar))


@pytest.fixture
def words(tmp_path, monkeypatch) -> list[str]:
    """The command's, with perception by colour and a classifier that has learned nothing."""
    torch.manual_seed(0)
    untrained = TrainedClassifier(
        network=PatternClassifier(8).eval(), accuracy={"by_clip": 0.2, "test_clips": 5}
    )
    monkeypatch.setattr(f"{MODULE}.train_classifier", lambda _: untrained)
    monkeypatch.setattr("inference.tryon.choose_perception", lambda _: colour_perception())
    monkeypatch.setattr("inference.conditions.stored._WORK_HEIGHT", 96)
    write_bench(tmp_path / "bench")
    write_checkpoint(tmp_path / "last.ckpt", build_tiny())
    return [
        f"checkpoint={tmp_path / 'last.ckpt'}", f"bench={tmp_path / 'bench'}",
        f"out={tmp_path / 'judged.json'}", f"work={tmp_path / 'work'}", "device=cpu",
        "sampler.solver=ddim", "sampler.num_steps=2",
    ]  # fmt: skip


def test_a_checkpoint_is_judged_beside_the_truth_and_what_needs_no_network(words, tmp_path, capsys):
    judge.main(words)
    found = json.loads((tmp_path / "judged.json").read_text())
    rows = found["methods"]
    assert list(rows) == list(judge.METHODS)
    assert [score["clip"] for score in rows["painted"]["scores"]] == ["bench_000", "bench_001"]
    assert rows["truth"]["delta_e"]["mean"] == 0
    assert rows["truth"]["ssim"]["mean"] == pytest.approx(1)
    assert rows["truth"]["occluded_delta_e"]["mean"] == 0
    assert rows["agnostic"]["occluded_delta_e"]["mean"] > 12
    assert rows["mean colour"]["delta_e"]["mean"] < 3
    assert rows["agnostic"]["delta_e"]["mean"] > 12
    assert 0.1 < rows["mean colour"]["ssim"]["mean"] < 1
    assert 0 < rows["painted"]["ssim"]["mean"] < rows["mean colour"]["ssim"]["mean"]
    assert found["ssim_above"]["mean colour"] is False
    assert found["checkpoint"]["step"] == 7
    assert found["command"].startswith("python -m training.experiments.judge checkpoint=")
    shown = capsys.readouterr().out
    assert "truth        delta_e 0.00 [0.00, 0.00]" in shown
    assert "painted's masked SSIM is not clearly above that of mean colour" in shown
    means = [rows[method]["ssim"]["mean"] for method in ("painted", "mean colour")]
    same = next(line for line in shown.splitlines() if "against *mean colour*" in line)
    assert f"masked SSIM {means[0] - means[1]:+.3f} [" in same


def test_what_was_painted_is_kept_for_the_same_settings_alone(words, tmp_path, monkeypatch):
    judge.main([*words, "max_clips=1"])
    first = json.loads((tmp_path / "judged.json").read_text())["methods"]["painted"]
    painted = []
    call = judge.TryOnPipeline.__call__

    def counted(self, *given, **named):
        painted.append(named["seed"])
        return call(self, *given, **named)

    monkeypatch.setattr(judge.TryOnPipeline, "__call__", counted)
    judge.main([*words, "max_clips=1"])
    assert painted == []
    assert json.loads((tmp_path / "judged.json").read_text())["methods"]["painted"] == first
    judge.main([*words, "max_clips=1", "seed=1"])
    assert painted == [1]
    assert len(list((tmp_path / "work/painted").glob("bench_000-*.mp4"))) == 2


def test_benchmarks_that_call_their_clips_alike_keep_their_conditions_apart(words, tmp_path):
    write_bench(tmp_path / "other", names=("bench_000",))
    for bench in ("bench", "other"):
        judge.main([*words, "max_clips=1", f"bench={tmp_path / bench}"])
    assert len(list((tmp_path / "work/conditions").glob("bench_000-*"))) == 2


def test_videos_of_an_earlier_renderer_are_refused(words, tmp_path, capsys):
    sidecar = tmp_path / "bench/raw/bench_000.json"
    earlier = {k: v for k, v in json.loads(sidecar.read_text()).items() if k != "hidden"}
    sidecar.write_text(json.dumps(earlier))
    with pytest.raises(SystemExit) as stopped:
        run_command(judge.main, words)
    assert stopped.value.code == 2
    assert "does not say how much of the garment is hidden" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("max_clips=0", "max_clips is 0; accepted: at least 1"),
        ("bench=nowhere", r"nowhere holds no raw/*.mp4; `make render"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(words, capsys, change, message):
    with pytest.raises(SystemExit) as stop:
        run_command(judge.main, [*words, change])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
