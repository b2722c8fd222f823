import json
import logging
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tryon_fixtures import (
    build_tiny,
    colour_perception,
    write_checkpoint,
    write_garment,
    write_video,
)

from configs.command import run_command
from configs.errors import DataError
from inference import tryon
from inference.checkpoint_choice import (
    SHIPPED,
    choose_checkpoint,
    find_adapter,
    shipped_model,
)
from inference.pipeline import TryOnPipeline
from inference.sampling.sampler_choice import SamplerChoice
from inference.video.provenance import read_record
from models.weights.files import write_weights

ROOT = Path(__file__).resolve().parents[2]
MOST_MB = 20
LIMITS = "trained on drawn dancers; upper garments at 32 x 48."
SAMPLER = {"solver": "ddim", "num_steps": 1, "guidance_scale": 1.0, "clip": 3.0}


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """An exported model, in the place of the one that ships."""
    system = build_tiny()
    folder = tmp_path / "pretrained" / "tryon"
    write_shipped(folder, system)
    monkeypatch.setattr("inference.checkpoint_choice.SHIPPED", folder)
    return folder


def write_shipped(folder, system) -> None:
    notes = {"system": asdict(system.config), "step": 9, "weights": "ema", "sampler": SAMPLER}
    write_weights(folder / "model.safetensors", system.network.state_dict(), notes)
    (folder / "config.json").write_text(json.dumps({"limits": LIMITS}), encoding="utf-8")


def write_run(runs: Path) -> Path:
    return write_checkpoint(runs / "my-stage3/checkpoints/last.ckpt", build_tiny())


def test_the_named_one_comes_first_then_your_own_run_then_the_shipped_model(shipped, tmp_path):
    runs = tmp_path / "runs"
    last = choose_checkpoint(None, runs)
    assert (last.path, last.origin) == (shipped, "shipped model")
    assert "trained on drawn dancers; upper garments at 32 x 48. To use your own: `make demo`" in (
        last.sentence
    )
    own = write_run(runs)
    assert choose_checkpoint(None, runs).path == own
    assert choose_checkpoint(None, runs).origin == "newest run"
    assert str(own) in choose_checkpoint(None, runs).sentence
    named = choose_checkpoint(str(shipped), runs)
    assert (named.path, named.origin) == (shipped, "given")


def test_without_any_checkpoint_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("inference.checkpoint_choice.SHIPPED", tmp_path / "none")
    assert shipped_model() is None
    with pytest.raises(DataError, match=r"no checkpoint of stage 3 under .*`make demo` trains"):
        TryOnPipeline.from_pretrained(runs=tmp_path)


def test_a_damaged_shipped_model_is_named_and_not_passed_over(shipped, tmp_path):
    (shipped / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"config.json cannot be read, .*git checkout"):
        choose_checkpoint(None, tmp_path / "runs")


def test_from_pretrained_paints_with_the_shipped_model_and_its_sampler(shipped, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    pipeline = TryOnPipeline.from_pretrained(
        device="cpu", perception=colour_perception(), runs=tmp_path / "runs"
    )
    assert "Using the model that ships with the project" in caplog.text
    assert pipeline.painter.sampler.description == "ddim, 1 step, no guidance"
    assert (pipeline.report["model"], pipeline.report["origin"]) == (
        "pretrained/tryon", "shipped model"
    )  # fmt: skip
    more = SamplerChoice(num_steps=2)
    again = TryOnPipeline.from_pretrained(device="cpu", sampler=more, runs=tmp_path / "runs")
    assert again.painter.sampler.description == "ddim, 2 steps, no guidance"


def test_make_tryon_says_at_the_start_and_in_the_result_that_the_shipped_model_painted(
    shipped, tmp_path, monkeypatch, capsys, caplog
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(tryon, "choose_perception", lambda _: colour_perception())
    monkeypatch.setattr("inference.conditions.stored._WORK_HEIGHT", 96)
    words = [
        f"video={write_video(tmp_path / 'v.mp4', people=[True] * 3)}",
        f"garment={write_garment(tmp_path / 'g.png')}", f"out={tmp_path / 'o.mp4'}",
        f"runs={tmp_path / 'runs'}", "device=cpu",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        run_command(tryon.main, words)
    assert not stop.value.code
    assert LIMITS.rstrip(".") in caplog.text
    shown = capsys.readouterr().out
    assert f"checkpoint  {shipped} (shipped model, step 9, ema)" in shown
    assert "sampler     ddim, 1 step, no guidance, iar, on cpu" in shown
    record = read_record(str(tmp_path / "o.mp4"))
    assert (record["model"], record["origin"]) == ("pretrained/tryon", "shipped model")
    assert record["sampler"] == "ddim, 1 step, no guidance"


def test_the_shipped_model_may_be_committed_and_stays_small():
    for name in ("model.safetensors", "config.json", "README.md"):
        ignored = subprocess.run(
            ["git", "check-ignore", "-q", str(SHIPPED / name)], cwd=ROOT, check=False
        )
        assert ignored.returncode == 1, f"{name} would not be committed"
    files = [path for path in SHIPPED.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_MB * 1_000_000


def test_a_run_of_adapters_is_never_taken_for_a_model(shipped, tmp_path):
    runs = tmp_path / "runs"
    own = write_run(runs)
    adapters = runs / "stage3-lora"
    (adapters / "checkpoints").mkdir(parents=True)
    (adapters / "checkpoints" / "last.ckpt").write_bytes(own.read_bytes())
    (adapters / "config.yaml").write_text("name: stage3-lora\nlora:\n  rank: 8\n")
    assert choose_checkpoint(None, runs).path == own
    with pytest.raises(DataError, match=r"lora .*nowhere does not exist, or holds no adapter"):
        find_adapter(runs / "nowhere")
    assert find_adapter(adapters) == adapters / "checkpoints" / "last.ckpt"


def test_an_adapter_of_another_model_is_refused_with_exit_code_2(shipped, tmp_path, capsys):
    folder, tensors = tmp_path / "mine", {}
    layer = "denoiser.blocks.0.mlp.fc1"
    out, wide = build_tiny().network.get_submodule(layer).weight.shape
    for mark, shape in (("A", (2, wide)), ("B", (out, 2))):
        tensors[f"base_model.model.{layer}.lora_{mark}.weight"] = torch.ones(shape)
    base = {"sha256": "0" * 64, "path": "runs/theirs", "weights": "ema", "parts": ["denoiser"]}
    notes = {"lora": {"rank": 2, "alpha": 2.0, "base": base}, "step": 1, "weights": "ema",
             "system": {}}  # fmt: skip
    write_weights(folder / "adapter_model.safetensors", tensors, notes)
    write_video(tmp_path / "me.mp4", people=[True] * 3)
    write_garment(tmp_path / "g.png")
    words = [f"video={tmp_path}/me.mp4", f"garment={tmp_path}/g.png", f"out={tmp_path}/o.mp4",
             "perception=embedded", f"lora={folder}", f"runs={tmp_path}/none"]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        run_command(tryon.main, words)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "trained on the ema weights of runs/theirs (network 000000000000)" in said
    assert "give the model that it was trained on" in said
