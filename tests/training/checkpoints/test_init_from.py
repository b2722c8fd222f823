"""Where a run's first weights come from, and what the log says of it."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError, DataError
from configs.loading import to_plain
from inference.sampling.painter import load_system
from models.convert import convert
from models.stdit import STDiT
from models.system import build_system
from models.viton_dit import VitonDiT
from training.checkpoints.files import locate_checkpoint
from training.checkpoints.init_from import (
    check_init_from,
    check_same_clips,
    find_resume,
    start_from,
    start_from_trunk,
)
from training.config import TrainConfig
from training.fit import fit

PATH = Path("tiny.yaml")


def fresh(config: TrainConfig, seed: int = 0) -> VitonDiT:
    torch.manual_seed(seed)
    return build_system(config.system).network


def shaken(network: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


@pytest.fixture
def public(tiny: Callable[..., TrainConfig], tmp_path: Path) -> dict[str, Path]:
    """Files as Open-Sora and PixArt-alpha publish them, at tiny size, and converted."""
    torch.manual_seed(3)
    trunk = STDiT(tiny().system.network.trunk)
    shaken(trunk)
    state = {**trunk.state_dict(), "pos_embed": torch.zeros(1, 16, 32)}
    torch.save({**state, "pos_embed_temporal": torch.zeros(1, 4, 32)}, tmp_path / "open-sora.pth")
    image = {name: value for name, value in state.items() if "temp" not in name}
    image["x_embedder.proj.weight"] = image["x_embedder.proj.weight"].squeeze(2)
    torch.save({"state_dict": image}, tmp_path / "pixart.pth")
    files = {"open-sora": tmp_path / "open-sora.pth", "pixart": tmp_path / "pixart.pth"}
    for kind, file in list(files.items()):
        files[f"{kind} converted"] = file.with_suffix(".safetensors")
        convert(file, files[f"{kind} converted"])
    return files


KINDS = ["open-sora", "pixart", "open-sora converted", "pixart converted"]


@pytest.mark.parametrize("kind", KINDS)
def test_public_weights_start_all_three_networks_and_the_log_says_what_is_zero(
    tiny: Callable[..., TrainConfig],
    public: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    network = fresh(tiny("stage=stage1"))
    with caplog.at_level(logging.INFO):
        start_from_trunk(network, public[kind])
    is_image = kind.startswith("pixart")
    source = torch.load(public["pixart" if is_image else "open-sora"], weights_only=True)
    source = source.get("state_dict", source)
    for index, block in enumerate(network.denoiser.blocks):
        expected = source[f"blocks.{index}.attn.qkv.weight"]
        assert torch.equal(block.attn.qkv.weight, expected)
        assert not block.fusion.proj.weight.any()
        assert bool(block.attn_temp.proj.weight.any()) != is_image
        if index < len(network.garment.blocks):
            assert torch.equal(network.garment.blocks[index].attn.qkv.weight, expected)
        if index < len(network.control.blocks):
            assert torch.equal(network.control.blocks[index].attn.qkv.weight, expected)
    assert not network.control.input_projection.weight.any()
    assert ("a PixArt-alpha image model" in caplog.text) == is_image
    assert ("temporal attention is not in that file" in caplog.text) == is_image
    assert "their contribution to the trunk starts at zero" in caplog.text


def test_a_run_trains_from_pixart_by_its_settings_alone(
    tiny: Callable[..., TrainConfig], public: dict[str, Path]
) -> None:
    module = fit(tiny("stage=stage1", f"trunk_weights={public['pixart']}", max_steps=1), PATH)
    source = torch.load(public["pixart"], weights_only=True)["state_dict"]
    trunk = module.network.denoiser  # frozen in stage 1
    assert torch.equal(trunk.blocks[0].attn.qkv.weight, source["blocks.0.attn.qkv.weight"])


def test_trunk_weights_that_are_absent_or_do_not_fit_are_one_sentence(
    tiny: Callable[..., TrainConfig], public: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"absent\.pth does not exist; give an Open-Sora v1\.0 or"):
        check_init_from(tiny(f"trunk_weights={tmp_path}/absent.pth"), PATH)
    state = torch.load(public["open-sora"], weights_only=True)
    state["blocks.1.mlp.fc9.bias"] = state.pop("blocks.1.mlp.fc1.bias")
    torch.save(state, tmp_path / "renamed.pth")
    with pytest.raises(ConfigError, match=r"blocks\.1\.mlp\.fc1\.bias;.*blocks\.1\.mlp\.fc9\.bias"):
        start_from_trunk(fresh(tiny()), tmp_path / "renamed.pth")


def test_a_run_from_before_a_setting_goes_on_with_its_default_and_with_no_other(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny(max_steps=1), PATH)
    file = tmp_path / "runs" / "tiny" / "checkpoints" / "step-00000001.ckpt"
    content = torch.load(file, weights_only=True)
    del content["config"]["data"]["flip"], content["config"]["trainer"]["devices"]
    del content["config"]["system"]["network"]["known_frames"], content["config"]["validation"]
    torch.save(content, file)
    with pytest.raises(ConfigError, match=r"holds a run with data\.flip = 0\.0, now it is 0\.5"):
        find_resume(tiny("data.flip=0.5"), file.parents[1])
    with pytest.raises(ConfigError, match=r"known_frames = control, now it is control\+timestep"):
        find_resume(tiny("system.network.known_frames=control+timestep"), file.parents[1])
    assert find_resume(tiny(), file.parents[1]) == (file, 1)
    assert fit(tiny(max_steps=2), PATH).global_step == 2


def test_a_run_with_a_removed_setting_resumes_only_if_all_runs_do_the_same_now(
    tiny: Callable[..., TrainConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tiny(max_steps=1), PATH)
    file = tmp_path / "runs" / "tiny" / "checkpoints" / "step-00000001.ckpt"
    content = torch.load(file, weights_only=True)
    content["config"]["data"]["posterior"] = "mean"
    content["config"]["objective"]["min_snr"] = None
    content["config"]["trainer"]["profiler"] = "simple"
    torch.save(content, file)
    with caplog.at_level(logging.INFO):
        assert find_resume(tiny(), file.parents[1]) == (file, 1)
    assert "data.posterior = mean was removed: every run works so now" in caplog.text
    assert "objective.min_snr = None was removed: every run works so now" in caplog.text
    assert "trainer.profiler = simple was removed, without effect" in caplog.text
    content["config"]["objective"]["min_snr"] = 5.0
    torch.save(content, file)
    with pytest.raises(ConfigError, match=r"with objective\.min_snr = 5\.0, which this version"):
        find_resume(tiny(), file.parents[1])
    content["config"]["objective"]["min_snr"] = None
    content["config"]["unheard_of"] = {"a": 1}
    torch.save(content, file)
    with pytest.raises(ConfigError, match=r"with unheard_of = \{'a': 1\}, which this version"):
        find_resume(tiny(), file.parents[1])


@pytest.mark.parametrize(
    ("word", "now"),
    [("data.posterior=mean", "mean"), ("objective.min_snr=5", "null"),
     ("objective.known_frames=true", "false")],
)  # fmt: skip
def test_a_removed_setting_is_refused_with_what_all_runs_do_now(
    tiny: Callable[..., TrainConfig], word: str, now: str
) -> None:
    message = (
        rf"key '{word.partition('=')[0]}' was removed: every run works as with {now}; leave it out"
    )
    with pytest.raises(ConfigError, match=message):
        tiny(word)


def save_checkpoint(config: TrainConfig, parts: tuple[str, ...], path: Path) -> VitonDiT:
    """A checkpoint that holds ``parts`` of a network none of whose weights are zero."""
    network = fresh(config, seed=5)
    shaken(network)
    state = {name: value for name, value in network.state_dict().items() if name.startswith(parts)}
    content = {
        "state_dict": {f"network.{name}": value for name, value in state.items()},
        "ema": {name: value + 1 for name, value in state.items()},
        "system": to_plain(config.system),
        "global_step": 7,
    }
    torch.save(content, path)
    return network


def test_stage_2_copies_only_the_controlnet_from_the_trunk_with_the_garment_part_that_learned(
    tiny: Callable[..., TrainConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, file = tiny("stage=stage2"), tmp_path / "last.ckpt"
    before = save_checkpoint(config, ("denoiser.", "garment."), file).state_dict()
    after = fresh(config)
    with caplog.at_level(logging.INFO):
        start_from(after, file, "raw")
    assert "the raw weights of" in caplog.text
    assert "copied from its trunk: control" in caplog.text
    state = after.state_dict()
    for name, value in state.items():
        if not name.startswith("control."):
            assert torch.equal(value, before[name]), name
    copied = [name for name in state if name.startswith("control.blocks.")]
    assert any(".fusion.proj." in name for name in copied)
    for name in copied:
        assert torch.equal(state[name], before[name.replace("control.", "denoiser.", 1)]), name
    zeros = ("control.input_projection.", "control.output_projections.")
    assert not any(value.any() for name, value in state.items() if name.startswith(zeros))


def test_after_pretraining_both_new_networks_are_copied_and_the_garment_attention_is_silent(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config, file = tiny("stage=stage1"), tmp_path / "last.ckpt"
    before = save_checkpoint(config, ("denoiser.",), file).state_dict()
    after = fresh(config)
    start_from(after, file, "raw")
    for index, block in enumerate(after.garment.blocks):
        expected = before[f"denoiser.blocks.{index}.mlp.fc1.weight"]
        assert torch.equal(block.mlp.fc1.weight, expected)
    assert not any(block.fusion.proj.weight.any() for block in after.denoiser.blocks)


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_a_converted_network_starts_a_stage_as_its_checkpoint_does(
    tiny: Callable[..., TrainConfig],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    weights: str,
) -> None:
    config, file = tiny("stage=stage2"), tmp_path / "last.ckpt"
    save_checkpoint(config, ("denoiser.", "garment."), file)
    converted = tmp_path / "network.safetensors"
    convert(file, converted, whole_network=True, weights=weights)
    assert locate_checkpoint(converted) == converted
    assert check_init_from(tiny("stage=stage2", f"init_from={converted}"), PATH) == converted
    left, right = fresh(config), fresh(config)
    start_from(left, file, weights)
    with caplog.at_level(logging.INFO):
        start_from(right, converted, "ema")
    for name, value in left.state_dict().items():
        assert torch.equal(value, right.state_dict()[name]), name
    assert f"the {'averaged' if weights == 'ema' else 'raw'} weights" in caplog.text


def test_try_on_takes_a_converted_network_as_it_takes_its_checkpoint(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    file, converted = tmp_path / "last.ckpt", tmp_path / "network.safetensors"
    save_checkpoint(tiny("stage=stage3"), ("denoiser.", "garment.", "control."), file)
    convert(file, converted, whole_network=True)
    left, right = load_system(file), load_system(converted)
    assert (right.weights, right.step) == (left.weights, left.step) == ("ema", 7)
    assert right.system.config == left.system.config
    for name, value in left.system.network.state_dict().items():
        assert torch.equal(value, right.system.network.state_dict()[name]), name


def test_a_run_goes_on_with_the_same_clips_under_another_path_and_with_no_others(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    first = fit(tiny(max_steps=1), PATH)
    (root,) = first.config.data.roots
    (tmp_path / "scratch #2").symlink_to(Path(root).resolve())
    assert fit(tiny(f"data.roots=['{tmp_path}/scratch #2']", max_steps=2), PATH).global_step == 2
    file = tmp_path / "runs" / "tiny" / "checkpoints" / "step-00000002.ckpt"
    with pytest.raises(ConfigError, match="which holds other clips"):
        check_same_clips(tiny("data.roots=[elsewhere]"), file, "0" * 64)
