"""Train a network that sees less of the garment, to measure the value of attention to all of it.

    python -m training.experiments.fusion_variants CONFIG.yaml system.network.fusion=none [...]

This is ``training.fit``, but ``system.network.fusion`` may also be ``concatenation`` (each position
of a frame sees only the same position of the garment's picture), ``embedding`` (one vector per
block, the mean over the garment's positions) or ``none`` (that vector is zero). Weights and their
names are those of ``models/viton_dit.py``; hooks alter what the blocks attend to.

The setting is stored in the run's checkpoints. ``training.experiments.judge`` builds the variant
from it; every other command rejects such a checkpoint, because it would build plain attention.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from configs.command import run_command
from configs.loading import from_plain
from models.attention import Attended
from models.blocks import FUSIONS, STBlock
from models.conditions import GarmentFeatures
from models.system import System, SystemConfig, build_system
from models.viton_dit import VitonDiT, VitonDiTConfig
from training import fit
from training.config import TrainConfig

VARIANTS = ("attention", "places", "concatenation", "embedding", "none")


@dataclass(frozen=True, kw_only=True)
class VariantNetworkConfig(VitonDiTConfig):
    """A network's settings with ``fusion`` one of ``VARIANTS``."""

    def __post_init__(self) -> None:
        if self.fusion not in VARIANTS:
            raise ValueError(f"fusion must be one of {VARIANTS}, not {self.fusion!r}")
        built = self.fusion if self.fusion in FUSIONS else "attention"
        VitonDiTConfig(**{**vars(self), "fusion": built})  # checks everything else


@dataclass(frozen=True, kw_only=True)
class VariantSystemConfig(SystemConfig):
    """``SystemConfig`` of such a network."""

    network: VariantNetworkConfig = field(default_factory=VariantNetworkConfig)


@dataclass(frozen=True, kw_only=True)
class VariantTrainConfig(TrainConfig):
    """``TrainConfig`` of such a network."""

    system: VariantSystemConfig = field(default_factory=VariantSystemConfig)


def build_variant(config: SystemConfig) -> System:
    """Build a system and alter its network by ``config.network.fusion``.

    Raises:
        ValueError: see ``build_system``.
    """
    system = build_system(config)
    apply_variant(system.network, config.network.fusion)
    return system


def build_stored_variant(system: dict[str, Any], where: str) -> System:
    """Build a checkpoint's ``system``, a variant or not.

    Raises:
        ConfigError: a system that does not fit this version.
        ValueError: see ``build_system``.
    """
    return build_variant(from_plain(VariantSystemConfig, system, where))


def apply_variant(network: VitonDiT, variant: str) -> None:
    """Restrict what the blocks of a network see of the garment.

    Args:
        network: denoiser, garment extractor and ControlNet.
        variant: one of ``VARIANTS``; "attention" changes nothing.
    """
    if variant == "concatenation":
        for block in network.modules():
            if isinstance(block, STBlock) and block.fusion is not None:
                block.register_forward_pre_hook(_check_grids, with_kwargs=True)
                block.fusion.register_forward_pre_hook(_mask_other_places)
    elif variant == "embedding":
        network.garment.register_forward_hook(_pool)
    elif variant == "none":
        network.garment.register_forward_hook(_pool_to_zero)


def _check_grids(block: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
    garment = options.get("garment")
    num_places = inputs[0].shape[2]
    if garment is not None and _num_places(garment) != num_places:
        raise ValueError(
            f"a garment of {_num_places(garment)} positions cannot be concatenated to frames of"
            f" {num_places}; both must have the same grid"
        )


def _mask_other_places(
    fusion: nn.Module, inputs: tuple[Tensor, Attended]
) -> tuple[Tensor, Attended, Tensor]:
    """Let each token of a window see only the garment token at its own position."""
    queries, garment = inputs
    same = torch.eye(_num_places(garment), dtype=torch.bool, device=queries.device)
    return queries, garment, same.repeat(queries.shape[1] // len(same), 1)[None]


def _num_places(garment: Attended) -> int:
    return garment.shape[1] if isinstance(garment, Tensor) else garment[0].shape[2]


def _pool(
    extractor: nn.Module, inputs: tuple[Any, ...], features: GarmentFeatures
) -> GarmentFeatures:
    """The mean over a garment's positions."""
    pooled = [hidden.mean(dim=1, keepdim=True) for hidden in features.hidden]
    return replace(features, hidden=pooled)


def _pool_to_zero(
    extractor: nn.Module, inputs: tuple[Any, ...], features: GarmentFeatures
) -> GarmentFeatures:
    """Zero vectors, as many as ``_pool`` returns."""
    pooled = _pool(extractor, inputs, features)
    return replace(pooled, hidden=[torch.zeros_like(hidden) for hidden in pooled.hidden])


def main(argv: list[str]) -> int:
    """Train one stage of a variant; see ``training.fit.main``."""
    return fit.main(argv, VariantTrainConfig, build_variant)


if __name__ == "__main__":
    run_command(main)
