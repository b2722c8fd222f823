"""Runs of adapters: how they start, what they store, which model they belong to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.command import run_command
from configs.errors import ConfigError, DataError
from configs.loading import load_config
from inference.pipeline import TryOnPipeline
from inference.sampling.painter import load_system
from models.checkpoints import read_checkpoint
from models.conditions import Conditions
from models.viton_dit import VitonDiT
from models.weights.adapters import network_sha256
from tests.training.conftest import TINY
from tests.training.test_fit import CLIPS, PATH, curve, states
from training import fit as program
from training.config import TrainConfig
from training.export import main as export
from training.fit import fit
from training.lora.adapters import is_adapter, linear_layers
from training.module import TryOnModule
from training.planning.memory import parameter_sizes

ONE = [*CLIPS, "trainer.accumulate=1", "system.network.trunk.depth=2"]
LORA = [*ONE, "lora.rank=4", "lora.alpha=8", "optimizer.lr=0.02", "max_steps=3"]
BOTH = (1, 4)  # frames: temporal attention of one frame takes another way


@dataclass(frozen=True)
class Runs:
    """A model, adapters trained on it, and how to make more settings."""

    root: Path
    config: Callable[..., TrainConfig]
    module: TryOnModule  # of the adapters

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def lora(self) -> Path:
        return self.root / "lora"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, clips_root: Path) -> Runs:
    root = tmp_path_factory.mktemp("runs")
    path = root / "tiny.yaml"
    path.write_text(TINY)

    def config(*words: str) -> TrainConfig:
        given = [f"data.roots=[{clips_root}]", f"runs={root}", *words]
        return load_config(TrainConfig, path, given)

    fit(config("name=base", *ONE, "optimizer.lr=0.05", "max_steps=2"), PATH)
    module = fit(config("name=lora", *LORA, f"init_from={root}/base"), PATH)
    return Runs(root, config, module)


def stored(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def answer(network: VitonDiT, frames: int) -> torch.Tensor:
    """Of a network, to inputs that are always the same."""
    draw = torch.Generator().manual_seed(1)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    caption = network.encode_caption(some(1, 2, 8))
    garment = network.encode_garment(some(2, 4, 4, 4), caption)
    conditions = Conditions(caption=caption, garment=garment, control=some(2, 9, frames, 4, 4))
    with torch.no_grad():
        return network(some(2, 4, frames, 4, 4), torch.tensor([3, 900]), conditions)


def altered(runs: Runs, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the base run with another checkpoint."""
    content, file = stored(runs.base), runs.root / name / "checkpoints/last.ckpt"
    change(content)
    file.parent.mkdir(parents=True)
    torch.save(content, file)
    return file


def test_a_run_starts_as_its_base_model_layer_by_layer_bit_for_bit(runs: Runs) -> None:
    words = ["max_steps=1", f"init_from={runs.base}"]
    fit(runs.config("name=plain", *ONE, *words), PATH)
    assert curve(runs.lora)[1] == curve(runs.root / "plain")[1]
    base = load_system(runs.base / "checkpoints/last.ckpt").system.network
    system = load_system(runs.base / "checkpoints/last.ckpt").system
    started = TryOnModule(runs.config(*LORA, *words), system).network
    adapted: list[Any] = [module for module in started.modules() if hasattr(module, "lora_A")]
    assert adapted
    for layer in adapted:
        given = torch.randn(2, 16, layer.base_layer.in_features)
        assert torch.equal(layer(given), layer.base_layer(given))
    for frames in BOTH:  # on some processors what follows a layer rounds by where its output lies
        ours, plain = answer(started, frames), answer(base, frames)
        assert torch.allclose(ours, plain, rtol=0, atol=1e-6)


def test_a_merged_export_answers_as_the_adapters_do(runs: Runs) -> None:
    out = runs.root / "merged"
    export([f"checkpoint={runs.lora}", f"out={out}", "weights=raw"])
    merged = load_system(out)
    assert (merged.step, merged.weights) == (3, "raw")
    base = load_system(runs.base / "checkpoints/last.ckpt").system.network
    for frames in BOTH:
        live = answer(runs.module.network, frames)
        apart = float((answer(merged.system.network, frames) - live).abs().max())
        assert apart <= 1e-6 * max(1.0, float(live.abs().max()))
        assert float((answer(base, frames) - live).abs().max()) > 1e-2


def test_only_adapters_learn_and_a_checkpoint_holds_them_alone(runs: Runs) -> None:
    content, base = stored(runs.lora), stored(runs.base)
    trained = [n for n, p in runs.module.network.named_parameters() if p.requires_grad]
    assert trained == runs.module.learning
    assert all(is_adapter(name) for name in trained)
    assert set(content["state_dict"]) == {f"network.{name}" for name in trained}
    assert set(content["ema"]) == set(trained)
    assert len(content["optimizer_states"][0]["state"]) == len(trained)
    assert content["lora"]["base"]["path"] == str(runs.base)
    up = next(name for name in trained if ".lora_B." in name)
    assert not torch.equal(content["ema"][up], content["state_dict"][f"network.{up}"])
    weights = runs.module.network.state_dict()
    for name in linear_layers(load_system(runs.base / "checkpoints/last.ckpt").system.network):
        left = weights.get(f"{name}.base_layer.weight", weights.get(f"{name}.weight"))
        assert torch.equal(left, base["ema"][f"{name}.weight"]), name


def test_a_stopped_run_resumes_exactly(runs: Runs) -> None:
    words = [*LORA, f"init_from={runs.base}", "name=broken"]
    fit(runs.config(*words, "max_steps=1"), PATH)
    fit(runs.config(*words), PATH)
    assert curve(runs.root / "broken") == curve(runs.lora)
    folders = (runs.root / "broken", runs.lora)
    left, right = (states(run / "checkpoints/last.ckpt") for run in folders)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_another_base_is_refused_wherever_the_adapters_go(runs: Runs) -> None:
    def move(content: dict[str, Any]) -> None:
        content["ema"]["garment.blocks.0.mlp.fc1.bias"] += 0.01

    other = altered(runs, "other", move)
    with pytest.raises(ConfigError, match=r"adapters of the ema weights of .*base.*other.* holds"):
        fit(runs.config("name=lora", *LORA, f"init_from={other}", "max_steps=9"), PATH)
    with pytest.raises(DataError, match=r"trained on the ema weights of .*base \(network \w{12}\)"):
        export([f"checkpoint={runs.lora}", f"out={runs.root}/no", f"base={other}"])
    with pytest.raises(DataError, match=r"give the model that it was trained on"):
        TryOnPipeline.from_pretrained(other, device="cpu", lora=runs.lora)

    def widen(content: dict[str, Any]) -> None:
        name = "denoiser.blocks.0.mlp.fc1.weight"
        content["ema"][name] = content["ema"][name].repeat(2, 1)

    with pytest.raises(DataError, match=r"does not fit .*wide.*mlp\.fc1 are of another size"):
        load_system(altered(runs, "wide", widen), lora=runs.lora)


def test_an_exported_adapter_is_small_and_loads_in_try_on_and_in_peft(runs: Runs) -> None:
    from peft import PeftModel

    out, half = runs.root / "adapter", runs.root / "half"
    export([f"checkpoint={runs.lora}", f"out={out}", "lora=adapter"])
    export([f"checkpoint={runs.base}", f"out={half}", "dtype=bfloat16"])
    file = runs.base / "checkpoints/last.ckpt"
    merged = load_system(file, lora=runs.lora).system.network.state_dict()
    alike = load_system(file, lora=out).system.network.state_dict()
    assert all(torch.equal(alike[name], value) for name, value in merged.items())
    peft = PeftModel.from_pretrained(load_system(file).system.network, str(out))
    for name, value in peft.merge_and_unload().state_dict().items():
        assert torch.allclose(value, merged[name], atol=1e-6), name
    pipeline = TryOnPipeline.from_checkpoint(half, device="cpu", lora=out)
    assert pipeline.report["lora"]["rank"] == 4
    assert pipeline.report["model"].endswith(" + LoRA " + f"{runs.root.name}/adapter")
    assert len(pipeline.system_identity()) == 4
    for text in (out / "README.md", out / "adapter_config.json"):
        assert str(runs.root) not in text.read_text()
    export([f"checkpoint={out}", f"out={runs.root}/again", f"base={runs.base}"])
    again = read_checkpoint(runs.root / "again").network
    assert all(torch.equal(again[name], value) for name, value in merged.items())


def test_adapters_are_no_model_and_a_model_is_no_adapters(runs: Runs) -> None:
    with pytest.raises(ConfigError, match=r"holds a LoRA adapter of .*base, not a model: give"):
        fit(runs.config("name=next", *ONE, f"init_from={runs.lora}"), PATH)
    with pytest.raises(DataError, match=r"was not trained with lora\.rank above 0"):
        load_system(runs.base / "checkpoints/last.ckpt", lora=runs.base)
    with pytest.raises(DataError, match=r"lora .*nowhere does not exist, or holds no adapter"):
        load_system(runs.base / "checkpoints/last.ckpt", lora=runs.root / "nowhere")
    with pytest.raises(ConfigError, match="lora=adapter is for adapters"):
        export([f"checkpoint={runs.base}", f"out={runs.root}/no", "lora=adapter"])
    with pytest.raises(ConfigError, match=r"there is no checkpoint at .*gone; give base=PATH"):
        export([f"checkpoint={runs.lora}", f"out={runs.root}/no", f"base={runs.root}/gone"])


def test_the_identity_of_a_network_survives_rounding_and_notices_a_change(runs: Runs) -> None:
    state = read_checkpoint(runs.base / "checkpoints/last.ckpt").network
    parts = ["denoiser", "garment", "control"]
    half = {n: v.to(torch.bfloat16) if v.is_floating_point() else v for n, v in state.items()}
    assert network_sha256(half, parts) == network_sha256(state, parts)
    assert network_sha256(state, parts[:1]) != network_sha256(state, parts)
    name = "garment.blocks.0.mlp.fc1.bias"
    changed = {**state, name: state[name] + 0.01}
    assert network_sha256(changed, parts) != network_sha256(state, parts)
    assert network_sha256(changed, parts[:1]) == network_sha256(state, parts[:1])


def test_the_plan_counts_what_a_run_trains(runs: Runs) -> None:
    sizes, learning = parameter_sizes(runs.module.config)
    real = {n.replace(".default.", "."): p for n, p in runs.module.network.named_parameters()}
    assert {name: sizes[name] for name in learning} == {
        name.replace(".default.", "."): real[name.replace(".default.", ".")].numel()
        for name in runs.module.learning
    }


def test_patterns_choose_the_layers(runs: Runs) -> None:
    words = [*LORA, f"init_from={runs.base}", "lora.parts=[denoiser.blocks.*.attn_temp.**]"]
    _, learning = parameter_sizes(runs.config(*words))
    assert len(learning) == 2 * 2 * 2  # A and B of qkv and proj in two blocks
    with pytest.raises(ConfigError, match=r"'\*\*\.bias' matches no linear layer; there are"):
        parameter_sizes(runs.config(*words, "lora.parts=['**.bias']"))
    with pytest.raises(ConfigError, match=r"matches no linear layer"):  # not in use in stage 1
        parameter_sizes(runs.config(*words, "stage=stage1", "lora.parts=['control.**']"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lora.rank=4"], "lora.rank = 4 adapts a trained model, and init_from is null"),
        (["lora.rank=4", "init_from=x", "trainer.strategy=fsdp2"], "ddp, not fsdp2"),
        (["lora.rank=-1"], "rank is -1; accepted: at least 0"),
        (["lora.alpha=0"], "alpha is 0; accepted: above 0"),
        (["lora.parts=[]"], "parts is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused(runs: Runs, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        runs.config(*words)


def test_a_base_without_a_network_in_use_is_refused(runs: Runs) -> None:
    def drop(content: dict[str, Any]) -> None:
        for key in ("ema", "state_dict"):
            content[key] = {n: v for n, v in content[key].items() if "control." not in n}

    with pytest.raises(ConfigError, match=r"lora adapts trained networks, and .* has no control"):
        fit(runs.config("name=no", *LORA, f"init_from={altered(runs, 'first', drop)}"), PATH)


def test_without_peft_one_sentence_says_what_to_type(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.lora.adapters.find_spec", lambda _: None)
    words = [str(runs.root / "tiny.yaml"), "name=none", *LORA, f"init_from={runs.base}"]
    with pytest.raises(SystemExit) as ended:
        run_command(program.main, [*words, f"runs={runs.root}"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "needs peft: `make setup-lora`" in said
