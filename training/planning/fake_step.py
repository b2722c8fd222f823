"""One micro-batch of a run on fake tensors: what it keeps in memory, and its operations.

The real network runs forward and backward: nothing is computed or allocated, but every tensor's
size and lifetime is real (``fake_tensor_bytes``). Fake tensors are CPU tensors, so that autocast
and the fused attention behave as on a device; temporal attention uses the four axes that it has on
a GPU.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from datasets.loading.config import DataConfig
from models.acceleration import checkpoint_blocks, parse_checkpointing
from models.conditions import Conditions
from models.control import control_channels
from models.embeddings import spatial_positions, temporal_positions
from models.places import BODY_CHANNELS, OUTLINE
from models.system import SystemConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from training.config import TrainConfig
from training.freezing import freeze_rule, learning_names
from training.frozen_weights import is_roundable
from training.lora.adapters import is_adapter, linear_layers
from training.lora.config import adapted_layers
from training.planning.adapter_shapes import shape_adapters
from training.planning.fake_tensor_bytes import LiveBytes, attend_as_a_gpu, to_fake
from training.planning.flops import FlopCounts, Flops


@dataclass(frozen=True, kw_only=True)
class Work:
    """One call of the network.

    Attributes:
        rows: of the batch.
        frames: of a window.
        height: of the latent grid.
        width: of the latent grid.
        garment_scale: the garment's grid is this many times as large as a frame's.
        rows_per_garment: consecutive rows that share one.
    """

    rows: int
    frames: int
    height: int
    width: int
    garment_scale: int = 1
    rows_per_garment: int = 1

    @property
    def garment_frames(self) -> int:
        """Frames that would fit into the garments' pictures."""
        return self.rows // self.rows_per_garment * self.garment_scale**2

    @classmethod
    def of(cls, system: SystemConfig, data: DataConfig) -> "Work":
        """A micro-batch of training."""
        _, _, height, width = system.latent_shape
        images = data.images_per_window if data.num_frames == 1 else 1
        return cls(
            rows=data.batch_size * images,
            frames=data.num_frames,
            height=height,
            width=width,
            garment_scale=system.garment_scale,
            rows_per_garment=images,
        )


@dataclass(frozen=True, kw_only=True)
class FakeStep:
    """Bytes at the peak of a forward and backward pass, and the operations of each part.

    ``reading``: of all operations, those that read the garment at places.
    """

    weights: int
    gradients: int
    activations: int
    working: int
    flops: Mapping[str, Flops]
    reading: float


@dataclass(frozen=True)
class RunKey:
    """A run's settings as a cache key: equal if ``words`` are."""

    config: TrainConfig = field(compare=False)
    words: str


def fake_step(config: TrainConfig, *, on_gpu: bool = True) -> FakeStep:
    """Run a micro-batch; the same one only once.

    Args:
        config: the run; no file is read.
        on_gpu: False for a run on a CPU (its temporal attention keeps other tensors).
    """
    machine, system, data = config.trainer, config.system, config.data
    relevant = (
        system.network, system.latent_shape, system.caption, system.garment_scale,
        data.batch_size, data.num_frames, data.images_per_window,
        config.freeze, config.lora, config.stage, config.parts, machine.precision,
        machine.frozen_dtype, machine.activation_checkpointing, machine.accumulate > 1, on_gpu,
    )  # fmt: skip
    return _run_step(RunKey(config, repr(relevant)), on_gpu)


@lru_cache(maxsize=64)
def _run_step(key: RunKey, on_gpu: bool) -> FakeStep:
    config, machine = key.config, key.config.trainer
    with torch.device("meta"):  # outside of FakeTensorMode, which would see every initialisation
        network = VitonDiT(config.system.network)
    half = machine.precision == "bf16-true"
    with _apart(), FakeTensorMode():
        _make_fake(network, config, on_gpu)
        inputs = _Inputs.of(
            config.system.network,
            Work.of(config.system, config.data),
            torch.bfloat16 if half else torch.float32,
            is_masked=config.system.caption.path is not None,
        )
        parameters = [p for p in network.parameters() if p.requires_grad]
        if machine.accumulate > 1:
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
        known = [*network.parameters(), *network.buffers(), *inputs.tensors()]
        known += [parameter.grad for parameter in parameters if parameter.grad is not None]
        live, counts = LiveBytes(known), FlopCounts()
        with live, counts:
            # as in Lightning's bf16-mixed, which does not cache cast weights
            mixed = machine.precision == "bf16-mixed"
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed, cache_enabled=False):
                loss = inputs.predict(network, config.parts, counts).float().square().mean()
            live.mark()
            loss.backward()
        gradients = [p.grad for p in parameters if p.grad is not None]
        weights = sum(p.numel() * p.element_size() for p in network.parameters())
    summed = live.at_peak(gradients)
    return FakeStep(
        weights=weights,
        gradients=summed,
        activations=live.marked_at_peak,
        working=live.peak - summed - live.marked_at_peak,
        flops={part: counts.by_part[part] for part in config.parts},
        reading=counts.reading,
    )


def _make_fake(network: VitonDiT, config: TrainConfig, on_gpu: bool) -> None:
    """Give a network on the meta device fake weights, and make it learn as the run does."""
    machine = config.trainer
    dtype = torch.bfloat16 if machine.precision == "bf16-true" else torch.float32
    to_fake(network, dtype)
    if config.lora.rank:
        layers = adapted_layers(config.lora, linear_layers(network), config.parts)
        shape_adapters(network, layers, config.lora.rank, dtype)
        learning = {name for name, _ in network.named_parameters() if is_adapter(name)}
    else:
        names = (name for name, _ in network.named_parameters())
        learning = set(learning_names(names, freeze_rule(config.freeze, config.stage)))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in learning)
        if machine.frozen_dtype == "bfloat16" and name not in learning and is_roundable(name):
            parameter.data = parameter.data.to(torch.bfloat16)
    if on_gpu:
        attend_as_a_gpu(network)
    checkpoint_blocks(network, parse_checkpointing(machine.activation_checkpointing))


def sample_flops(
    config: VitonDiTConfig, work: Work, *, steps: int, guided_steps: int
) -> dict[str, float]:
    """One sampled window: extractor and all keys and values once, one ControlNet pass a step.

    Args:
        config: the networks' sizes.
        work: the window; its rows share nothing.
        steps: of the solver, each one call of denoiser and ControlNet.
        guided_steps: those that call the denoiser a second time, without a garment.
    """
    with torch.device("meta"):
        network = VitonDiT(config)
    counts = FlopCounts()
    with _apart(), torch.no_grad(), FakeTensorMode():
        to_fake(network)
        given = _Inputs.of(config, work, torch.float32)
        with counts:
            caption = network.encode_caption(given.caption)
            counts.part = "garment"
            garment = network.encode_garment(given.garment, caption, given.outline)
            plain = Conditions(
                caption=caption, garment=garment, control=given.control, body=given.body
            )
            counts.part = "once"
            painted = network.project(plain)
            counts.part = "control"
            residuals = network.control_residuals(given.latents, given.timesteps, painted)
            counts.part = "painted"
            network(given.latents, given.timesteps, painted, residuals)
            if guided_steps:
                counts.part = "once"
                unguided = network.null_side(painted)
                counts.part = "unguided"
                network(given.latents, given.timesteps, unguided, residuals)
    spent = {part: flops.forward for part, flops in counts.by_part.items()}
    return {
        "garment extractor": spent["garment"],
        "keys and values": spent["once"],
        "denoiser": steps * spent["painted"] + guided_steps * spent.get("unguided", 0.0),
        "ControlNet": steps * spent["control"],
    }


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """The network's inputs for a micro-batch."""

    latents: Tensor
    garment: Tensor
    control: Tensor
    caption: Tensor
    mask: Tensor | None
    timesteps: Tensor
    drop: Tensor
    known: Tensor
    body: Tensor | None
    outline: Tensor | None

    @classmethod
    def of(
        cls, network: VitonDiTConfig, work: Work, dtype: torch.dtype, *, is_masked: bool = False
    ) -> "_Inputs":
        trunk, places = network.trunk, network.finds_places
        rows, frames, garments = work.rows, work.frames, work.rows // work.rows_per_garment
        channels, height, width = trunk.in_channels, work.height, work.width
        grid = (work.garment_scale * height, work.garment_scale * width)
        given = control_channels(channels, network.warped_garment)
        return cls(
            latents=torch.empty(rows, channels, frames, height, width, dtype=dtype),
            garment=torch.empty(garments, channels, *grid, dtype=dtype),
            control=torch.empty(rows, given, frames, height, width, dtype=dtype),
            caption=torch.empty(1, trunk.caption_length, trunk.caption_dim, dtype=dtype),
            mask=torch.empty(1, trunk.caption_length, dtype=torch.bool) if is_masked else None,
            timesteps=torch.empty(rows, dtype=torch.long),
            drop=torch.empty(rows, dtype=torch.bool),
            known=torch.empty(rows, frames, dtype=torch.bool),
            body=torch.empty(rows, BODY_CHANNELS, frames, height, width) if places else None,
            outline=torch.empty(garments, *OUTLINE) if places else None,
        )

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [value for value in vars(self).values() if isinstance(value, Tensor)]

    def predict(self, network: VitonDiT, parts: list[str], counts: FlopCounts) -> Tensor:
        """Call the network as ``TryOnModule.training_step`` does, part by part."""
        counts.part = "denoiser"
        caption = network.encode_caption(self.caption, self.mask)
        counts.follow("denoiser", [caption.tokens])
        garment = None
        if "garment" in parts:
            counts.part = "garment"
            garment = network.encode_garment(self.garment, caption, self.outline)
            counts.follow("garment", garment.hidden)
        conditions = Conditions(
            caption=caption,
            garment=garment,
            control=self.control if "control" in parts else None,
            known=self.known,
            drop=self.drop,
            body=self.body,
        )
        counts.part = "control"
        residuals = network.control_residuals(self.latents, self.timesteps, conditions)
        counts.follow("control", residuals)
        counts.part = "denoiser"
        return network(self.latents, self.timesteps, conditions, residuals)


@contextmanager
def _apart() -> Iterator[None]:
    """Clear position caches: a fake tensor must not reach a real run, nor the reverse.

    Garbage collection is off meanwhile: it would take a fifth of the time.
    """
    caches = (spatial_positions, temporal_positions)
    for cache in caches:
        cache.cache_clear()
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        for cache in caches:
            cache.cache_clear()
