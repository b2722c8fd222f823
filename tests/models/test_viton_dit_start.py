"""The three networks before training: what is copied, what is zero, what the first steps reach."""

from dataclasses import replace

import pytest
import torch

from models.viton_dit import VitonDiT, VitonDiTConfig


def test_zero_initialised_fusion_and_control_leave_the_trunk_bit_identical(
    tiny_trunk, shake, make_conditions, raw_caption, noisy
):
    torch.manual_seed(0)
    network = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    shake(network.denoiser)
    network.initialise_from_trunk()
    conditions = make_conditions(network)
    bare = network.denoiser(*noisy, *raw_caption)
    assert bare.abs().max() > 0.1
    assert torch.equal(network(*noisy, conditions), bare)


def test_fresh_networks_start_as_their_trunk(tiny_trunk, make_conditions, raw_caption, noisy):
    network = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    torch.nn.init.normal_(network.denoiser.final_layer.linear.weight)
    conditions = make_conditions(network)
    bare = network.denoiser(*noisy, *raw_caption)
    assert torch.equal(network(*noisy, conditions), bare)


def test_every_parameter_learns_within_a_few_steps(tiny_trunk, make_conditions, noisy):
    torch.manual_seed(0)
    network = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    network.initialise_from_trunk()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    target = torch.randn(2, 8, 3, 8, 6)
    for _ in range(6):
        optimizer.zero_grad()
        conditions = replace(make_conditions(network), drop=torch.tensor([True, False]))
        (network(*noisy, conditions) - target).square().mean().backward()
        optimizer.step()
        unused = [name for name, value in network.named_parameters() if value.grad is None]
        assert not unused  # at every step: DistributedDataParallel stops at the first such one
    still = [name for name, value in network.named_parameters() if not value.grad.any()]
    assert not still


def test_the_first_step_reaches_only_the_zero_projection_of_the_garment_path(
    tiny_trunk, shake, make_conditions, noisy
):
    network = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    shake(network.denoiser)
    network.initialise_from_trunk()
    network(*noisy, make_conditions(network)).square().mean().backward()
    assert all(block.fusion.proj.weight.grad.any() for block in network.denoiser.blocks)
    assert not any(value.grad.any() for value in network.garment.parameters())


def test_initialisation_copies_the_trunk_as_its_table_says(tiny):
    tiny.initialise_from_trunk()
    trunk, garment, control = tiny.denoiser, tiny.garment, tiny.control
    assert torch.equal(garment.x_embedder.proj.weight, trunk.x_embedder.proj.weight)
    for index, block in enumerate(garment.blocks):
        source = trunk.blocks[index].state_dict()
        copied = block.state_dict()
        assert {name for name in source if name not in copied} == {
            name for name in source if name.startswith(("attn_temp.", "fusion."))
        }
        assert all(torch.equal(copied[name], source[name]) for name in copied)
    for index, block in enumerate(control.blocks):
        source = trunk.blocks[index].state_dict()
        for name, value in block.state_dict().items():
            assert torch.equal(value, source[name]), name
    for block in (*trunk.blocks, *control.blocks):
        assert torch.equal(block.fusion.q_linear.weight, block.attn.qkv.weight[:32])
        assert torch.equal(block.fusion.kv_linear.bias, block.attn.qkv.bias[32:])
        assert not block.fusion.proj.weight.any()
    assert not control.input_projection.weight.any()
    assert control.condition_embedder.proj.weight.any()


def test_control_added_to_a_learned_garment_part_takes_its_fusion_over_and_changes_nothing(
    tiny, make_conditions, noisy
):
    conditions = make_conditions(tiny)
    before = tiny(*noisy, replace(conditions, control=None))
    tiny.initialise_from_trunk(["control"])
    assert torch.equal(tiny(*noisy, conditions), before)
    learned = tiny.denoiser.blocks[1].fusion.proj.weight
    assert learned.any()
    assert torch.equal(tiny.control.blocks[1].fusion.proj.weight, learned)
    with pytest.raises(ValueError, match="'denoiser'"):
        tiny.initialise_from_trunk(["denoiser"])


def test_a_copied_control_net_walks_the_denoisers_first_blocks_until_its_input_learns(
    tiny, make_conditions, noisy
):
    conditions = make_conditions(tiny)
    tiny.initialise_from_trunk(["control"])
    for output in tiny.control.output_projections:
        torch.nn.init.eye_(output.weight)
    seen = []
    for block in tiny.denoiser.blocks:
        block.register_forward_hook(lambda module, args, out: seen.append(out))
    tiny(*noisy, replace(conditions, control=None))
    residuals = tiny.control_residuals(*noisy, conditions)
    for residual, tokens in zip(residuals, seen[:2], strict=True):
        assert torch.allclose(residual, tokens, atol=1e-5)
    torch.nn.init.eye_(tiny.control.input_projection.weight)
    assert not torch.allclose(tiny.control_residuals(*noisy, conditions)[0], seen[0], atol=1e-2)


def test_copies_are_no_aliases_of_the_trunk(tiny):
    tiny.initialise_from_trunk()
    before = tiny.control.blocks[0].attn.qkv.weight.clone()
    with torch.no_grad():
        tiny.denoiser.blocks[0].attn.qkv.weight.zero_()
    assert torch.equal(tiny.control.blocks[0].attn.qkv.weight, before)
