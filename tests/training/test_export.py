import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError, DataError
from inference.checkpoint_choice import read_limits
from inference.pipeline import TryOnPipeline
from inference.sampling.painter import load_system
from models.checkpoints import read_checkpoint, read_sampler
from models.convert import convert
from tests.training.test_fit import CLIPS, PATH
from training.config import TrainConfig
from training.export import ExportConfig, export, main
from training.fit import fit


def test_an_exported_folder_loads_as_the_average_of_the_run_and_holds_no_more(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny(*CLIPS, max_steps=2), PATH)
    run, out = tmp_path / "runs" / "tiny", tmp_path / "out"
    main([f"checkpoint={run}", f"out={out}"])
    assert {file.name for file in out.iterdir()} == {
        "model.safetensors", "config.json", "README.md"
    }  # fmt: skip
    content = read_checkpoint(run / "checkpoints" / "last.ckpt")
    loaded = load_system(out)
    assert (loaded.step, loaded.weights) == (2, "ema")
    assert content.ema is not None
    for name, value in loaded.system.network.state_dict().items():
        assert torch.equal(value, content.ema[name]), name
    assert TryOnPipeline.from_checkpoint(out, device="cpu").report["step"] == 2
    card = (out / "README.md").read_text()
    assert "optimizer steps | 2 of 2" in card
    assert "weights | running average (ema), float32" in card
    assert str(tmp_path) not in card
    assert json.loads((out / "config.json").read_text())["system"]["height"] == 32
    main([f"checkpoint={out}", f"out={tmp_path}/again", "dtype=bfloat16"])
    half = (tmp_path / "again" / "model.safetensors").stat().st_size
    assert half < 0.6 * (out / "model.safetensors").stat().st_size


def test_sampler_and_limits_go_with_a_model_from_training_to_painting(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = tiny(*CLIPS, "validation.sampler.guidance_scale=1.5", max_steps=1)
    fit(config, PATH)
    run, out, again = (tmp_path / name for name in ("runs/tiny", "out", "again"))
    trained = read_checkpoint(run / "checkpoints" / "last.ckpt").sampler
    assert trained == asdict(config.validation.sampler)
    assert read_sampler(run / "checkpoints" / "last.ckpt") == trained
    main([f"checkpoint={run}", f"out={out}", "limits=upper garments only."])
    main([f"checkpoint={out}", f"out={again}"])
    for folder in (out, again):
        assert read_checkpoint(folder).sampler == read_sampler(folder) == trained
        assert json.loads((folder / "config.json").read_text())["sampler"] == trained
        assert "dpm++, 2 steps, guidance 1.5 |" in (folder / "README.md").read_text()
        pipeline = TryOnPipeline.from_checkpoint(folder, device="cpu")
        assert pipeline.painter.sampler == config.validation.sampler
    assert read_limits(out) == "upper garments only"
    assert "\nLimits: upper garments only.\n" in (out / "README.md").read_text()
    assert read_limits(again) == ""
    assert "Limits: " not in (again / "README.md").read_text()
    convert(run / "checkpoints/last.ckpt", tmp_path / "n.safetensors", whole_network=True)
    assert read_checkpoint(tmp_path / "n.safetensors").sampler == trained


@pytest.mark.parametrize(
    ("averages", "asked", "kind", "words"),
    [
        (True, "raw", "raw", "as trained (raw), float32"),
        (False, "ema", "raw", "as trained (raw), float32"),
        (True, "ema", "ema", "running average (ema), float32"),
    ],
)
def test_card_and_config_name_the_weights_that_are_in_the_folder_whatever_was_asked_for(
    tiny: Callable[..., TrainConfig], tmp_path: Path, averages: bool, asked: str, kind: str,
    words: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    fit(tiny(*CLIPS, f"ema.enabled={averages}", max_steps=1), PATH)
    run, out, again = (tmp_path / name for name in ("runs/tiny", "out", "again"))
    main([f"checkpoint={run}", f"out={out}", f"weights={asked}"])
    assert ("holds no ema weights; exporting the raw ones" in caplog.text) != averages
    other = {"ema": "raw", "raw": "ema"}[kind]
    main([f"checkpoint={out}", f"out={again}", f"weights={other}"])
    assert f"holds no {other} weights; exporting the {kind} ones" in caplog.text
    for folder in (out, again):
        assert f"weights | {words}" in (folder / "README.md").read_text()
        assert json.loads((folder / "config.json").read_text())["weights"] == kind
        assert load_system(folder, other).weights == kind


def test_what_cannot_be_exported_is_refused(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny(max_steps=1), PATH)
    run = str(tmp_path / "runs" / "tiny")
    with pytest.raises(DataError, match="has no garment and no control network"):
        export(ExportConfig(checkpoint=run, out=str(tmp_path / "out")))
    with pytest.raises(ConfigError, match="exists and is not an exported model"):
        export(ExportConfig(checkpoint=run, out=str(tmp_path)))
    with pytest.raises(ConfigError, match="out is empty"):
        main([f"checkpoint={run}"])
    assert not list(tmp_path.glob(".out*"))
