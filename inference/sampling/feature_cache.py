"""What one denoising trajectory keeps from step to step, so that later steps need not compute it.

Off by default: with it the same number of steps gives a different, slightly worse, result.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from inference.sampling.solvers import SamplerConfig
from models.conditions import Conditions
from models.viton_dit import VitonDiT


class FeatureCache:
    """The ControlNet's residuals, and the change that the denoiser's middle blocks make.

    Source: Delta-DiT (Chen et al. 2024, arXiv 2406.01125), section 3: the change that blocks make
    to their input varies less from step to step than the features themselves. What differs: the
    span, the middle half of the blocks, stays the same for all steps.

    Args:
        network: predicts.
        config: what is kept, and how often everything is computed again.
    """

    def __init__(self, network: VitonDiT, config: SamplerConfig) -> None:
        self._network, self._config = network, config
        depth = len(network.denoiser.blocks)
        self._start, self._stop = depth // 4, depth // 4 + depth // 2
        self._is_fresh = True
        self._residuals: Sequence[Tensor] | None = None
        self._changes: dict[str, Tensor] = {}  # of each side of guidance

    def begin_step(self, position: int) -> None:
        """Announce step ``position`` of the trajectory (0 is the noisiest)."""
        self._is_fresh = self._config.is_fresh(position)

    def control_residuals(
        self, latents: Float[Tensor, "b c t h w"], timesteps: Tensor, conditions: Conditions
    ) -> Sequence[Float[Tensor, "b t s d"]]:
        """Of this step, or kept from an earlier one."""
        if self._residuals is not None and not self._is_fresh:
            return self._residuals
        residuals = self._network.control_residuals(latents, timesteps, conditions)
        if self._config.reuse != "none":
            self._residuals = residuals
        return residuals

    def predict(
        self,
        side: str,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Tensor,
        conditions: Conditions,
        residuals: Sequence[Float[Tensor, "b t s d"]],
    ) -> Float[Tensor, "b k t h w"]:
        """The network's prediction, its middle blocks replaced by the change that they made before.

        Args:
            side: of guidance; each keeps its own change. One that was not computed at the last
                fresh step is computed whole.
            latents: noisy ones.
            timesteps: their original indices.
            conditions: of this side.
            residuals: from ``control_residuals``; both sides share them.
        """
        network, start, stop = self._network, self._start, self._stop
        if self._config.reuse != "blocks" or start == stop:
            return network(latents, timesteps, conditions, residuals)
        tokens, timestep, modulation = network.embed(latents, timesteps, conditions)
        shared = (modulation, conditions, residuals)
        before = network.run_blocks(tokens, *shared, stop=start)
        if self._is_fresh or side not in self._changes:
            tokens = network.run_blocks(before, *shared, start=start, stop=stop)
            self._changes[side] = tokens - before
        else:
            tokens = before + self._changes[side]
        tokens = network.run_blocks(tokens, *shared, start=stop)
        return network.denoiser.predict(tokens, timestep, latents)
