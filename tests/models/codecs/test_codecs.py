import json

import pytest
import torch
from torch import Tensor

from models.codecs.dct import DctCodec, coefficient_std, filters
from models.codecs.vae import Codec, CodecConfig, build_codec, codec_identity, mask_to_latents
from tests.codec_fixtures import write_tiny_vae


@pytest.fixture
def picture() -> Tensor:
    """A smooth colourful video with an edge, (2 3 3 32 24), in [-1, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 24), indexing="ij")
    frames = []
    for shift in range(6):
        red = torch.sin(4 * x + 0.3 * shift)
        green = torch.cos(3 * y - 0.2 * shift)
        blue = torch.where(x + y > 0.9, 0.8, -0.7)
        frames.append(torch.stack([red, green, blue]))
    return torch.stack(frames).reshape(2, 3, 3, 32, 24)


def psnr(one: Tensor, other: Tensor) -> float:
    return float(10 * torch.log10(4 / (one - other).square().mean()))


def test_all_coefficients_give_back_the_video(picture):
    codec = DctCodec(192)
    assert (codec.decode(codec.encode(picture)) - picture).abs().max() < 1e-4


def test_filters_are_orthonormal():
    kernels, _ = filters()
    flat = kernels.reshape(192, 192)
    assert torch.allclose(flat @ flat.T, torch.eye(192, dtype=torch.float64), atol=1e-12)


def test_more_channels_are_never_worse(picture):
    quality = []
    for channels in (4, 16, 24, 48, 96):
        codec = DctCodec(channels)
        quality.append(psnr(codec.decode(codec.encode(picture)), picture))
    assert quality == sorted(quality)
    assert quality[1] > 20


def test_expected_variance_falls_along_the_channels_and_colour_is_among_the_first_five():
    _, stds = filters()
    assert torch.equal(stds, stds.sort(descending=True).values)
    codec = DctCodec(5)
    reds = torch.tensor([0.9, -0.9, -0.9])[:, None, None].expand(3, 8, 8)
    video = codec.decode(codec.encode(reds[None, None]))
    assert torch.allclose(video, reds[None, None], atol=1e-4)
    assert coefficient_std(0, 0, 1) > coefficient_std(0, 1, 1) > coefficient_std(1, 1, 1)


def test_gray_is_latent_zero():
    assert not DctCodec(16).encode(torch.zeros(1, 1, 3, 16, 8)).any()


def test_a_block_is_one_latent_and_nothing_leaks_to_its_neighbours():
    video = torch.zeros(1, 1, 3, 24, 24)
    video[..., 8:16, 16:24] = 0.5
    latents = DctCodec(16).encode(video)
    assert latents.shape == (1, 16, 1, 3, 3)
    assert latents[0, :, 0, 1, 2].any()
    latents[0, :, 0, 1, 2] = 0
    assert not latents.any()


def test_images_and_videos_are_encoded_alike(picture):
    codec = DctCodec(16)
    assert torch.equal(codec.encode_images(picture[:, 1]), codec.encode(picture)[:, :, 1])


def test_autocast_does_not_coarsen_the_codec(picture):
    codec = DctCodec(16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(codec.encode(picture), codec.encode(picture).float())
        rough = codec.decode(codec.encode(picture))
    assert torch.equal(rough, codec.decode(codec.encode(picture)))


def test_decoded_video_stays_in_range():
    assert DctCodec(16).decode(100 * torch.randn(1, 16, 1, 2, 2)).abs().max() == 1.0


def test_the_dct_has_no_weights_to_save():
    assert not DctCodec(16).state_dict()


def test_what_no_dct_can_do_is_refused():
    with pytest.raises(ValueError, match="4 to 192 channels, not 3"):
        DctCodec(3)
    with pytest.raises(ValueError, match=r"multiples of 8, not \(20, 16\)"):
        DctCodec(4).encode(torch.zeros(1, 1, 3, 20, 16))


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_whitening_moves_variance_between_channels_and_loses_nothing(picture, whitening):
    codec = DctCodec(192, whitening)
    latents = codec.encode(picture)
    assert (codec.decode(latents) - picture).abs().max() < 1e-4
    plain = DctCodec(192).encode(picture)
    _, stds = filters()
    expected = (stds ** (1 - whitening)).float()
    expected = expected / expected.square().mean().sqrt()
    assert torch.allclose(latents, plain * expected[:, None, None, None], rtol=1e-4, atol=1e-5)


def test_whitening_is_part_of_what_a_codec_is_known_by():
    half = CodecConfig(kind="dct", latent_channels=16, whitening=0.5)
    assert build_codec(half).name == "dct16-w0.5"
    assert codec_identity(half) != codec_identity(CodecConfig(kind="dct", latent_channels=16))
    with pytest.raises(ValueError, match="between 0 and 1, not 2"):
        CodecConfig(kind="dct", whitening=2.0)
    with pytest.raises(ValueError, match="only for kind 'dct'"):
        CodecConfig(kind="kl", whitening=0.5)


def test_a_latent_is_painted_if_any_of_its_pixels_is():
    mask = torch.zeros(1, 2, 1, 16, 24)
    mask[0, 1, 0, 7, 8] = 1.0
    expected = torch.zeros(1, 1, 2, 2, 3)
    expected[0, 0, 1, 0, 1] = 1.0
    assert torch.equal(mask_to_latents(mask), expected)


@pytest.fixture
def autoencoder_folder(tmp_path):
    return write_tiny_vae(tmp_path / "tiny-vae")


def test_an_autoencoder_from_a_folder_encodes_scaled_means_and_decodes(autoencoder_folder, picture):
    codec = build_codec(CodecConfig(kind="kl", path=str(autoencoder_folder), frames_per_call=4))
    latents = codec.encode(picture)
    assert isinstance(codec, Codec)
    assert (codec.name, codec.latent_channels, codec.factor) == ("kl:tiny-vae", 4, 8)
    assert latents.shape == (2, 4, 3, 4, 3)
    means = codec.autoencoder.encode(picture[1]).latent_dist.mean
    assert torch.allclose(latents[1].transpose(0, 1), 0.18215 * means, atol=1e-5)
    assert torch.allclose(codec.encode_images(picture[:, 2]), latents[:, :, 2], atol=1e-5)
    video = codec.decode(latents)
    by_hand = codec.autoencoder.decode(latents[1].transpose(0, 1) / 0.18215).sample
    assert torch.allclose(video[1], by_hand.clamp(-1, 1), atol=1e-5)
    assert not any(parameter.requires_grad for parameter in codec.parameters())


def test_an_autoencoder_in_bfloat16_is_near_float32_and_gives_float32(autoencoder_folder, picture):
    exact = build_codec(CodecConfig(kind="kl", path=str(autoencoder_folder)))
    rough = build_codec(CodecConfig(path=str(autoencoder_folder), precision="bfloat16"))
    latents = exact.encode(picture)
    assert rough.encode(picture).dtype == torch.float32
    assert not torch.equal(rough.encode(picture), latents)
    for found, wanted in (
        (rough.encode(picture), latents),
        (rough.decode(latents), exact.decode(latents)),
    ):
        assert (found - wanted).abs().mean() < 0.05 * wanted.abs().mean()


def test_an_autoencoder_that_overflows_in_bfloat16_goes_on_in_float32_and_says_so(
    autoencoder_folder, picture, caplog
):
    exact = build_codec(CodecConfig(path=str(autoencoder_folder)))
    rough = build_codec(CodecConfig(path=str(autoencoder_folder), precision="bfloat16"))
    beyond_bfloat16 = 3.4e38  # finite in float32, infinite when rounded to bfloat16
    for codec in (exact, rough):
        codec.autoencoder.decoder.conv_out.bias.data[0] = beyond_bfloat16
    latents = exact.encode(picture)
    assert torch.equal(rough.decode(latents), exact.decode(latents))
    assert not rough.uses_bfloat16
    assert "kl:tiny-vae overflows in bfloat16; from here on" in caplog.text
    rough.uses_bfloat16 = True
    assert rough.decode(latents * float("nan")).isnan().any()  # broken input is no overflow
    assert rough.uses_bfloat16


def test_large_frames_are_decoded_in_blended_tiles_and_encoding_is_never_tiled(
    autoencoder_folder,
):
    whole = build_codec(CodecConfig(path=str(autoencoder_folder)))
    tiled = build_codec(CodecConfig(path=str(autoencoder_folder), tiling=True))
    tiled.autoencoder.tile_sample_min_size, tiled.autoencoder.tile_latent_min_size = 32, 4
    tile_sizes = []
    tiled.autoencoder.decoder.register_forward_hook(
        lambda module, args, out: tile_sizes.append(tuple(args[0].shape[2:]))
    )
    ramp = torch.linspace(-1, 1, 64).expand(1, 2, 3, 48, 64).contiguous()
    latents = whole.encode(ramp)
    assert torch.equal(tiled.encode(ramp), latents)
    decoded = tiled.decode(latents)
    assert max(tile_sizes) <= (4, 4)
    assert len(tile_sizes) > 2
    assert decoded.shape == ramp.shape
    frames = latents[0].transpose(0, 1) / 0.18215
    blended = tiled.autoencoder.tiled_decode(frames).sample.clamp(-1, 1)
    assert torch.allclose(decoded[0], blended, atol=1e-5)
    small = latents[..., :4, :4]  # one tile holds it: nothing is cut
    assert torch.allclose(tiled.decode(small), whole.decode(small), atol=1e-6)
    assert not tiled.autoencoder.use_tiling


def test_an_autoencoder_with_other_latents_than_configured_is_refused(autoencoder_folder):
    with pytest.raises(ValueError, match=r"4 latent channels, codec\.latent_channels says 8"):
        build_codec(CodecConfig(kind="kl", path=str(autoencoder_folder), latent_channels=8))


def test_a_folder_without_safetensors_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.safetensors is missing"):
        build_codec(CodecConfig(kind="kl", path=str(tmp_path)))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"codec\.path must name the folder"):
        build_codec(CodecConfig(kind="kl"))
    with pytest.raises(ValueError, match=r"kind must be one of.*'vq'"):
        CodecConfig(kind="vq")
    with pytest.raises(ValueError, match="path must be empty"):
        CodecConfig(kind="dct", path="somewhere")
    with pytest.raises(ValueError, match="tiling has no effect"):
        CodecConfig(kind="dct", tiling=True)


def test_the_dct_is_a_codec_by_the_same_interface():
    codec = build_codec(CodecConfig(kind="dct", latent_channels=16))
    assert isinstance(codec, Codec)
    assert (codec.name, codec.latent_channels, codec.factor) == ("dct16", 16, 8)
