"""Training of the embedded codec: the command whole, resuming, its data and its scores."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from configs.errors import ConfigError, DataError
from models.codecs.dct import DctCodec
from models.codecs.learned import LearnedCodec, SmallAutoencoder, pack
from models.weights.files import file_sha256
from training.callbacks.stopping import StopSignals
from training.codec import learn as learning
from training.codec.__main__ import main
from training.codec.config import CodecTraining
from training.codec.crops import Crops
from training.codec.learn import latent_noise, learn, unwhiteness
from training.codec.real import is_free, real_files
from training.codec.rendered import part_map
from training.codec.scores import block_edges, framed, psnr, score_codec
from training.codec.whitening import measure_latents

TINY = """
num_clips: 1
num_unseen: 1
num_garments: 0
workers: 1
latent_channels: 4
max_steps: 3
batch_size: 2
crop: 32
warmup_steps: 0
checkpoint_every_steps: 1
"""


def pictures(count: int = 3) -> list[np.ndarray]:
    """Blurred noise with an edge, (120, 100, 3) uint8."""
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(count):
        noise = random.uniform(0, 255, (120, 100, 3)).astype(np.float32)
        picture = cv2.GaussianBlur(noise, (0, 0), 6) * 2 - 128
        picture[:, 55:] = 255 - picture[:, 55:]
        drawn.append(np.clip(picture, 0, 255).astype(np.uint8))
    return drawn


def crops(seed: int = 0) -> Crops:
    return Crops(pictures(), [pictures(1)], 32, 2, seed)


def settings(tmp_path: Path, **changes: object) -> CodecTraining:
    tiny = CodecTraining(
        work=str(tmp_path), latent_channels=4, max_steps=4, batch_size=2, crop=32, warmup_steps=0
    )
    return replace(tiny, **changes)


def write_real(folder: Path, **licences: str) -> Path:
    folder.mkdir()
    lines = ["file\twhat\tlicence"]
    for name, licence in licences.items():
        cv2.imwrite(str(folder / f"{name}.png"), pictures(1)[0])
        lines.append(f"{name}.png\tnoise\t{licence}")
    (folder / "SOURCES.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_writes_a_codec_and_a_record_that_says_where_it_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "codec.yaml", tmp_path / "mine" / "codec.safetensors"
    file.write_text(TINY)
    folder = write_real(tmp_path / "real", one="CC0 1.0", two="MIT", three="")
    words = [f"work={tmp_path / 'work'}", f"out={out}", f"real={folder}", "real_unseen=[two.png]"]
    assert main([str(file), *words]) == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["sha256"] == file_sha256(out)
    assert record["data"]["real"] == {"one.png": "CC0 1.0"}
    assert record["data"]["real_unseen"] == {"two.png": "MIT"}
    assert record["settings"]["max_steps"] == 3
    assert str(folder) in record["command"]
    assert set(record["scores"]) == {"rendered 128x96", "rendered 256x192"}  # photos are smaller
    assert "rendered 128x96" in capsys.readouterr().out
    assert LearnedCodec(4, path=out).name == "learned4"


def test_training_lowers_the_error(tmp_path: Path) -> None:
    config = settings(tmp_path, max_steps=60, ema_decay=0.9, latent_noise=0.0)
    columns = np.arange(100) // 3 % 2 * 200 + 20  # stripes, finer than four coefficients show
    striped = [np.broadcast_to(columns[None, :, None], (120, 100, 3)).astype(np.uint8)]
    trained = learn(config, Crops(striped, [], 32, 2, 0), StopSignals())
    assert trained is not None
    fresh, images = SmallAutoencoder(4), Crops(striped, [], 32, 2, 1).batch(0)
    with torch.no_grad():
        errors = [(net.decode(net.encode(images)) - images).square().mean()
                  for net in (trained, fresh)]  # fmt: skip
    assert errors[0] < 0.7 * errors[1]


def test_a_run_that_was_stopped_and_resumed_gives_the_same_weights_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(settings(tmp_path / "whole"), crops(), StopSignals())
    assert whole is not None
    signals, parts = StopSignals(), settings(tmp_path / "parts")
    true_loss = learning.training_loss

    def stop_at_step_1(*args: object) -> object:
        if args[-1] == 1:
            signals.received = 15  # pyright: ignore[reportAttributeAccessIssue]
        return true_loss(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(learning, "training_loss", stop_at_step_1)
    assert learn(parts, crops(), signals) is None
    monkeypatch.setattr(learning, "training_loss", true_loss)
    resumed = learn(parts, crops(), StopSignals())
    assert resumed is not None
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path) -> None:
    learn(settings(tmp_path), crops(), StopSignals())
    with pytest.raises(ConfigError, match=r"trained with lr=0.002, now 0.1; resume with the same"):
        learn(settings(tmp_path, lr=0.1), crops(), StopSignals())
    file = Path(settings(tmp_path).work) / learning.CHECKPOINT
    content = torch.load(file, weights_only=True)
    content["config"]["kl_weight"] = 0.5  # of another version
    torch.save(content, file)
    with pytest.raises(ConfigError, match=r"trained with kl_weight=0.5, now None; resume with the"):
        learn(settings(tmp_path), crops(), StopSignals())


def test_files_without_a_clear_licence_are_left_out(tmp_path: Path) -> None:
    folder = write_real(tmp_path / "real", a="CC BY 4.0", b="unknown", c="CC BY-NC 4.0", d="MIT")
    seen, unseen = real_files(settings(tmp_path, real=str(folder), real_unseen=["d*"]))
    assert [file.name for file in seen] == ["a.png"]
    assert [file.name for file in unseen] == ["d.png"]


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0 1.0", True), ("CC BY 4.0 (credit: somebody)", True), ("Apache-2.0", True),
        ("photo CC BY 2.0", True), ("BSD-3-Clause", True), ("MIT", True), ("", False),
        ("CC BY-NC 4.0", False), ("CC BY-NC-SA 4.0", False), ("CC BY-ND 4.0", False),
        ("all rights reserved", False), ("mitigated", False), ("bsdish", False),
    ],
)  # fmt: skip
def test_a_licence_is_free_or_it_is_not(licence: str, free: bool) -> None:
    assert is_free(licence) is free


def test_what_is_wrong_with_the_real_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"has no SOURCES\.tsv; list its files there"):
        real_files(settings(tmp_path, real=str(tmp_path / "bare")))
    folder = write_real(tmp_path / "real", a="MIT")
    with pytest.raises(DataError, match=r"no file of .* matches 'b\*'"):
        real_files(settings(tmp_path, real=str(folder), real_unseen=["b*"]))
    with pytest.raises(DataError, match="leaves no file to learn from"):
        real_files(settings(tmp_path, real=str(folder), real_unseen=["a*"]))
    (folder / "SOURCES.tsv").write_text("name\tlicence\na.png\tMIT\n")
    with pytest.raises(DataError, match="no columns file and licence"):
        real_files(settings(tmp_path, real=str(folder)))


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    first = crops().batch(5)
    assert first.shape == (2, 3, 32, 32)
    assert torch.equal(first, crops().batch(5))
    assert not torch.equal(first, crops().batch(6))
    assert not torch.equal(first, crops(1).batch(5))
    assert first.abs().max() <= 1


def test_a_part_map_is_flat_in_red_and_keeps_the_parts_apart() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:10], labels[5:15, 10:15] = 3, 4
    drawn = part_map(labels, np.random.default_rng(1))
    for label in (3, 4):
        assert len(np.unique(drawn[labels == label][:, 0])) == 1
    assert drawn[10, 7, 0] != drawn[10, 12, 0]


def test_measured_statistics_whiten_the_latents_and_tell_how_channels_move_pixels() -> None:
    network = SmallAutoencoder(4)
    network.analysis.weight.data[2] *= 3.0  # three times the variance, and a third of the gain
    network.synthesis[0].weight.data[:, 2] /= 3.0
    mean, std, gain = measure_latents(network, [crops().batch(step) for step in range(30)])
    plain = measure_latents(SmallAutoencoder(4), [crops().batch(step) for step in range(30)])
    assert torch.allclose(std * gain, plain[1] * plain[2], rtol=1e-3)
    assert torch.allclose(std[2], 3 * plain[1][2], rtol=1e-4)
    file_tensors = pack(network, mean, std, gain)
    assert file_tensors["analysis.weight"].dtype == torch.float16
    with torch.no_grad():
        latents = torch.cat([network.encode(crops().batch(step)) for step in range(30)])
    white = (latents - mean[:, None, None]) / std[:, None, None]
    assert unwhiteness(white) < 1e-6 < unwhiteness(latents)


def test_latent_noise_is_zero_for_some_pictures_and_bounded_for_the_rest() -> None:
    noise = latent_noise(torch.Size([300, 16, 8, 8]), 0.2, 0, 3)
    levels = noise.square().mean(dim=(1, 2, 3)).sqrt()
    assert 0.2 < (levels == 0).float().mean() < 0.5
    assert 0.15 < levels.max() < 0.25
    by_channel = noise.square().mean(dim=(0, 2, 3))
    assert by_channel[0] < by_channel[-1]  # lightness moves the picture most


def test_blocks_raise_the_edge_measure_and_equal_frames_have_no_error() -> None:
    smooth = np.stack(pictures(2))[:, :120, :96]
    blocky = smooth.copy()
    blocky[:, :, 8:16] = np.clip(blocky[:, :, 8:16].astype(int) + 20, 0, 255)
    assert block_edges(blocky) > block_edges(smooth) + 0.1
    assert psnr(smooth[0], smooth[0]) == 99.0
    assert psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0.0


def test_more_channels_score_better_and_noise_costs() -> None:
    frames = framed(pictures(2), (96, 72))
    few, many = (score_codec(DctCodec(channels), frames) for channels in (4, 48))
    assert many.psnr > few.psnr
    assert many.ssim > few.ssim
    assert few.psnr_noisy < few.psnr
    assert few.frames == 2


def test_small_pictures_are_left_out_of_the_scores() -> None:
    assert framed(pictures(2), (128, 96)).shape == (0, 128, 96, 3)


def test_settings_out_of_range_are_refused() -> None:
    for changes, told in (
        ({"crop": 30}, "multiples of 8 from 32 on"),
        ({"latent_channels": 3}, "at least 4 and at most 192"),
        ({"out": "x.pt"}, "ends in .safetensors"), ({"max_steps": 0}, "at least 1"),
        ({"real_unseen": ["x"]}, "real=DIR is not given"), ({"lr": 0.0}, "accepted: above 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            CodecTraining(**changes)  # pyright: ignore[reportArgumentType]
