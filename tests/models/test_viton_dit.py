from dataclasses import replace

import pytest
import torch

from models.conditions import Conditions
from models.stdit import STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig


def test_garment_control_caption_and_timestep_all_change_the_prediction(
    tiny, make_conditions, raw_caption, noisy
):
    latents, timesteps = noisy
    conditions = make_conditions(tiny)
    other_caption = tiny.encode_caption(-raw_caption[0], raw_caption[1])
    full = tiny(latents, timesteps, conditions)
    others = {
        "no garment": tiny(latents, timesteps, replace(conditions, garment=None)),
        "no control": tiny(latents, timesteps, replace(conditions, control=None)),
        "caption": tiny(latents, timesteps, replace(conditions, caption=other_caption)),
        "no mask": tiny(
            latents, timesteps, replace(conditions, caption=replace(conditions.caption, mask=None))
        ),
        "timestep": tiny(latents, timesteps - 1, conditions),
    }
    for name, other in others.items():
        assert not torch.allclose(full, other, atol=1e-4), name


def test_batch_of_two_equals_two_batches_of_one(tiny, make_conditions, raw_caption, noisy):
    latents, timesteps = noisy
    conditions = make_conditions(tiny)
    both = tiny(latents, timesteps, conditions)
    for row in range(2):
        alone = tiny(
            latents[[row]],
            timesteps[[row]],
            Conditions(
                caption=tiny.encode_caption(*(side[[row]] for side in raw_caption)),
                garment=conditions.garment.rows(torch.tensor([row])),
                control=conditions.control[[row]],
            ),
        )
        assert torch.allclose(alone, both[[row]], atol=1e-6)


def test_keys_and_values_made_once_give_the_same_prediction(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    projected = tiny.project(conditions)
    assert torch.equal(tiny(*noisy, projected), tiny(*noisy, conditions))
    made = []
    for block in (*tiny.denoiser.blocks, *tiny.control.blocks):
        for module in (block.cross_attn, block.fusion):
            module.kv_linear.register_forward_hook(lambda *_: made.append(1))
    tiny(*noisy, projected)
    assert not made  # nothing is projected again at a step
    with pytest.raises(ValueError, match="drop"):
        tiny.project(replace(conditions, drop=torch.tensor([True, False])))


def test_one_garment_serves_a_whole_batch(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    first = conditions.garment.rows(torch.tensor([0]))
    repeated = conditions.garment.rows(torch.tensor([0, 0]))
    assert first.batch_size == 1
    # other shapes may be summed in another order, so close and not equal
    assert torch.allclose(
        tiny(*noisy, replace(conditions, garment=first)),
        tiny(*noisy, replace(conditions, garment=repeated)),
        atol=1e-6,
    )


def test_garment_attention_equals_its_definition_with_keys_repeated_over_time(tiny):
    fusion = tiny.denoiser.blocks[1].fusion
    queries, hidden = torch.randn(2, 3, 12, 32), torch.randn(2, 6, 32)
    at_once = fusion(queries.reshape(2, 36, 32), fusion.keys_values(hidden)).reshape(2, 3, 12, 32)
    for frame in range(3):
        alone = fusion(queries[:, frame], fusion.keys_values(hidden))
        assert torch.allclose(at_once[:, frame], alone, atol=1e-6)


def test_extractor_has_a_tap_for_every_block_and_one_block_less(tiny, make_conditions):
    features = make_conditions(tiny).garment
    assert len(features.hidden) == 4
    assert len(tiny.garment.blocks) == 3
    assert all(block.attn_temp is None for block in tiny.garment.blocks)
    for hidden in features.hidden:
        assert torch.allclose(hidden.mean(dim=-1), torch.zeros(()), atol=1e-5)
        assert torch.allclose(hidden.std(dim=-1, unbiased=False), torch.ones(()), atol=1e-3)


def test_extractor_runs_at_timestep_zero_whatever_the_video_does(tiny, raw_caption):
    caption = raw_caption[0]
    latents = torch.randn(2, 4, 6, 4)
    by_hand = tiny.garment(
        latents,
        tiny.denoiser.grid_positions(latents[:, :, None]),
        tiny.denoiser.y_embedder(caption),
        tiny.denoiser.embed_timesteps(torch.zeros(2, 1, dtype=torch.int64))[1],
    )
    found = tiny.encode_garment(latents, tiny.encode_caption(caption))
    assert all(map(torch.equal, found.hidden, by_hand.hidden))


def test_known_frames_can_be_modulated_with_timestep_zero(tiny, make_conditions, noisy):
    latents, timesteps = noisy
    known = torch.tensor([[True, False, False], [False, False, False]])
    conditions = replace(make_conditions(tiny), known=known)
    ignored = tiny(latents, timesteps, conditions)
    assert torch.equal(ignored, tiny(latents, timesteps, replace(conditions, known=None)))
    tiny.config = replace(tiny.config, known_frames="control+timestep")
    flagged = tiny(latents, timesteps, conditions)
    assert not torch.allclose(flagged[0], ignored[0], atol=1e-4)
    assert torch.allclose(flagged[1], ignored[1], atol=1e-6)
    everything = replace(conditions, known=torch.ones_like(known))
    at_zero = tiny(latents, torch.zeros_like(timesteps), conditions)
    assert torch.allclose(tiny(latents, timesteps, everything), at_zero, atol=1e-5)


def test_residuals_join_the_output_of_the_block_of_their_number(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    entered = []
    for block in tiny.denoiser.blocks:
        block.register_forward_hook(lambda module, args, out: entered.append((args[0], out)))
    residuals = tiny.control_residuals(*noisy, conditions)
    tiny(*noisy, conditions, residuals)
    for index, following in enumerate(entered[1:]):
        left = entered[index][1]
        expected = left + residuals[index] if index < 2 else left
        assert torch.equal(following[0], expected)


def test_images_are_clips_of_one_frame(tiny, make_conditions, noisy):
    latents, timesteps = noisy
    conditions = make_conditions(tiny)
    single = replace(conditions, control=conditions.control[:, :, :1])
    assert tiny(latents[:, :, :1], timesteps, single).shape == (2, 8, 1, 8, 6)


def test_bfloat16_autocast_stays_near_float32(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    exact = tiny(*noisy, conditions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = tiny(*noisy, conditions)
    assert (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_weights_in_bfloat16_take_inputs_in_float32(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    exact = tiny(*noisy, conditions)
    tiny.to(torch.bfloat16)
    conditions = make_conditions(tiny, drop=torch.tensor([False, False]))
    rough = tiny(*noisy, conditions)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_full_size_counts_its_parameters_where_they_are():
    with torch.device("meta"):
        network = VitonDiT(VitonDiTConfig())

    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    fusion = sum(count(block.fusion) for block in network.denoiser.blocks)
    assert count(network.denoiser) - fusion == 759_620_768
    assert len(network.control.blocks) == 14
    assert len(network.garment.blocks) == 27
    assert 1.9e9 < count(network) < 2.0e9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"control_depth": 5}, r"control_depth.*\(4\), not 5"),
        ({"known_frames": "flag"}, "known_frames.*'flag'"),
        ({"null_mask": "none"}, "null_mask.*'none'"),
        (
            {"fusion": "none"},
            r"fusion must be one of .*, not 'none'",
        ),
        ({"trunk": STDiTConfig(patch_size=[2, 2, 2])}, "patch_size"),
    ],
)
def test_settings_out_of_range_are_refused(tiny_trunk, fields, message):
    with pytest.raises(ValueError, match=message):
        VitonDiTConfig(**{"trunk": tiny_trunk, **fields})
