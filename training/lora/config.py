"""Settings of LoRA: rank, alpha, and which layers get an adapter."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from configs.checks import check_range
from configs.errors import ConfigError
from training.freezing import compile_pattern, group_of


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Adapters instead of weights: a linear layer's output gets ``alpha / rank * B A x``.

    Source: Hu et al. 2021, arXiv 2106.09685. A (rank rows) starts random and B at zero, so that a
    run starts as its base model, layer by layer bit for bit. Only A and B learn; ``freeze`` is not
    read.
    """

    rank: int = 0  # 0: no LoRA
    alpha: float | None = None  # None: as rank, so that B A x counts once
    parts: list[str] = field(default_factory=lambda: ["*.blocks.**"])
    """Patterns over parameter names, as in ``freeze.learn``; adapters go to the linear layers."""

    def __post_init__(self) -> None:
        check_range(self, "rank", least=0)
        check_range(self, "alpha", above=0)
        if not self.parts:
            raise ValueError("parts is empty; give patterns such as '*.blocks.**'")

    @property
    def scaling(self) -> float:
        """What ``B A x`` is multiplied by."""
        return 1.0 if self.alpha is None or not self.rank else self.alpha / self.rank


def adapted_layers(config: LoraConfig, linear: Iterable[str], parts: Iterable[str]) -> list[str]:
    """The layers that get an adapter, in the network's order.

    Args:
        config: the patterns.
        linear: names of all linear layers, such as ``denoiser.blocks.0.attn.qkv``.
        parts: networks in use; others get none.

    Raises:
        ConfigError: a pattern matches no linear layer of the networks in use.
    """
    used = tuple(f"{part}." for part in parts)
    layers = [name for name in linear if name.startswith(used)]
    chosen: set[str] = set()
    for pattern in config.parts:
        matches = compile_pattern(pattern).fullmatch
        found = {name for name in layers if matches(f"{name}.weight")}
        if not found:
            groups = sorted({group_of(f"{name}.weight") for name in layers})
            raise ConfigError(
                f"lora.parts: {pattern!r} matches no linear layer; there are {', '.join(groups)}"
            )
        chosen |= found
    return [name for name in layers if name in chosen]
