"""What one sampling walk keeps from step to step, so that later steps need not compute it.

Off by default: with it the same number of steps gives another, slightly worse, result.
"""

from collections.abc import Sequence

from torch import Tensor

from inference.sampling.solvers import SamplerConfig
from models.stdit import BlockReuse


class KeptFeatures:
    """The ControlNet's residuals and the change that the denoiser's middle blocks make.

    Args:
        config: what is reused, and how often everything is computed anew.
        depth: blocks of the denoiser; the middle half of them is reused.
    """

    def __init__(self, config: SamplerConfig, depth: int) -> None:
        self._config = config
        self._first, self._last = depth // 4, depth // 4 + depth // 2
        self._is_fresh = True
        self._residuals: Sequence[Tensor] | None = None
        self._blocks: dict[str, BlockReuse] = {}

    @property
    def residuals(self) -> Sequence[Tensor] | None:
        """An earlier step's; None: to be computed."""
        return None if self._is_fresh else self._residuals

    def begin_step(self, position: int) -> None:
        """Step ``position`` of the walk (0 is the noisiest) comes next."""
        self._is_fresh = self._config.is_fresh(position)

    def keep_residuals(self, residuals: Sequence[Tensor]) -> None:
        """For the steps to come."""
        if self._config.reuse != "none":
            self._residuals = residuals

    def blocks(self, side: str) -> BlockReuse | None:
        """Of one side of guidance, each of which keeps its own; None: all blocks run.

        A side that was not computed at the last fresh step is computed whole.
        """
        if self._config.reuse != "blocks" or self._last <= self._first:
            return None
        kept = self._blocks.setdefault(side, BlockReuse(first=self._first, last=self._last))
        kept.is_fresh = self._is_fresh or kept.change is None
        return kept
