import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.sample import bytes_to_signed
from datasets.synthetic.clips import render_frames
from datasets.synthetic.config import SyntheticConfig
from models.codecs.dct import DctCodec
from models.codecs.learned import PRETRAINED, LearnedCodec
from models.codecs.vae import (
    Codec,
    CodecConfig,
    build_codec,
    check_same_codec,
    codec_identity,
    pin_codec,
)
from models.weights.files import file_sha256, write_weights
from tests.codec_fixtures import write_small_codec

SHIPPED = CodecConfig(kind="learned", latent_channels=16, whitening=0.5)
RECORD = json.loads(PRETRAINED.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def frames() -> Tensor:
    """Four rendered frames that no training saw, (1 4 3 128 96), in [-1, 1]."""
    settings = SyntheticConfig(
        dancers="benchmark", framing="upper", height=128, width=96, seed=77, duration_s=0.5, fps=4
    )
    drawn = [frame for i in range(2) for frame, _ in render_frames(settings.clip("bench", i))]
    return bytes_to_signed(torch.from_numpy(np.stack(drawn))).permute(0, 3, 1, 2)[None]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A codec of 4 channels, as it is before training."""
    return write_small_codec(tmp_path / "small.safetensors")


def psnr(one: Tensor, other: Tensor) -> float:
    return float(10 * torch.log10(4 / (one - other).square().mean()))


def border_share(video: Tensor) -> float:
    """Mean step across the columns where blocks meet, over the mean step elsewhere."""
    steps = video.diff(dim=-1).abs().mean(dim=(0, 1, 2, 3))
    borders = torch.arange(1, len(steps) + 1) % 8 == 0
    return float(steps[borders].mean() / steps[~borders].mean())


def test_what_ships_beats_the_dct_on_frames_it_never_saw_and_hardly_shows_blocks(frames: Tensor):
    learned, dct = build_codec(SHIPPED), DctCodec(16, 0.5)
    shown, blocky = (codec.decode(codec.encode(frames)) for codec in (learned, dct))
    assert psnr(shown, frames) > psnr(blocky, frames) + 1.0
    true = border_share(frames)
    assert border_share(blocky) > true + 0.2
    assert abs(border_share(shown) - true) < 0.25 * (border_share(blocky) - true)


def test_what_ships_stands_noise_on_its_latents_at_least_as_well_as_the_dct(frames: Tensor):
    quality = []
    for codec in (build_codec(SHIPPED), DctCodec(16, 0.5)):
        latents = codec.encode(frames)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        quality.append(psnr(codec.decode(latents + 0.2 * noise), frames))
    assert quality[0] >= quality[1]


def test_the_record_names_the_file_and_its_scores_beat_the_dct_on_every_kind_of_frame():
    assert RECORD["sha256"] == file_sha256(PRETRAINED)
    assert RECORD["bytes"] == PRETRAINED.stat().st_size < 6e6
    assert {"rendered 128x96", "rendered 256x192", "real 128x96", "real 256x192"} <= set(
        RECORD["scores"]
    )
    for by_codec in RECORD["scores"].values():
        for score in ("psnr", "ssim", "psnr_noisy"):
            assert by_codec["learned"][score] > by_codec["dct"][score]
        assert abs(by_codec["learned"]["edges"]) < 0.25 * by_codec["dct"]["edges"]
    assert not set(RECORD["data"]["real"]) & set(RECORD["data"]["real_unseen"])


def test_before_training_it_is_the_dct(small: Path, frames: Tensor):
    learned, dct = LearnedCodec(4, path=small), DctCodec(4)
    latents = dct.encode(frames)
    assert torch.allclose(learned.encode(frames), latents, rtol=1e-3, atol=1e-3)  # float16 weights
    assert torch.allclose(learned.decode(latents), dct.decode(latents), atol=2e-3)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_latents_have_a_mean_variance_of_about_one(frames: Tensor, whitening: float):
    latents = build_codec(replace(SHIPPED, whitening=whitening)).encode(frames)
    assert 0.4 < latents.square().mean() < 2.5


def test_whitening_scales_channels_and_loses_nothing(frames: Tensor):
    full, half = build_codec(replace(SHIPPED, whitening=1.0)), build_codec(SHIPPED)
    ratio = half.encode(frames) / full.encode(frames)
    assert torch.allclose(ratio, ratio[:, :, :1, :1, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)
    assert ratio[0, :, 0, 0, 0].std() > 0.1
    assert torch.allclose(half.decode(half.encode(frames)), full.decode(full.encode(frames)),
                          atol=1e-4)  # fmt: skip


def test_a_frame_does_not_depend_on_its_batch_or_on_how_many_are_processed_at_once(frames: Tensor):
    codec = build_codec(SHIPPED)
    one_by_one = build_codec(replace(SHIPPED, frames_per_call=1))
    latents = codec.encode(frames)
    assert torch.allclose(latents, one_by_one.encode(frames), atol=1e-5)
    assert torch.allclose(latents[:, :, 2], codec.encode_images(frames[:, 2]), atol=1e-5)
    assert torch.allclose(codec.decode(latents), one_by_one.decode(latents), atol=1e-5)
    assert torch.allclose(codec.decode(latents[:, :, 1:2]), codec.decode(latents)[:, 1:2],
                          atol=1e-5)  # fmt: skip


def test_it_is_a_codec_by_the_same_interface_and_learns_nothing_more(frames: Tensor):
    codec = build_codec(SHIPPED)
    assert isinstance(codec, Codec)
    assert isinstance(codec, LearnedCodec)
    assert (codec.name, codec.latent_channels, codec.factor) == ("learned16-w0.5", 16, 8)
    assert codec.encode_images(frames[0]).shape == (4, 16, 16, 12)
    assert not any(parameter.requires_grad for parameter in codec.parameters())
    assert codec.decode(100 * torch.randn(1, 16, 1, 2, 2)).abs().max() == 1.0
    with pytest.raises(ValueError, match=r"multiples of 8, not \(20, 16\)"):
        codec.encode(torch.zeros(1, 1, 3, 20, 16))


def test_autocast_does_not_coarsen_it(frames: Tensor):
    codec = build_codec(SHIPPED)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = codec.decode(codec.encode(frames))
    assert torch.equal(rough, codec.decode(codec.encode(frames)))


def test_building_it_draws_no_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build_codec(SHIPPED)
    assert torch.equal(torch.rand(4), expected)


def test_the_hash_of_its_file_is_part_of_what_it_is_known_by(small: Path, tmp_path: Path):
    other = write_small_codec(tmp_path / "other.safetensors", mean=0.1)
    one, two = (CodecConfig(kind="learned", path=str(file)) for file in (small, other))
    assert codec_identity(one)["sha256"] == file_sha256(small)
    assert codec_identity(one) != codec_identity(two)
    assert pin_codec(one).sha256 == file_sha256(small)
    moved = small.rename(tmp_path / "moved.safetensors")
    assert codec_identity(replace(one, path=str(moved))) == codec_identity(pin_codec(
        replace(one, path=str(moved))))  # fmt: skip
    assert pin_codec(CodecConfig(kind="dct")) == CodecConfig(kind="dct")


def test_another_file_than_the_latents_were_made_with_is_refused_in_one_sentence(
    small: Path, tmp_path: Path
):
    made_with = pin_codec(CodecConfig(kind="learned", path=str(small)))
    write_small_codec(small, mean=0.1)
    with pytest.raises(ValueError, match="the latents were made with the codec of sha256") as told:
        build_codec(made_with)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="the latents were made with"):
        codec_identity(made_with)


def test_weights_that_saw_other_latents_are_refused_by_the_setting_that_differs():
    now = replace(SHIPPED, sha256="a" * 64)
    check_same_codec(now, {"kind": "learned", "latent_channels": 16, "whitening": 0.5}, "x.ckpt")
    for key, value in (("kind", "dct"), ("whitening", 1.0), ("sha256", "b" * 64)):
        stored = {"kind": "learned", "latent_channels": 16, "whitening": 0.5, key: value}
        with pytest.raises(ValueError, match=rf"x\.ckpt was trained with codec\.{key}="):
            check_same_codec(now, stored, "x.ckpt")


def test_what_holds_no_codec_or_another_one_is_refused(small: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"there is no codec in .*none\.safetensors; train one"):
        build_codec(CodecConfig(kind="learned", path=str(tmp_path / "none.safetensors")))
    with pytest.raises(ValueError, match=r"has 4 latent channels, codec\.latent_channels says 16"):
        build_codec(replace(SHIPPED, path=str(small)))
    strange = tmp_path / "strange.safetensors"
    write_weights(strange, {"mean": torch.zeros(4), "weight": torch.zeros(3)})
    with pytest.raises(ValueError, match="does not hold a codec of this version"):
        build_codec(CodecConfig(kind="learned", path=str(strange)))


def test_settings_that_make_no_sense_for_it_are_refused():
    with pytest.raises(ValueError, match="tiling has no effect"):
        CodecConfig(kind="learned", tiling=True)
    with pytest.raises(ValueError, match="sha256 is only for kind 'learned'"):
        CodecConfig(kind="dct", sha256="a" * 64)
