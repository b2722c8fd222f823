"""An exponential moving average of what learns, kept under the checkpoint's key ``ema``.

``device: cpu`` keeps it in the machine's memory: 4 bytes a learning parameter less on the GPU, for
a copy of what learns at every optimizer step.

Own, because Lightning's ``EMAWeightAveraging`` fails under FSDP2 (seen with 2.6.6).
"""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from training.config import EmaConfig


class Ema(Callback):
    """Follows ``module.network`` after every optimizer step; validation looks at the average."""

    def __init__(self, config: EmaConfig) -> None:
        self.config = config
        self.shadow: dict[str, Tensor] = {}
        self._last_step = 0
        self._raw: dict[str, Tensor] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights as they are, unless a checkpoint brought an average."""
        network = _network(pl_module)
        learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.shadow = {
            name: self.shadow.get(name, parameter.detach()).to(self._home(parameter), torch.float32)
            for name, parameter in learning.items()
        }
        self.shadow = {name: value.clone() for name, value in self.shadow.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """By now a resumed run knows its step."""
        self._last_step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the average if an optimizer step was taken."""
        if trainer.global_step == self._last_step:
            return
        self._last_step = step = trainer.global_step
        decay = min(self.config.decay, (1 + step) / (10 + step))
        for name, parameter in _network(pl_module).named_parameters():
            if name in self.shadow:
                average = self.shadow[name]
                average.lerp_(parameter.detach().to(average), 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in."""
        network = _network(pl_module)
        self._raw = {name: p.detach().to(self._home(p), copy=True)
                     for name, p in network.named_parameters() if name in self.shadow}  # fmt: skip
        _write(network, self.shadow)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the raw weights back."""
        if self._raw is not None:
            _write(_network(pl_module), self._raw)
        self._raw = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the whole averaged state; frozen tensors are shared with the raw state."""
        prefix = "network."
        raw = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()
               if name.startswith(prefix)}  # fmt: skip
        checkpoint["ema"] = {name: self.shadow.get(name, value) for name, value in raw.items()}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the stored average when the run resumes."""
        self.shadow = dict(checkpoint.get("ema") or {})

    def _home(self, parameter: Tensor) -> torch.device:
        """Where the average of a parameter lives."""
        return torch.device("cpu") if self.config.device == "cpu" else parameter.device


def _network(pl_module: LightningModule) -> nn.Module:
    network = pl_module.network
    assert isinstance(network, nn.Module)
    return network


@torch.no_grad()
def _write(network: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in network.named_parameters():
        if name in values:
            parameter.copy_(values[name])
