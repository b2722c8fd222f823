from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from configs.loading import from_plain, to_plain
from models.codecs.dct import DctCodec
from models.codecs.vae import CodecConfig
from models.conditions import Conditions
from models.embeddings import CaptionEmbedding
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.text import CaptionConfig, build_captions, save_caption
from models.viton_dit import VitonDiTConfig

TRUNK = STDiTConfig(
    in_channels=16, out_channels=32, dim=32, depth=2, num_heads=2, caption_dim=12, caption_length=6
)
SMALL = SystemConfig(
    network=VitonDiTConfig(trunk=TRUNK),
    codec=CodecConfig(kind="dct", latent_channels=16),
    height=32,
    width=48,
    num_frames=3,
)


@pytest.fixture
def system() -> System:
    torch.manual_seed(0)
    return build_system(SMALL)


def test_pixels_become_conditions_that_the_network_takes(system):
    video = torch.rand(2, 3, 3, 32, 48) * 2 - 1
    mask = torch.zeros(2, 3, 1, 32, 48)
    mask[:, 1:, :, 8:24] = 1.0
    agnostic = torch.where(mask > 0.5, 0.0, video)
    densepose, garment = -video, torch.rand(2, 3, 16, 32) * 2 - 1
    control, garment_latents = system.encode_conditions(agnostic, mask, densepose, garment)
    codec = DctCodec(16)
    assert control.shape == (2, 33, 3, 4, 6)
    assert torch.equal(control[:, :16], codec.encode(agnostic))
    assert torch.equal(control[:, 16:32], codec.encode(densepose))
    assert control[:, 32, 1].unique(dim=-1).tolist() == [[[0.0], [1.0], [1.0], [0.0]]] * 2
    assert not control[:, 32, 0].any()
    caption = system.network.encode_caption(*system.captions(2))
    conditions = Conditions(
        caption=caption,
        garment=system.network.encode_garment(garment_latents, caption),
        control=control,
    )
    latents = torch.randn(2, *system.config.latent_shape)
    assert system.network(latents, torch.tensor([7, 9]), conditions).shape == (2, 32, 3, 4, 6)


def test_null_caption_is_the_networks_own_even_after_loading_another(system):
    caption, mask = system.captions(3)
    assert mask is None
    assert caption.shape == (3, 6, 12)
    system.network.denoiser.y_embedder.y_embedding.fill_(2.0)
    assert torch.equal(system.captions()[0], torch.full((1, 6, 12), 2.0))


def test_a_caption_from_a_file_is_padded_to_the_networks_length(tmp_path):
    embedder = CaptionEmbedding(12, 6, 32)
    written = torch.randn(4, 12)
    save_caption(tmp_path / "caption.safetensors", written, torch.tensor([1, 1, 1, 0]).bool())
    config = CaptionConfig(kind="file", path=str(tmp_path / "caption.safetensors"))
    caption, mask = build_captions(config, embedder)(2)
    assert torch.equal(caption[1, :4], written)
    assert not caption[:, 4:].any()
    assert mask.tolist() == [[True, True, True, False, False, False]] * 2


def test_caption_files_that_do_not_fit_are_refused_in_a_sentence(tmp_path):
    embedder = CaptionEmbedding(12, 6, 32)

    def build(name: str) -> None:
        build_captions(CaptionConfig(kind="file", path=str(tmp_path / name)), embedder)

    with pytest.raises(ValueError, match="absent does not exist"):
        build("absent")
    (tmp_path / "text").write_text("a dancing person")
    with pytest.raises(ValueError, match="not a safetensors file"):
        build("text")
    save_caption(tmp_path / "long", torch.zeros(7, 12))
    with pytest.raises(ValueError, match=r"\(7, 12\).*at most 6 tokens of width 12"):
        build("long")
    save_file({"embedding": torch.zeros(2, 12)}, tmp_path / "other")
    with pytest.raises(ValueError, match="no 'caption', only"):
        build("other")
    save_caption(tmp_path / "empty", torch.zeros(2, 12), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least one"):
        build("empty")
    with pytest.raises(ValueError, match="path belongs to kind 'file'"):
        CaptionConfig(kind="file")


def test_a_stored_config_comes_back_equal():
    assert from_plain(SystemConfig, to_plain(SMALL), "a checkpoint") == SMALL


def test_a_patch_given_as_a_tuple_is_the_same_config():
    assert replace(TRUNK, patch_size=(1, 2, 2)) == TRUNK


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 40}, "height must be a positive multiple of 16, not 40"),
        ({"num_frames": 0}, "num_frames"),
        ({"codec": CodecConfig(kind="dct", latent_channels=8)}, r"\(16\).*\(8\)"),
        (
            {"network": VitonDiTConfig(trunk=replace(TRUNK, out_channels=16))},
            "out_channels must be 32",
        ),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
