import pytest
import torch
from torch import Tensor

from models.embeddings import TimestepEmbedding, spatial_positions, temporal_positions
from models.stdit import STDiT, STDiTConfig

XL2_PARAMETERS = 759_620_768


def golden_weight(key_index: int, shape: torch.Size) -> Tensor:
    i = torch.arange(shape.numel(), dtype=torch.float64)
    values = 0.05 * torch.sin(0.7 * i + 1.3 * key_index)
    values += 0.02 * torch.cos(0.013 * i * (key_index % 7 + 1))
    return values.to(torch.float32).reshape(shape)


@pytest.fixture
def golden_trunk(stdit_golden) -> STDiT:
    trunk = STDiT(
        STDiTConfig(
            dim=stdit_golden["hidden"],
            depth=stdit_golden["depth"],
            num_heads=stdit_golden["heads"],
            caption_dim=stdit_golden["caption_channels"],
            caption_length=stdit_golden["L"],
        )
    )
    state = trunk.state_dict()
    names = sorted([*state, "pos_embed", "pos_embed_temporal"])
    trunk.load_state_dict(
        {name: golden_weight(k, state[name].shape) for k, name in enumerate(names) if name in state}
    )
    return trunk


@pytest.fixture
def golden_inputs(stdit_golden) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    frames, height, width = stdit_golden["input_size"]
    length, channels = stdit_golden["L"], stdit_golden["caption_channels"]
    x = torch.sin(0.11 * torch.arange(2 * 4 * frames * height * width, dtype=torch.float64))
    y = torch.cos(0.07 * torch.arange(2 * length * channels, dtype=torch.float64))
    mask = torch.zeros(2, length, dtype=torch.int64)
    mask[0, : length // 2] = 1
    mask[1, : length - 3] = 1
    return (
        x.float().reshape(2, 4, frames, height, width),
        torch.tensor([999, 37]),
        y.float().reshape(2, length, channels),
        mask,
    )


def near(found: Tensor, expected: list[float], tolerance: float = 1e-5) -> bool:
    return bool((found.flatten() - torch.tensor(expected)).abs().max() < tolerance)


def test_trunk_equals_open_sora_number_by_number(golden_trunk, golden_inputs, stdit_golden):
    latents, timesteps, caption, mask = golden_inputs
    out = golden_trunk(latents, timesteps, caption, mask)
    assert list(out.shape) == stdit_golden["out_shape"]
    assert near(out, stdit_golden["out"])
    unmasked = golden_trunk(latents, timesteps, caption)
    assert near(unmasked.flatten()[:64], stdit_golden["out_nomask_first64"])


def test_intermediate_values_equal_open_sora(golden_trunk, golden_inputs, stdit_golden):
    latents, timesteps, caption, mask = golden_inputs
    expected = stdit_golden["intermediates_of_last_call_first16"]
    seen: dict[str, Tensor] = {}

    def keep(name):
        return lambda module, args, out: seen.update({name: out})

    golden_trunk.blocks[0].register_forward_hook(keep("block0"))
    golden_trunk.blocks[-1].register_forward_hook(keep("blocklast"))
    golden_trunk.t_embedder.register_forward_hook(keep("temb"))
    golden_trunk.t_block.register_forward_hook(keep("t6"))
    # the last call behind the file: guidance, row 0 with its caption and with the null caption
    null = golden_trunk.y_embedder.null_caption(1)
    golden_trunk(
        latents[:1].expand(2, -1, -1, -1, -1),
        timesteps[:1].expand(2),
        torch.cat([caption[:1], null]),
        mask[:1].expand(2, -1),
    )
    for name, values in expected.items():
        assert near(seen[name].flatten()[:16], values), name


def test_open_soras_guidance_comes_out_with_the_null_caption_under_the_prompts_mask(
    golden_trunk, golden_inputs, stdit_golden
):
    latents, timesteps, caption, mask = (tensor[:1] for tensor in golden_inputs)
    null = golden_trunk.y_embedder.null_caption(1)
    given = golden_trunk(latents, timesteps, caption, mask)
    dropped = golden_trunk(latents, timesteps, null, mask)
    guided = dropped + 7.0 * (given - dropped)  # Open-Sora guides the first three channels alone
    assert near(guided[0, 0].flatten()[:64], stdit_golden["cfg7_guided_first64"], 2e-5)
    assert near(dropped[0, 3].flatten()[:16], stdit_golden["cfg7_uncond_row_channel3_first16"])


def test_positions_equal_open_sora(stdit_golden):
    dim, cpu = stdit_golden["hidden"], torch.device("cpu")
    grid = spatial_positions(*stdit_golden["input_size"][1:], dim, 1.0, cpu)
    tokens = spatial_positions(4, 4, dim, 1.0, cpu)
    assert near(tokens[5, :8], stdit_golden["pos_embed_token5_first8"])
    assert near(tokens[5, dim // 2 :][:8], stdit_golden["pos_embed_token5_from_half_first8"])
    frames = temporal_positions(4, dim, 1.0, cpu)
    assert near(frames[2, :8], stdit_golden["pos_embed_temporal_t2_first8"])
    assert grid.shape == (64, dim)


def test_first_half_of_a_position_tells_the_column_and_the_second_the_row():
    grid = spatial_positions(3, 5, 16, 0.5, torch.device("cpu")).reshape(3, 5, 16)
    assert torch.equal(grid[0, :, :8], grid[2, :, :8])
    assert torch.equal(grid[:, 0, 8:], grid[:, 4, 8:])
    assert not torch.equal(grid[0, 0, :8], grid[0, 1, :8])
    angle = torch.tensor(4 / 0.5)
    assert torch.allclose(grid[0, 4, 0], angle.sin())
    assert torch.allclose(grid[0, 4, 4], angle.cos())


def test_positions_made_in_inference_mode_can_be_trained_with():
    with torch.inference_mode():
        grid = spatial_positions(5, 7, 12, 0.25, torch.device("cpu"))
        frames = temporal_positions(11, 12, 0.25, torch.device("cpu"))
    assert not grid.is_inference()
    assert not frames.is_inference()


def test_keys_and_shapes_at_xl2_are_those_of_the_published_checkpoints(trunk_keys):
    with torch.device("meta"):
        trunk = STDiT(STDiTConfig())
    assert {name: tuple(tensor.shape) for name, tensor in trunk.state_dict().items()} == trunk_keys
    assert sum(parameter.numel() for parameter in trunk.parameters()) == XL2_PARAMETERS


def test_null_caption_is_a_saved_buffer_and_no_parameter(tiny_trunk):
    trunk = STDiT(tiny_trunk)
    assert "y_embedder.y_embedding" in trunk.state_dict()
    assert "y_embedder.y_embedding" not in dict(trunk.named_parameters())


def test_batch_of_two_equals_two_batches_of_one(golden_trunk, golden_inputs):
    latents, timesteps, caption, mask = golden_inputs
    both = golden_trunk(latents, timesteps, caption, mask)
    for row in range(2):
        one = slice(row, row + 1)
        alone = golden_trunk(latents[one], timesteps[one], caption[one], mask[one])
        assert torch.allclose(alone, both[one], atol=1e-6)


@pytest.mark.parametrize("grid", [(1, 8, 8), (3, 4, 10), (7, 12, 2)])
def test_any_grid_and_any_number_of_channels_work(tiny_trunk, grid):
    config = STDiTConfig(
        in_channels=16,
        out_channels=32,
        dim=32,
        depth=2,
        num_heads=2,
        caption_dim=12,
        caption_length=6,
    )
    out = STDiT(config)(torch.randn(2, 16, *grid), torch.tensor([0, 5]), torch.randn(2, 6, 12))
    assert out.shape == (2, 32, *grid)


def test_latents_that_patches_do_not_divide_are_refused(tiny_trunk):
    with pytest.raises(ValueError, match=r"\(2, 7, 8\).*patches of \(1, 2, 2\)"):
        STDiT(tiny_trunk)(torch.randn(1, 4, 2, 7, 8), torch.tensor([0]), torch.randn(1, 6, 12))


def test_patches_of_several_frames_are_laid_back_where_they_came_from():
    config = STDiTConfig(
        dim=32, depth=2, num_heads=2, caption_dim=12, caption_length=6, patch_size=[2, 2, 2]
    )
    trunk = STDiT(config)
    latents = torch.randn(1, 4, 4, 4, 6)
    torch.nn.init.normal_(trunk.final_layer.linear.weight)
    out = trunk(latents, torch.tensor([3]), torch.randn(1, 6, 12))
    flat = trunk.x_embedder.proj(latents)
    tokens = trunk.x_embedder(latents)
    assert torch.equal(tokens[0, 1, 5], flat[0, :, 1, 1, 2])
    assert out.shape == (1, 8, 4, 4, 6)


def test_one_frame_takes_the_short_way_and_it_is_exact(golden_trunk):
    attention = golden_trunk.blocks[0].attn_temp
    x = torch.randn(2, 1, 5, 64)
    assert torch.allclose(attention.across_frames(x), full_attention(attention, x), atol=1e-6)


def full_attention(attention, x: Tensor) -> Tensor:
    """Temporal attention by its formula, softmax and all."""
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for head in range(attention.num_heads):
        part = slice(head * 16, head * 16 + 16)
        scores = torch.einsum("btsd,busd->bstu", q[..., part], k[..., part]) / 4.0
        heads.append(torch.einsum("bstu,busd->btsd", scores.softmax(dim=-1), v[..., part]))
    return attention.proj(torch.cat(heads, dim=-1))


def test_temporal_attention_equals_its_formula(golden_trunk):
    attention = golden_trunk.blocks[0].attn_temp
    x = torch.randn(2, 3, 5, 64)
    assert torch.allclose(attention.across_frames(x), full_attention(attention, x), atol=1e-6)


def test_neighbouring_timesteps_stay_distinct_under_bfloat16_autocast():
    embedding = TimestepEmbedding(32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vectors = embedding(torch.arange(1000))
    assert vectors.dtype == torch.float32
    assert len(torch.unique(vectors, dim=0)) == 1000


def test_sizes_that_cannot_be_built_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"num_heads \(5\).*not 32"):
        STDiTConfig(dim=32, num_heads=5)
    with pytest.raises(ValueError, match="depth must be positive, not 0"):
        STDiTConfig(depth=0)
    for patch in ([2, 2], [1, 2, 0], 2, "1,2,2"):
        with pytest.raises(ValueError, match="patch_size must be three whole numbers"):
            STDiTConfig(patch_size=patch)
