"""Part "places": what it costs to read the garment at places, beside attention to all of it."""

from dataclasses import replace

import torch
from torch import Tensor

from models.conditions import Conditions
from models.places import NUM_GROUPS, OUTLINE
from models.viton_dit import VitonDiT
from tests.bench.cases import Inputs, Size, build_inputs, fill_zeros, learn_as_stage3
from tests.bench.networks import NAMES, autocast
from tests.bench.table import Book, Row
from tests.bench.timing import interleave

MOST = 0.05
"""Of a step, that places may cost more."""


def build_networks(size: Size, device: torch.device) -> dict[str, VitonDiT]:
    """One network for each fusion; every part of the body has places, random ones."""
    found: dict[str, VitonDiT] = {}
    for fusion in ("attention", "places"):
        torch.manual_seed(0)
        with device:
            found[fusion] = VitonDiT(replace(size.config, fusion=fusion))
        fill_zeros(found[fusion])
        learn_as_stage3(found[fusion])
    estimator = found["places"].garment.places
    assert estimator is not None
    estimator.fitted.fill_(1)
    estimator.weights.normal_(std=0.2)
    return found


def predict(network: VitonDiT, inputs: Inputs) -> Tensor:
    """A training step's forward pass; the body and the garment's outline are used by places."""
    frames, height, width = inputs.latents.shape[2:]
    draw = torch.Generator().manual_seed(3)
    body = torch.rand(1, 4, frames, height, width, generator=draw)
    body[:, 0] = (body[:, 0] * (NUM_GROUPS + 1)).floor()
    outline = torch.rand(1, *OUTLINE, generator=draw).to(inputs.latents.device)
    caption = network.encode_caption(inputs.caption)
    garment = network.encode_garment(inputs.garment, caption, outline)
    conditions = Conditions(
        caption=caption, garment=garment, control=inputs.control, drop=inputs.drop,
        body=body.to(inputs.latents.device),
    )  # fmt: skip
    return network(inputs.latents, inputs.timesteps, conditions)


def run_places(book: Book, size: Size, device: torch.device, repeats: int) -> None:
    """Rows "places": s with places, plain s with attention alone, both ours, in turn."""
    names = NAMES if device.type == "cpu" else NAMES[:1]  # full size, without recomputation
    if book.has("places", *names):
        return
    networks, inputs = build_networks(size, device), build_inputs(size, device)

    def forward(fusion: str) -> None:
        with torch.no_grad(), autocast(device):
            predict(networks[fusion], inputs)

    def both(fusion: str) -> None:
        with autocast(device):
            out = predict(networks[fusion], inputs)
        (out.float() - inputs.target).square().mean().backward()

    for name, run in zip(names, (forward, both), strict=False):
        taken = interleave(
            {"ours": lambda run=run: run("places"), "plain": lambda run=run: run("attention")},
            repeats,
        )
        places, attention = taken["ours"], taken["plain"]
        spreads = [side.spread for side in (places, attention) if side.spread is not None]
        book.add(
            Row(
                part="places", name=name, seconds=places.median, plain_seconds=attention.median,
                spread=max(spreads, default=None), ratio=attention.median / places.median,
                target=round(1 / (1 + MOST), 2),
                note="plain: the same network with fusion attention",
            )
        )  # fmt: skip
