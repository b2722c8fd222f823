"""Skips optimizer steps whose loss or gradient is not finite.

A non-finite loss is replaced by NaN, and so is its gradient; averaging the gradients carries it to
every rank. Checking the norm once per step thus gives every process the same answer without extra
communication, and no rank waits for one that returned early.
"""

import logging
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from configs.errors import UserError
from datasets.storage import write_file
from training.distributed.ranks import gather_from_ranks, rank

logger = logging.getLogger(__name__)


class SkippedSteps:
    """Counts skipped steps, records their samples, and ends a run that makes no progress.

    Args:
        folder: the run's, for ``skipped.txt``: step, reason, keys of the samples; None: no file.
        most_in_a_row: number of consecutive skipped steps that ends the run.
    """

    def __init__(self, folder: Path | None, most_in_a_row: int) -> None:
        self.file = None if folder is None else folder / "skipped.txt"
        self.most_in_a_row = most_in_a_row
        self.total = self.in_a_row = 0
        self._micro_batches: list[tuple[Tensor, list[str]]] = []

    def guard(self, loss: Float[Tensor, ""], keys: list[str]) -> Float[Tensor, ""]:
        """The loss of a micro-batch of these samples; if it is not finite, its gradient is NaN.

        Does not read the value, which would wait for the GPU.
        """
        finite = torch.isfinite(loss.detach())
        self._micro_batches.append((finite, keys))
        return loss * torch.where(finite, 1.0, torch.nan).to(loss.dtype)

    def is_usable(self, norm: float, step: int) -> bool:
        """Whether the step can be taken; the same on every rank.

        Args:
            norm: of the gradients over all ranks.
            step: number of the step, for messages.

        Raises:
            UserError: too many in a row.
        """
        micro_batches, self._micro_batches = self._micro_batches, []
        if norm not in (float("inf"), float("-inf")) and norm == norm:
            self.in_a_row = 0
            return True
        self.total, self.in_a_row = self.total + 1, self.in_a_row + 1
        bad = [key for finite, keys in micro_batches if not finite for key in keys]
        every = [key for _, keys in micro_batches for key in keys]
        gathered = gather_from_ranks((bad, every))
        named = [key for keys, _ in gathered for key in keys]
        reason = "the loss is not finite"
        if not named:
            reason = f"the gradient's norm is {norm}"
            named = [key for _, keys in gathered for key in keys]
        if rank() == 0:
            self._note(step, reason, list(dict.fromkeys(named)))
        if self.in_a_row >= self.most_in_a_row:
            raise UserError(
                f"{self.in_a_row} steps in a row were not finite, the last at step {step} "
                f"(samples in {self.file or 'the log'}); lower optimizer.lr, or go back to an "
                "earlier checkpoint"
            )
        return False

    def state_dict(self) -> dict[str, int]:
        """The counts, for the checkpoint."""
        return {"total": self.total, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int], step: int) -> None:
        """Restore from a checkpoint of ``step``; later records are removed, to be written again."""
        self.total, self.in_a_row = state["total"], state["in_a_row"]
        if self.file is not None and self.file.is_file() and rank() == 0:
            lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if int(line.split("\t")[0]) <= step]
            write_file(self.file, "".join(kept).encode())

    def _note(self, step: int, reason: str, keys: list[str]) -> None:
        logger.warning(
            "step %d is skipped: %s (%d so far; samples %s)",
            step, reason, self.total, ", ".join(keys),
        )  # fmt: skip
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(f"{step}\t{reason}\t{' '.join(keys)}\n")
