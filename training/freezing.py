"""Which parameters a stage trains: positive patterns over their names, and a table of the result.

Names are those of VitonDiT: ``denoiser.*`` (trunk with fusion), ``garment.*``, ``control.*``. In a
pattern ``*`` stands for one dotted piece and ``**`` for any number of them. A pattern that matches
no parameter is an error: a freeze rule that silently does nothing is the classic bug.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import nn

from configs.checks import check_choices
from configs.errors import ConfigError

logger = logging.getLogger(__name__)

PARTS = ("denoiser", "garment", "control")
STAGES = ("pretrain", "stage1", "stage2", "stage3")
PRESETS = ("article", "figure", "own")

_SSA = "denoiser.blocks.*.attn.**"
_FUSION = "denoiser.blocks.*.fusion.**"
_PROMPT_AND_FEED_FORWARD = [
    f"{part}.blocks.*.{module}.**"
    for part in ("denoiser", "garment")
    for module in ("cross_attn", "mlp")
]


@dataclass(frozen=True, kw_only=True)
class FreezeConfig:
    """Which parameters are trained: those that match ``learn`` and none of ``keep``.

    ``article`` follows the article's text, ``figure`` the paper's Figure 2; both depend on the
    stage. ``own`` uses the two lists given here.
    """

    preset: str = "article"
    learn: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_choices(self, preset=PRESETS)
        if self.preset == "own" and not self.learn:
            raise ValueError("preset 'own' needs patterns in learn, such as 'denoiser.**'")
        if self.preset != "own" and (self.learn or self.keep):
            raise ValueError(f"learn and keep are read by preset 'own', not by {self.preset!r}")


@dataclass(frozen=True, kw_only=True)
class FreezeRule:
    """Patterns of trained parameters and, among them, of those that stay frozen."""

    learn: list[str]
    keep: list[str]


def freeze_rule(config: FreezeConfig, stage: str) -> FreezeRule:
    """The patterns of a stage.

    Stage 1 trains the extractor and the cross-attention that reads it (SCA): without the latter no
    gradient reaches the extractor. Stages 2 and 3 train everything but the denoiser's spatial
    self-attention (article), or everything but prompt cross-attention and feed-forward of denoiser
    and extractor (figure).
    """
    if config.preset == "own":
        return FreezeRule(learn=list(config.learn), keep=list(config.keep))
    if stage == "pretrain":
        return FreezeRule(learn=["denoiser.**"], keep=[_FUSION])
    if stage == "stage1":
        return FreezeRule(learn=["garment.**", _FUSION], keep=[])
    keep = [_SSA] if config.preset == "article" else _PROMPT_AND_FEED_FORWARD
    return FreezeRule(learn=["**"], keep=keep)


def learning_names(names: Iterable[str], rule: FreezeRule) -> list[str]:
    """The names of trained parameters, in order.

    Raises:
        ConfigError: a pattern matches no name.
    """
    every = list(names)
    learning = _matching(every, rule.learn)
    kept = _matching(every, rule.keep)
    return [name for name in every if name in learning and name not in kept]


def freeze(network: nn.Module, rule: FreezeRule) -> list[str]:
    """Set ``requires_grad`` by the rule; returns the trained names."""
    learning = set(learning_names((name for name, _ in network.named_parameters()), rule))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in learning)
    return [name for name, _ in network.named_parameters() if name in learning]


def set_modes(network: nn.Module) -> None:
    """Training mode for modules with trained parameters, eval mode for the frozen rest."""
    for module in network.modules():
        module.training = any(parameter.requires_grad for parameter in module.parameters())


def learning_table(network: nn.Module) -> list[tuple[str, int, int]]:
    """Rows (group, trained parameters, all parameters), one group per kind of layer."""
    learn: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        group = group_of(name)
        total[group] += parameter.numel()
        learn[group] += parameter.numel() if parameter.requires_grad else 0
    return [(group, learn[group], total[group]) for group in total]


def format_table(rows: Sequence[tuple[str, int, int]]) -> str:
    """The table as text, for the log."""
    width = max(len(group) for group, _, _ in rows)
    lines = [
        f"  {group:<{width}}  {describe(learn, total):<6}  {learn:>13,} of {total:>13,}"
        for group, learn, total in rows
    ]
    learn, total = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return "\n".join([*lines, f"  {'in all':<{width}}  {'':<6}  {learn:>13,} of {total:>13,}"])


def describe(learn: int, total: int) -> str:
    """One word for a row of the table."""
    return "learns" if learn == total else "partly" if learn else "frozen"


def _matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    matched: set[str] = set()
    for pattern in patterns:
        compiled = compile_pattern(pattern)
        found = {name for name in names if compiled.fullmatch(name)}
        if not found:
            heads = sorted({group_of(name) for name in names})
            raise ConfigError(
                f"freeze pattern {pattern!r} matches no parameter; there are {', '.join(heads)}"
            )
        matched |= found
    return matched


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern over parameter names; ``*`` is one dotted piece, ``**`` any number of them."""
    pieces = (
        re.escape(piece).replace(r"\*\*", ".+").replace(r"\*", "[^.]+")
        for piece in pattern.split(".")
    )
    return re.compile(r"\.".join(pieces))


def group_of(name: str) -> str:
    """``denoiser.blocks.3.attn.qkv.weight`` -> ``denoiser.blocks.*.attn``."""
    pieces = ["*" if piece.isdigit() else piece for piece in name.split(".")]
    depth = 4 if pieces[1] == "blocks" else 2
    return ".".join(pieces[: min(depth, len(pieces))])
