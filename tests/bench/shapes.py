"""A few steps of training on moving shapes, so that sampled clips are more than noise."""

import time

import torch
from torch import Tensor
from torch.nn import functional as F

from models.codecs.vae import mask_to_latents
from models.conditions import Conditions
from models.system import System
from tests.bench.cases import Size


def draw_clip(size: Size, frames: int, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A striped disc that moves over a gradient: video, mask, pose picture, garment picture.

    Returns:
        (1, t, 3, h, w) in [-1, 1], (1, t, 1, h, w) with 1 = to be painted, as the first, and
        (1, 3, h, w).
    """
    draw = torch.Generator().manual_seed(number)
    height, width = 8 * size.height, 8 * size.width
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width)[None].expand(height, width)
    colour, ground = torch.rand(3, generator=draw) * 2 - 1, torch.rand(3, generator=draw) - 0.5
    centre, speed = torch.rand(2, generator=draw) * 0.6 - 0.3, torch.rand(2, generator=draw) - 0.5
    stripes = 0.5 + 0.5 * torch.sign(torch.sin(12 * y))
    cloth = colour[:, None, None] * stripes
    scene = ground[:, None, None] + 0.3 * torch.stack([x, y, -x])
    videos, masks, poses = [], [], []
    for frame in range(frames):
        cx, cy = centre + speed * frame / max(1, frames - 1)
        disc = ((x - cx).square() + (y - cy).square() < 0.25).float()
        box = ((x - cx).abs().maximum((y - cy).abs()) < 0.6).float()
        videos.append((disc * cloth + (1 - disc) * scene).clamp(-1, 1))
        masks.append(box[None])
        poses.append((2 * disc - 1).expand(3, -1, -1))
    stacked = (torch.stack(part)[None] for part in (videos, masks, poses))
    video, mask, pose = stacked
    return video, mask, pose, cloth[None]


def encode(system: System, clip: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    """Latents of the video, the control input and the garment's latents."""
    video, mask, pose, garment = (part.to(device) for part in clip)
    control, garment_latents = system.encode_conditions(video * (1 - mask), mask, pose, garment)
    assert mask_to_latents(mask).shape[-2:] == control.shape[-2:]
    return system.codec.encode(video), control, garment_latents


def fit(system: System, size: Size, device: torch.device, steps: int, limit_s: float) -> str:
    """Train all three networks on clips of at most two frames; says what was done."""
    network, diffusion = system.network, system.diffusion
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    frames = min(2, size.frames)
    losses: list[float] = []
    start = time.monotonic()
    draw = torch.Generator().manual_seed(0)
    for number in range(steps):
        if time.monotonic() - start > limit_s:
            break
        latents, control, garment = encode(system, draw_clip(size, frames, number), device)
        index = torch.randint(0, 1000, (1,), generator=draw).to(device)
        noise = torch.randn(latents.shape, generator=draw).to(device)
        caption = network.encode_caption(*system.captions(1))
        conditions = Conditions(
            caption=caption, garment=network.encode_garment(garment, caption), control=control
        )
        noisy = diffusion.q_sample(latents, index, noise)
        predicted = network(noisy, index, conditions)
        signal = diffusion.schedule.read("signal", index, latents)
        level = diffusion.schedule.read("noise", index, latents)
        loss = F.mse_loss(predicted[:, : latents.shape[1]], signal * noise - level * latents)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    network.requires_grad_(False)
    if not losses:
        return "weights are random"
    tail = losses[-10:]
    return (
        f"weights after {len(losses)} steps on moving shapes, velocity loss {losses[0]:.2f} ->"
        f" {sum(tail) / len(tail):.2f} (mean of the last {len(tail)}): hardly trained"
    )
