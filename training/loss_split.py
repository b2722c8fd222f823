"""The loss by timestep quartile and by region, averaged between two log lines.

A step's loss varies with the timesteps drawn; the mean over an interval, split by noise level and
by what had to be painted, shows what is being learned. The sums are float64, are reduced over all
ranks when read, and are part of a checkpoint, so that a resumed run logs the same values as an
uninterrupted one.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.diffusion import DiffusionLosses
from training.distributed.ranks import gather_from_ranks, rank, sum_over_ranks, world_size
from training.objective import Objective

QUARTILES = 4
NAMES = (
    "loss/train",
    "loss/mse",
    "loss/vlb",
    *(f"loss/quartile_{number}" for number in range(1, QUARTILES + 1)),
    "loss/painted_region",
    "loss/known_region",
)
"""Quartile 1 holds the least noisy timesteps; regions cover only frames that count in the loss."""


class LossSplit:
    """Sums of row losses since they were last taken."""

    def __init__(self) -> None:
        self.sums = torch.zeros(len(NAMES), dtype=torch.float64)
        self.weights = torch.zeros(len(NAMES), dtype=torch.float64)

    @torch.no_grad()
    def add(
        self,
        objective: Objective,
        losses: DiffusionLosses,
        timesteps: Int[Tensor, " b"],
        mask: Float[Tensor, "b 1 t h w"],
        counts: Bool[Tensor, "b t"],
        num_timesteps: int,
    ) -> None:
        """Add a micro-batch; rows with a non-finite loss are left out.

        Args:
            objective: the minimised loss, with its rows.
            losses: of every value.
            timesteps: of the rows.
            mask: 1 = to be painted, on the latents' grid.
            counts: frames that take part in the loss.
            num_timesteps: length of the schedule.
        """
        rows = objective.rows.detach()
        finite = torch.isfinite(rows)
        sums = [objective.rows, objective.row_mse, objective.row_vlb]
        weights = [finite, finite, finite]
        for quartile in range(QUARTILES):
            sums.append(objective.row_mse)
            weights.append(finite & (timesteps * QUARTILES // num_timesteps == quartile))
        values = losses.mse.detach().mean(dim=1, keepdim=True)
        framed = counts[:, None, :, None, None].to(values.dtype)
        for region in (mask, 1 - mask):
            area = (region * framed).flatten(1)
            sums.append((values.flatten(1) * area).sum(dim=1) / area.sum(dim=1).clamp(min=1))
            weights.append(finite & (area.sum(dim=1) > 0))
        shares = torch.stack(weights).to(torch.float64)
        noted = torch.stack([value.detach().to(torch.float64) for value in sums])
        noted = torch.where(shares > 0, noted, 0.0)
        self.sums = self.sums.to(noted.device) + noted.sum(dim=1)
        self.weights = self.weights.to(noted.device) + shares.sum(dim=1)

    def take(self) -> dict[str, float]:
        """Means over all ranks since the last call, by name; parts without rows are left out."""
        sums, weights = sum_over_ranks(torch.stack([self.sums, self.weights])).cpu()
        self.sums, self.weights = torch.zeros_like(self.sums), torch.zeros_like(self.weights)
        means = zip(NAMES, sums.tolist(), weights.tolist(), strict=True)
        return {name: total / weight for name, total, weight in means if weight > 0}

    def state_dict(self) -> list[Tensor]:
        """The sums so far of every rank."""
        return gather_from_ranks(torch.stack([self.sums, self.weights]).cpu())

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Restore stored sums; with another number of processes the first holds them all."""
        if any(part.shape != (2, len(NAMES)) for part in state):
            return  # written by a version that logged other sums
        if len(state) == world_size():
            self.sums, self.weights = state[rank()].clone()
        elif rank() == 0:
            self.sums, self.weights = torch.stack(state).sum(dim=0)
