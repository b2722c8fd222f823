"""Compares compiled blocks with eager ones and prints what it found, as JSON.

A process of its own: in the tests' process every function is wrapped to check shapes, and the
compiler cannot trace those wrappers.
"""

import json
import sys

import torch

from models.acceleration import checkpoint_blocks, compile_blocks
from models.conditions import Conditions
from models.stdit import STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig

TRUNK = STDiTConfig(dim=32, depth=4, num_heads=2, caption_dim=12, caption_length=6)


def build() -> VitonDiT:
    """A network all of whose branches speak."""
    torch.manual_seed(0)
    network = VitonDiT(VitonDiTConfig(trunk=TRUNK))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    return network


def make_conditions(network: VitonDiT) -> Conditions:
    """For a batch of two clips; the same at every call."""
    generator = torch.Generator().manual_seed(1)
    caption = network.encode_caption(torch.randn(1, 6, 12, generator=generator))
    garment = network.encode_garment(torch.randn(2, 4, 6, 4, generator=generator), caption)
    control = torch.randn(2, 9, 3, 8, 6, generator=generator)
    return Conditions(caption=caption, garment=garment, control=control)


def predict(network: VitonDiT, timestep: int, num_frames: int = 3) -> torch.Tensor:
    """What sampling does: projected conditions, no gradients."""
    generator = torch.Generator().manual_seed(timestep)
    latents = torch.randn(2, 4, 3, 8, 6, generator=generator)[:, :, :num_frames]
    with torch.no_grad():
        conditions = network.project(make_conditions(network))
        control = conditions.control[:, :, :num_frames]
        conditions = Conditions(
            caption=conditions.caption, garment=conditions.garment, control=control
        )
        return network(latents, torch.full((2,), timestep), conditions)


def gradients(network: VitonDiT) -> dict[str, torch.Tensor]:
    """What training does."""
    network.zero_grad()
    latents = torch.randn(2, 4, 3, 8, 6, generator=torch.Generator().manual_seed(2))
    prediction = network(latents, torch.tensor([999, 37]), make_conditions(network))
    prediction.square().mean().backward()
    return {name: value.grad.clone() for name, value in network.named_parameters()}


def main(backend: str) -> None:
    """Eager, compiled, compiled and recomputed."""
    network = build()
    eager, learned = predict(network, 500), gradients(network)
    names = list(network.state_dict())

    def largest_difference(others: dict[str, torch.Tensor]) -> float:
        return max(float((learned[name] - others[name]).abs().max()) for name in learned)

    found: dict[str, object] = {"num_blocks": compile_blocks(network, backend)}
    stats = torch._dynamo.utils.counters["stats"]
    found["sampling"] = float((predict(network, 500) - eager).abs().max())
    found["graphs_of_a_first_step"] = stats["unique_graphs"]
    for timestep in (900, 20, 0):
        predict(network, timestep)
    found["graphs_of_all_steps"] = stats["unique_graphs"]
    predict(network, 500, num_frames=1)
    found["graphs_with_another_shape"] = stats["unique_graphs"]
    predict(network, 300)
    found["graphs_back_at_the_first_shape"] = stats["unique_graphs"]
    if backend != "eager":  # there, recomputed blocks are the faster of two proofs
        found["training"] = largest_difference(gradients(network))
    found["names_stay"] = list(network.state_dict()) == names

    torch._dynamo.reset()
    network = build()
    checkpoint_blocks(network)
    compile_blocks(network, backend)
    found["recomputed"] = largest_difference(gradients(network))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
