"""Which sampler paints: the checkpoint's own, with what a user overrides.

A network is made for a sampler: one that learned from almost only noisy timesteps wants two steps
and no guidance, one that learned from all of them twenty. Training writes it into the checkpoint
(``validation.sampler`` of its settings), and a user's settings change single values of it.
"""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

from configs.errors import ConfigError
from configs.loading import from_plain
from inference.sampling.solvers import SamplerConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SamplerChoice:
    """What a user overrides of a checkpoint's sampler; None: the checkpoint's value.

    Attributes:
        solver: see ``SamplerConfig``, as for all that follow.
        num_steps: network evaluations.
        guidance_scale: 1 is no guidance.
        guidance_interval: shares of the steps between which guidance is on.
        guidance: all or legacy.
        eta: noise added by ddim.
        reuse: none, control or blocks.
        reuse_every: one step in this many computes everything.
        clip: limit of the clean latents; 0: not clamped, whatever the checkpoint says.
    """

    solver: str | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    guidance_interval: list[float] | None = None
    guidance: str | None = None
    eta: float | None = None
    reuse: str | None = None
    reuse_every: int | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        has_eta = (
            self.eta and self.solver is None
        )  # only ddim takes it, and may be the checkpoint's
        self.over(SamplerConfig(solver="ddim") if has_eta else SamplerConfig())

    @property
    def given(self) -> dict[str, Any]:
        """What is overridden."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, sampler: SamplerConfig) -> SamplerConfig:
        """The sampler with what is overridden.

        Raises:
            ValueError: a value out of range, or one that does not go with the sampler's others.
        """
        given = self.given
        if given.get("clip") == 0:
            given["clip"] = None
        return replace(sampler, **given)


def choose_sampler(
    stored: dict[str, Any] | None, choice: SamplerConfig | SamplerChoice | None, where: str
) -> SamplerConfig:
    """The sampler to paint with.

    Args:
        stored: what the checkpoint says, as plain values; None: it is older and says nothing, so
            ``SamplerConfig``'s defaults hold, and the log says so.
        choice: all settings, single ones, or none.
        where: names the checkpoint in errors and in the log.

    Raises:
        ConfigError: the checkpoint's sampler is not of this version, or the choice does not fit it.
    """
    if isinstance(choice, SamplerConfig):
        return choice
    if stored is None:
        own = SamplerConfig()
        logger.warning(
            "%s does not say which sampler it was made for (an older version wrote it); the "
            "default is used where sampler.* sets nothing else: %s", where, own.description,
        )  # fmt: skip
    else:
        own = from_plain(SamplerConfig, stored, f"the sampler of {where}")
    try:
        return own if choice is None else choice.over(own)
    except ValueError as error:
        raise ConfigError(f"sampler: {error} (over that of {where}: {own.description})") from error
