"""Where the loss is: sums by timestep quartile and by region, between two lines of the log.

A step's loss jumps with the timesteps that it happened to draw; the mean over an interval, split
by how noisy the latents were and by what had to be painted, says what is being learned. The sums
are float64, are added over all ranks when they are read, and are part of a checkpoint, so that a
resumed run logs what an unbroken one would.
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
"""Quartile 1 holds the least noisy timesteps; the regions are those of the frames that count."""
_REGION = 3 + QUARTILES


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
        """Take note of a micro-batch; rows whose loss is not finite are left out.

        Args:
            objective: what was minimised; its rows are.
            losses: of every value.
            timesteps: of the rows.
            mask: 1 = to be painted, on the latents' grid.
            counts: frames that take part in the loss.
            num_timesteps: of the schedule.
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
        """Means over all ranks since the last time, by name; what had no row is left out."""
        sums, weights = sum_over_ranks(torch.stack([self.sums, self.weights])).cpu()
        self.sums, self.weights = torch.zeros_like(self.sums), torch.zeros_like(self.weights)
        means = zip(NAMES, sums.tolist(), weights.tolist(), strict=True)
        return {name: total / weight for name, total, weight in means if weight > 0}

    def state_dict(self) -> list[Tensor]:
        """The sums so far of every rank."""
        return gather_from_ranks(torch.stack([self.sums, self.weights]).cpu())

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Go on from stored sums; in another number of processes the first holds them all."""
        if any(part.shape != (2, len(NAMES)) for part in state):
            return  # of a version that logged other sums
        if len(state) == world_size():
            self.sums, self.weights = state[rank()].clone()
        elif rank() == 0:
            self.sums, self.weights = torch.stack(state).sum(dim=0)
