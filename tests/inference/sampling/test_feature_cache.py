from dataclasses import replace

import pytest
import torch

from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import sample_windows
from models.conditions import Conditions
from models.diffusion import DiffusionConfig
from models.stdit import STDiTConfig
from models.viton_dit import VitonDiTConfig

SIZE = (4, 6)
PLAIN = SamplerConfig(solver="dpm++", num_steps=6, guidance_scale=2.0)


@pytest.fixture
def system(build_system_with):
    trunk = STDiTConfig(
        in_channels=4, out_channels=8, dim=32, depth=4, num_heads=4, caption_dim=16,
        caption_length=3,
    )  # fmt: skip
    return build_system_with(
        network=VitonDiTConfig(trunk=trunk), diffusion=DiffusionConfig(prediction="velocity")
    )


def sample(system, config):
    generator = torch.Generator().manual_seed(1)
    control = torch.randn(1, 9, 3, *SIZE, generator=generator)
    control[:, 8] = 1
    with torch.no_grad():
        caption = system.network.encode_caption(*system.captions(1))
        garment = torch.randn(1, 4, 6, 4, generator=generator)
        features = system.network.encode_garment(garment, caption)
    conditions = Conditions(caption=caption, garment=features, control=control)
    return sample_windows(system, config, conditions, [[0, 1, 2]], SIZE, 3)


def count_calls(system, config):
    """How often each part runs in a walk: (ControlNet, first, middle, last block)."""
    network = system.network
    parts = [network.control, *(network.denoiser.blocks[i] for i in (0, 1, 3))]
    counts = [0] * len(parts)

    def counter(index):
        def count(*_):
            counts[index] += 1

        return count

    hooks = [part.register_forward_hook(counter(i)) for i, part in enumerate(parts)]
    painted = sample(system, config)
    for hook in hooks:
        hook.remove()
    return counts, painted


def test_nothing_is_reused_unless_asked_for(system):
    counts, plain = count_calls(system, PLAIN)
    assert counts == [6, 12, 12, 12]
    everything_anew = replace(PLAIN, reuse="blocks", reuse_every=1)
    assert torch.equal(sample(system, everything_anew), plain)


@pytest.mark.parametrize(
    ("reuse", "expected"), [("control", [4, 12, 12, 12]), ("blocks", [4, 12, 8, 12])]
)
def test_kept_features_save_the_calls_they_stand_for(system, reuse, expected):
    counts, painted = count_calls(system, replace(PLAIN, reuse=reuse, reuse_every=2))
    assert counts == expected  # fresh: steps 0, 2, 4, and the last
    plain = sample(system, PLAIN)
    change = float((painted - plain).abs().mean() / plain.abs().mean())
    assert 0 < change < 0.5


def test_kept_features_survive_steps_without_guidance(system):
    config = replace(PLAIN, reuse="blocks", reuse_every=6, guidance_interval=[0.5, 1.0])
    counts, painted = count_calls(system, config)
    assert painted.isfinite().all()
    # painted side: fresh at 0 and 5; null side, guided from step 3: computed whole at 3, and at 5
    assert counts == [2, 9, 4, 9]


def test_settings_out_of_range_name_the_value():
    with pytest.raises(ValueError, match="reuse is 'all'; one of none, control, blocks"):
        SamplerConfig(reuse="all")
    with pytest.raises(ValueError, match="reuse_every is 0"):
        SamplerConfig(reuse_every=0)
