"""The one LightningModule of all stages: encode, noise, condition, predict, compare."""

import logging
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from configs.errors import UserError
from configs.loading import to_plain
from datasets.module import NumberedBatch
from models.system import System
from models.viton_dit import Conditions
from training.config import TrainConfig
from training.encoding import encode_batch
from training.freezing import freeze, freeze_rule, set_modes
from training.objective import Draws, draw, reduce_losses, snr_weights
from training.optimizers import build_optimizer, build_schedule
from training.sampling import SampledWindow, sample_window

logger = logging.getLogger(__name__)


class TryOnModule(LightningModule):
    """A system of networks, trained by the settings of one stage.

    Args:
        config: the run's settings.
        system: networks, codec, captions and diffusion, already initialised. The codec and the
            captions are frozen always: they are used, not registered, and never in a checkpoint.
        folder: of the run; the keys of skipped samples are written there.
    """

    def __init__(self, config: TrainConfig, system: System, folder: Path | None = None) -> None:
        super().__init__()
        self.config, self.folder = config, folder
        self._system = [system]  # in a list: not registered as a child
        self.network = system.network
        self.learning = freeze(self.network, freeze_rule(config.freeze, config.stage))
        self.samples: list[SampledWindow] = []  # of the last validation
        self._skipped_in_a_row = 0

    @property
    def system(self) -> System:
        """Networks, codec, captions and diffusion."""
        return self._system[0]

    def train(self, mode: bool = True) -> "TryOnModule":
        """Frozen modules stay in eval mode."""
        super().train(mode)
        if mode:
            set_modes(self.network)
        return self

    def training_step(self, batch: NumberedBatch, batch_idx: int) -> Tensor | None:
        """One loss; None, which takes no step, where it is not finite."""
        encoded = encode_batch(self.system, batch)
        latents = encoded.latents
        draws = draw(
            self.config.objective, self.config.seed, batch.numbers, latents,
            self.system.diffusion.num_timesteps,
        )  # fmt: skip
        noisy = self.noisy(latents, draws, batch.known)
        conditions = self.conditions(encoded.control, encoded.garment, batch.known, draws.drop)
        prediction = self.network(noisy, draws.timesteps, conditions)
        losses = self.system.diffusion.losses(prediction, latents, draws.noise, draws.timesteps)
        weights = snr_weights(self.config.objective, self.system.diffusion, draws.timesteps)
        objective = reduce_losses(self.config.objective, losses, batch.known, weights)
        if not self._is_usable(objective.loss, batch):
            return None
        scalars = {"loss/train": objective.loss, "loss/mse": objective.mse}
        scalars |= {"loss/vlb": objective.vlb}
        self.log_dict({name: value.detach() for name, value in scalars.items()})
        return objective.loss

    def noisy(
        self, latents: Float[Tensor, "b c t h w"], draws: Draws, known: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b c t h w"]:
        """Noised latents. Frames that are modulated as clean (``known_frames``) enter clean."""
        noisy = self.system.diffusion.q_sample(latents, draws.timesteps, draws.noise)
        if not self.system.config.network.modulates_known_frames:
            return noisy
        return torch.where(known[:, None, :, None, None], latents, noisy)

    def conditions(
        self,
        control: Float[Tensor, "b k t y x"],
        garment_latents: Float[Tensor, "b c y2 x2"],
        known: Bool[Tensor, "b t"],
        drop: Bool[Tensor, " b"] | None,
    ) -> Conditions:
        """What the active networks are given: extractor and ControlNet only in their stages."""
        caption = self.network.encode_caption(*self.system.captions(1))
        garment = None
        if "garment" in self.config.parts:
            garment = self.network.encode_garment(garment_latents, caption)
        return Conditions(
            caption=caption,
            garment=garment,
            control=control if "control" in self.config.parts else None,
            known=known,
            drop=drop,
        )

    def validation_step(self, batch: NumberedBatch, batch_idx: int) -> None:
        """Sample one held-out window and compare it with the truth."""
        video = sample_window(self, batch)
        ssim = structural_similarity_index_measure(
            rearrange(video, "b t c h w -> (b t) c h w"),
            rearrange(batch.video, "b t c h w -> (b t) c h w"),
            data_range=2.0,
        )
        assert isinstance(ssim, Tensor)
        self.log("validation/ssim", ssim, batch_size=len(batch.keys), sync_dist=True)
        self.samples.append(SampledWindow.of(batch, video))

    def on_validation_start(self) -> None:
        """Forget the samples of the last time."""
        self.samples.clear()

    def configure_optimizers(self) -> Any:
        """AdamW over what learns."""
        settings = self.config.optimizer
        optimizer = build_optimizer(settings, self.network.named_parameters())
        schedule = build_schedule(settings, optimizer, self.config.max_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm; a gradient that is not finite is thrown away, and the step is empty."""
        learning = [p for p in self.network.parameters() if p.grad is not None]
        limit = self.config.optimizer.clip or float("inf")
        norm = nn.utils.clip_grad_norm_(learning, limit)
        if learning and not torch.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)
            self._count_skipped(f"the gradient's norm is {norm.item()}", [])
        elif learning:
            self._skipped_in_a_row = 0
            self.log("gradient/norm", norm.detach())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what inference needs; leave out networks that this stage does not use."""
        active = tuple(f"network.{part}." for part in self.config.parts)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if k.startswith(active)}
        checkpoint["system"] = to_plain(self.config.system)
        checkpoint["config"] = to_plain(self.config)
        checkpoint["parts"] = list(self.config.parts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Networks that this stage does not use keep the weights they were built with."""
        active = tuple(f"network.{part}." for part in self.config.parts)
        unused = {k: v for k, v in self.state_dict().items() if not k.startswith(active)}
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **unused}

    def _is_usable(self, loss: Float[Tensor, ""], batch: NumberedBatch) -> bool:
        if torch.isfinite(loss):
            return True
        self._count_skipped(f"the loss is {loss.item()}", batch.keys)
        return False

    def _count_skipped(self, reason: str, keys: list[str]) -> None:
        self._skipped_in_a_row += 1
        where = f" (samples {', '.join(keys)})" if keys else ""
        logger.warning("step %d is skipped: %s%s", self.global_step, reason, where)
        if self.folder is not None:
            with (self.folder / "skipped.txt").open("a", encoding="utf-8") as file:
                file.write(f"{self.global_step}\t{reason}\t{' '.join(keys)}\n")
        if self._skipped_in_a_row >= self.config.trainer.max_skipped:
            raise UserError(
                f"{self._skipped_in_a_row} steps in a row were not finite, the last at step "
                f"{self.global_step}; lower optimizer.lr, or go back to an earlier checkpoint"
            )
