"""The one LightningModule of all stages: encode, noise, condition, predict, compare."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from lightning import LightningModule
from torch import Tensor, nn

from configs.loading import to_plain
from datasets.loading.datamodule import NumberedBatch
from datasets.loading.latents import LatentBatch
from models.conditions import Conditions
from models.system import System
from training.checkpoints.provenance import describe_code, random_states, restore_random_states
from training.config import TrainConfig
from training.diagnostics import gradient_norms
from training.distributed.ranks import rank, whole, world_size
from training.distributed.sharding import is_network_sharded, shard_network
from training.distributed.world import global_batch
from training.encoding import encode_batch, encode_conditions
from training.freezing import freeze, freeze_rule, set_modes
from training.lora.adapters import StartedAdapters, start_adapters
from training.loss_split import LossSplit
from training.nonfinite import SkippedSteps
from training.objective import Draws, draw, reduce_losses
from training.optimizers import build_optimizer, build_schedule
from training.step_record import SampledWindow, StepRecord, ValidationRecord
from training.validation import ValidationScores, sample_window


class TryOnModule(LightningModule):
    """A system of networks, trained by the settings of one stage.

    Args:
        config: the run's settings.
        system: networks, codec, captions and diffusion, already initialised. Codec and captions
            are always frozen: used but not registered, and never in a checkpoint.
        folder: the run's folder; the keys of skipped samples are written there.
    """

    def __init__(self, config: TrainConfig, system: System, folder: Path | None = None) -> None:
        super().__init__()
        self.config, self.folder = config, folder
        self._system = [system]  # in a list: not registered as a child
        self.network = system.network
        self.adapters: StartedAdapters | None = None
        if config.lora.rank:
            self.adapters = start_adapters(
                self.network, config.lora, config.parts, str(config.init_from), config.init_weights
            )
            self.learning = self.adapters.learning
        else:
            self.learning = freeze(self.network, freeze_rule(config.freeze, config.stage))
        self.losses = LossSplit()
        self.skipped = SkippedSteps(folder, config.trainer.max_skipped)
        self.step_record: StepRecord | None = None  # of the last step, for callbacks
        self.validation_record: ValidationRecord | None = None  # of the last validation
        self._scores: ValidationScores | None = None  # loads its networks at the first validation
        self._own_window: NumberedBatch | None = None
        self._random_states: list[dict[str, Any]] | None = None  # of the checkpoint, until used

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

    def training_step(self, batch: NumberedBatch | LatentBatch, batch_idx: int) -> Tensor:
        """The loss. If it is not finite, no rank takes the step (``nonfinite.py``)."""
        encoded = encode_batch(self.system, batch)
        latents = encoded.latents
        draws = draw(
            self.config.objective, self.config.seed, encoded.numbers, latents,
            self.system.diffusion.num_timesteps,
        )  # fmt: skip
        noisy = self.noisy(latents, draws, encoded.known)
        matched = encoded.matched
        if matched is not None:
            matched = matched * draws.matched[:, None, None, None, None]
        conditions = self.conditions(
            encoded.control, encoded.garment, encoded.known, draws.drop, encoded.body,
            encoded.outline, matched,
        )  # fmt: skip
        prediction = self.network(noisy, draws.timesteps, conditions)
        prediction = self.system.refine(prediction, conditions, draws.timesteps)
        losses = self.system.diffusion.losses(prediction, latents, draws.noise, draws.timesteps)
        mask = encoded.control[:, -1:]
        decided = mask if conditions.certain is None else mask * (1 - conditions.certain)
        objective = reduce_losses(self.config.objective, losses, encoded.known, decided)
        self.losses.add(
            objective, losses, draws.timesteps, mask, ~encoded.known,
            self.system.diffusion.num_timesteps,
        )  # fmt: skip
        return self.skipped.guard(objective.loss, batch.keys)

    def noisy(
        self, latents: Float[Tensor, "b c t h w"], draws: Draws, known: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b c t h w"]:
        """Noised latents. Frames modulated as clean (``known_frames``) stay clean."""
        noisy = self.system.diffusion.q_sample(latents, draws.timesteps, draws.noise)
        if not self.system.config.network.modulates_known_frames:
            return noisy
        return torch.where(known[:, None, :, None, None], latents, noisy)

    def conditions(
        self,
        control: Float[Tensor, "b k t y x"],
        garment_latents: Float[Tensor, "g c y2 x2"],
        known: Bool[Tensor, "b t"],
        drop: Bool[Tensor, " b"] | None,
        body: Float[Tensor, "b 4 t y x"] | None = None,
        outline: Float[Tensor, "g 16 12"] | None = None,
        matched: Float[Tensor, "b t y x 3"] | None = None,
    ) -> Conditions:
        """Inputs of the active networks: extractor and ControlNet only in their stages."""
        caption = self.network.encode_caption(*self.system.captions(1))
        garment = None
        if "garment" in self.config.parts:
            garment = self.network.encode_garment(garment_latents, caption, outline)
        conditions = Conditions(
            caption=caption,
            garment=garment,
            control=control if "control" in self.config.parts else None,
            known=known,
            drop=drop,
            body=body,
            matched=matched,
        )
        return self.system.add_warped_garment(conditions)

    def configure_model(self) -> None:
        """Shard the network if the strategy requires it; once."""
        if self.config.trainer.strategy == "fsdp2" and not is_network_sharded(self.network):
            assert self.device_mesh is not None
            shard_network(self.network, self.device_mesh["data_parallel"])

    def on_validation_start(self) -> None:
        """Discard the windows of the last validation."""
        if self._scores is None:
            best_by = self.config.validation.best_by
            self._scores = ValidationScores(device=str(self.device), best_by=best_by)
        self._scores.clear()

    def validation_step(self, batch: NumberedBatch, batch_idx: int) -> None:
        """Sample a held-out window and compare it with the truth.

        Each of n ranks keeps every n-th window, and all sample at the same time: a sharded network
        cannot run on a single rank. A rank without a window left samples one too.
        """
        if batch_idx % world_size() == rank():
            self._own_window = batch
        is_last = batch_idx + 1 == sum(int(count) for count in self.trainer.num_val_batches)
        if (batch_idx + 1) % world_size() and not is_last:
            return
        own, self._own_window = self._own_window, None
        shown = batch if own is None else own
        control, garment = encode_conditions(self.system, shown)
        conditions = self.conditions(control, garment, shown.known, None, shown.body, shown.outline)
        video = sample_window(
            self.system, conditions, shown, self.config.validation.sampler, self.config.seed
        )
        if own is not None:
            assert self._scores is not None
            self._scores.add(own, SampledWindow.of(own, video))

    def on_validation_epoch_end(self) -> None:
        """Gather the windows of all ranks; callbacks read the record."""
        assert self._scores is not None
        self.validation_record = self._scores.record()

    def configure_optimizers(self) -> Any:
        """AdamW over the trainable parameters."""
        settings = self.config.optimizer
        optimizer = build_optimizer(settings, self.network.named_parameters())
        schedule = build_schedule(settings, optimizer, self.config.max_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm; a non-finite gradient is discarded and the step changes nothing."""
        step = self.global_step + 1
        is_logged = step % self.config.trainer.log_every_steps == 0
        part_norms = gradient_norms(self.network) if is_logged else {}
        learning = [p for p in self.network.parameters() if p.grad is not None]
        limit = self.config.optimizer.clip or float("inf")
        norm = float(whole(nn.utils.clip_grad_norm_(learning, limit)))
        if not self.skipped.is_usable(norm, step):
            optimizer.zero_grad(set_to_none=True)
        self.step_record = StepRecord(
            step=step, lr=optimizer.param_groups[0]["lr"], gradient_norm=norm,
            num_skipped=self.skipped.total, is_logged=is_logged,
            losses=self.losses.take() if is_logged else {}, part_norms=part_norms,
        )  # fmt: skip

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the data that inference needs; leave out networks that this stage does not use.

        With LoRA only the adapters are kept, and what identifies the model they belong to.
        """
        for key, prefix in (("state_dict", "network."), ("ema", "")):
            if key in checkpoint:
                state, active = checkpoint[key], self._stored_names(prefix)
                checkpoint[key] = {k: v for k, v in state.items() if k.startswith(active)}
        if self.adapters is not None:
            checkpoint["lora"] = self.adapters.record
        checkpoint["system"] = to_plain(self.config.system)
        checkpoint["sampler"] = to_plain(self.config.validation.sampler)
        checkpoint["config"] = to_plain(self.config)
        checkpoint["parts"] = list(self.config.parts)
        checkpoint["position"] = {
            "step": self.global_step,  # names the samples: datasets/loading/sample_order.py
            "global_batch": global_batch(self.config),
        }
        checkpoint["code"] = describe_code()
        checkpoint["random_states"] = random_states()
        checkpoint["losses"] = self.losses.state_dict()
        checkpoint["skipped"] = self.skipped.state_dict()

    def on_train_batch_start(self, batch: NumberedBatch | LatentBatch, batch_idx: int) -> None:
        """A resumed run restores its random states once its loaders, which draw a seed, exist."""
        if self._random_states is not None:
            restore_random_states(self._random_states)
            self._random_states = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Networks that this stage does not use, and a base model, keep their initial weights."""
        active = self._stored_names("network.")
        unused = {k: v for k, v in self.state_dict().items() if not k.startswith(active)}
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **unused}
        if "losses" in checkpoint:  # older ones have none
            self._random_states = checkpoint["random_states"]
            self.losses.load_state_dict(checkpoint["losses"])
            self.skipped.load_state_dict(checkpoint["skipped"], checkpoint["global_step"])

    def _stored_names(self, prefix: str) -> tuple[str, ...]:
        """What the names in a checkpoint begin with."""
        if self.adapters is not None:
            return tuple(f"{prefix}{name}" for name in self.learning)
        return tuple(f"{prefix}{part}." for part in self.config.parts)
