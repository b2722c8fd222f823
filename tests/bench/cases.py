"""What is timed: sizes, networks with the same weights in both readings, and their inputs."""

import platform
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.codecs.vae import CodecConfig
from models.conditions import Conditions
from models.diffusion import DiffusionConfig
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.viton_dit import VitonDiT, VitonDiTConfig
from tests.plain.network import PlainVitonDit
from training.freezing import FreezeConfig, freeze, freeze_rule


@dataclass(frozen=True, kw_only=True)
class Size:
    """A network and a window; one clip at a time."""

    name: str
    dim: int
    depth: int
    num_heads: int
    caption_dim: int = 4096
    caption_length: int = 120
    frames: int
    height: int  # of the latents: pixels / 8
    width: int
    mlp_ratio: float = 4.0
    batch: int = field(default=1, init=False)

    @property
    def config(self) -> VitonDiTConfig:
        return VitonDiTConfig(
            trunk=STDiTConfig(
                dim=self.dim, depth=self.depth, num_heads=self.num_heads, mlp_ratio=self.mlp_ratio,
                caption_dim=self.caption_dim, caption_length=self.caption_length,
            )
        )  # fmt: skip


SIZES = {
    "toy": Size(name="toy", dim=32, depth=2, num_heads=2, frames=2, height=8, width=6,
                caption_dim=16, caption_length=4),
    "small": Size(name="small", dim=384, depth=8, num_heads=6, frames=8, height=32, width=24),
    "xl": Size(name="xl", dim=1152, depth=28, num_heads=16, frames=16, height=64, width=64),
}  # fmt: skip
"""small: 256 x 192 pixels, for CPUs; xl: XL/2 at 512 x 512 pixels, for one large GPU."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One window's; ``caption`` is raw, ``target`` what the prediction is compared with."""

    latents: Tensor
    timesteps: Tensor
    caption: Tensor
    garment: Tensor
    control: Tensor
    drop: Tensor
    target: Tensor


def build_system_of(size: Size, device: torch.device, *, velocity: bool = False) -> System:
    """Random weights, and none of the layers zero that training would start from zero."""
    torch.manual_seed(0)
    diffusion = DiffusionConfig(prediction="velocity" if velocity else "noise")
    with device:
        system = build_system(
            SystemConfig(
                network=size.config, codec=CodecConfig(kind="dct", latent_channels=4),
                diffusion=diffusion, height=8 * size.height, width=8 * size.width,
                num_frames=size.frames,
            )
        )  # fmt: skip
    fill_zeros(system.network)
    return system


@torch.no_grad()
def fill_zeros(network: nn.Module) -> None:
    """Small random weights where there are zeros, so that no branch is silent."""
    for parameter in network.parameters():
        if not parameter.any():
            parameter.normal_(std=0.02)


def build_plain(network: VitonDiT, device: torch.device) -> PlainVitonDit:
    """The plain reading with the same weights."""
    with device:
        plain = PlainVitonDit(network.config)
    plain.load_state_dict(network.state_dict())
    return plain


def build_inputs(size: Size, device: torch.device) -> Inputs:
    """Normal noise for all that is given."""
    draw = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(device)

    grid = (size.frames, size.height, size.width)
    return Inputs(
        latents=noise(1, 4, *grid),
        timesteps=torch.tensor([500], device=device),
        caption=noise(1, size.caption_length, size.caption_dim),
        garment=noise(1, 4, size.height, size.width),
        control=noise(1, 9, *grid),
        drop=torch.tensor([False], device=device),
        target=noise(1, 8, *grid),
    )


def learn_as_stage3(network: nn.Module) -> None:
    """All parameters but the denoiser's spatial self-attention (preset article)."""
    freeze(network, freeze_rule(FreezeConfig(), "stage3"))


def predict_ours(network: VitonDiT, inputs: Inputs, drop: Tensor | None = None) -> Tensor:
    """One training step's forward pass: caption and garment embedded, then everything else."""
    caption = network.encode_caption(inputs.caption)
    garment = network.encode_garment(inputs.garment, caption)
    conditions = Conditions(caption=caption, garment=garment, control=inputs.control, drop=drop)
    return network(inputs.latents, inputs.timesteps, conditions)


def predict_plain(network: PlainVitonDit, inputs: Inputs, drop: Tensor | None = None) -> Tensor:
    return network(
        inputs.latents, inputs.timesteps, inputs.caption,
        garment=inputs.garment, control=inputs.control, drop=drop,
    )  # fmt: skip


def describe_machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def describe_size(size: Size) -> dict[str, Any]:
    return asdict(size) | {"pixels": [8 * size.height, 8 * size.width]}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "CPU"
