"""Gives a network adapters, by PEFT, and says which model they belong to."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import ConfigError
from models.attention import SelfAttention
from models.viton_dit import VitonDiT
from models.weights.adapters import DOWN, UP, BaseModel, network_sha256
from models.weights.sharded import read_whole
from training.lora.config import LoraConfig, adapted_layers

logger = logging.getLogger(__name__)

NAME = "default"
"""PEFT's name of the only adapter."""


@dataclass(frozen=True, kw_only=True)
class StartedAdapters:
    """The adapters that a run trains.

    Attributes:
        rank: of each.
        alpha: ``alpha / rank`` is what B A is multiplied by.
        learning: names of the trained parameters.
        base: the frozen model.
    """

    rank: int
    alpha: float
    learning: list[str]
    base: BaseModel

    @property
    def record(self) -> dict[str, Any]:
        """For checkpoints, as ``read_adapter`` expects it."""
        return {"rank": self.rank, "alpha": self.alpha, "base": asdict(self.base)}


def require_peft(config: LoraConfig) -> None:
    """Reject a run with adapters if PEFT is missing, before anything is loaded."""
    if config.rank and find_spec("peft") is None:
        raise ConfigError(
            f"lora.rank is {config.rank}, which needs peft: make setup-lora, or pip install -e"
            " '.[lora]'; lora.rank=0 trains without adapters"
        )


def start_adapters(
    network: VitonDiT, config: LoraConfig, parts: Sequence[str], base: str, weights: str
) -> StartedAdapters:
    """Freeze a network and give its layers adapters that change nothing yet.

    Parameters of an adapted layer ``x`` are then ``x.base_layer.weight``,
    ``x.lora_A.default.weight`` and ``x.lora_B.default.weight``.

    Args:
        network: with the weights of its base model; modified.
        config: rank, alpha and layers.
        parts: networks in use.
        base: where those weights came from.
        weights: "ema" or "raw": which they are.

    Raises:
        ConfigError: a pattern matches no layer.
    """
    from peft import LoraConfig as PeftConfig  # an extra, and slow to import
    from peft import inject_adapter_in_model

    alpha = float(config.rank if config.alpha is None else config.alpha)
    model = BaseModel(
        sha256=network_sha256(network.state_dict(), parts),
        path=base,
        weights=weights,
        parts=list(parts),
    )
    layers = adapted_layers(config, linear_layers(network), parts)
    settings = PeftConfig(
        r=config.rank, lora_alpha=alpha,  # pyright: ignore[reportArgumentType]  (it divides by r)
        target_modules=layers,
    )  # fmt: skip
    network.requires_grad_(False)
    inject_adapter_in_model(settings, network)
    adapt_values(network)
    learning = [name for name, _ in network.named_parameters() if is_adapter(name)]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_adapter(name))
    own = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    every = sum(parameter.numel() for parameter in network.parameters()) - own
    logger.info(
        "LoRA of rank %d: %s parameters learn, in the adapters of %d layers; the model's %s stay "
        "as they are, and freeze is not read", config.rank, f"{own:,}", len(layers), f"{every:,}",
    )  # fmt: skip
    return StartedAdapters(rank=config.rank, alpha=alpha, learning=learning, base=model)


def check_same_base(file: Path, started: StartedAdapters) -> None:
    """Refuse to resume adapters on another model than the one they were trained on.

    Args:
        file: the checkpoint that the run resumes from.
        started: the run's adapters, on the model that ``init_from`` names now.

    Raises:
        ConfigError: it is another one.
    """
    before = BaseModel(**read_whole(file, only=("lora",))["lora"]["base"])
    if before.sha256 != started.base.sha256:
        raise ConfigError(
            f"{file.parents[1]} holds adapters of the {before.weights} weights of {before.path}"
            f" (network {before.sha256[:12]}), and init_from={started.base.path} holds others"
            f" ({started.base.sha256[:12]}); give the same model, or choose another name"
        )


def linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer by name."""
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}


def is_adapter(name: str) -> bool:
    """Whether a parameter belongs to an adapter."""
    return DOWN in name or UP in name


def adapt_values(network: nn.Module) -> None:
    """Let ``SelfAttention.values``, which uses a part of ``qkv``, use that part of its adapter.

    Without it a single frame's temporal attention would pass the adapter by.
    """
    for attention in network.modules():
        if isinstance(attention, SelfAttention) and hasattr(attention.qkv, "lora_A"):
            adapted = partial(_values, attention, attention.values)
            attention.values = adapted  # pyright: ignore[reportAttributeAccessIssue]


def _values(attention: SelfAttention, plain: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    layer: Any = attention.qkv
    down, up = layer.lora_A[NAME], layer.lora_B[NAME]
    values: Tensor = plain(x)
    change = F.linear(down(x.to(down.weight.dtype)), up.weight[2 * attention.dim :])
    return (values + change * layer.scaling[NAME]).to(values.dtype)
