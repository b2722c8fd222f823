"""How much memory a training run needs on each device, without weights and without a GPU.

The real network runs one micro-batch, forward and backward, on fake tensors: nothing is computed
or allocated, but every tensor's size and lifetime is real (``fake_tensor_bytes``). Fake tensors are
CPU tensors, so that autocast and the fused attention behave as on a device; temporal attention uses
the four axes that it has on a GPU. In addition, per device: weights, gradients, AdamW's states, the
average, the batch's pixels and the codec.

A step has two peaks: the network's forward and backward pass, at whose start the activations are
full and the gradients empty and at whose end it is the reverse (with ``accumulate`` above 1
gradients stay), and the codec's encoding. Validation has one: a copy of the raw weights, the
average, and the codec's decoding. The largest is the estimate.

Not included: the CUDA context with its libraries, about 1 GB, and the allocator's fragmentation;
``Memory.needed`` adds ``CONTEXT`` and ``FRAGMENTATION`` for them. Nor differences between GPU and
CPU kernels: workspaces, a caption mask widened to scores, layer norms in float32 under autocast.
Tensors that ``torch.compile`` fuses away are counted.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from models.acceleration import checkpoint_blocks, parse_checkpointing
from models.codecs.vae import FACTOR
from models.conditions import Conditions
from models.control import control_channels
from models.embeddings import spatial_positions, temporal_positions
from models.places import BODY_CHANNELS, OUTLINE
from models.viton_dit import VitonDiT
from training.config import TrainConfig
from training.freezing import freeze_rule, learning_names
from training.frozen_weights import is_roundable
from training.lora.adapters import DOWN, UP, is_adapter, linear_layers
from training.lora.config import adapted_layers
from training.optimizers import BYTES_OF_STATES, SMALLEST_8BIT
from training.planning.adapter_shapes import shape_adapters
from training.planning.codec_memory import CodecBytes, codec_bytes
from training.planning.fake_tensor_bytes import LiveBytes, attend_as_a_gpu, to_fake
from training.planning.flops import Work

CONTEXT = 1.0e9
"""Bytes of a CUDA context with its libraries."""
FRAGMENTATION = 0.05
"""Share of the estimate that the allocator may hold unused."""
_FAR_ABOVE = 400
"""Upper bound of values that a block keeps per token and channel; about 40 to 60 are kept."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peak bytes on one device, by purpose.

    Attributes:
        weights: of the three networks, in use or not.
        gradients: with several devices also DDP's buckets, which are as large.
        states: of the optimizer.
        average: of the trainable weights, if it is on the device.
        activations: kept by the forward pass for the backward pass.
        working: temporary tensors: a block's intermediates, recomputed activations, casts.
        codec: its weights, and the pixels of a batch.
        moment: training, encoding or validation, whichever needs most.
    """

    weights: int
    gradients: int
    states: int
    average: int
    activations: int
    working: int
    codec: int
    moment: str

    @property
    def total(self) -> int:
        """The sum of all parts."""
        fixed = self.weights + self.states + self.average + self.codec
        return fixed + self.gradients + self.activations + self.working

    @property
    def needed(self) -> int:
        """The total with a margin for everything the estimate does not include."""
        return int(self.total * (1 + FRAGMENTATION) + CONTEXT)


def estimate_memory(config: TrainConfig, *, on_gpu: bool = True) -> Memory:
    """Peak memory of a run on each of its devices.

    Args:
        config: the run; only the codec's config.json is read from disk, if it exists.
        on_gpu: False for a run on a CPU (its temporal attention keeps other tensors).
    """
    sizes, learning = parameter_sizes(config)
    learned = sum(sizes[name] for name in learning)
    small = sum(sizes[name] for name in learning if sizes[name] < SMALLEST_8BIT)
    states = 8 * small + BYTES_OF_STATES[config.optimizer.states] * (learned - small)
    half = config.trainer.precision == "bf16-true"
    if half:
        states = states / 2 if config.optimizer.states == "float32" else states
    each = 2 if half else 4
    buckets = each * learned if _num_devices(config) > 1 else 0
    average = 4 * learned if config.ema.enabled else 0
    on_device = average if config.ema.device == "auto" or not on_gpu else 0
    kept = config.trainer.accumulate > 1
    step = _step(config, on_gpu)
    codec = _codec(config)
    fixed = Memory(
        weights=step.weights,
        gradients=buckets + (each * learned if kept else 0),
        states=int(states),
        average=on_device,
        activations=0,
        working=0,
        codec=codec.weights + _pixels(config),
        moment="encoding",
    )
    moments = [
        replace(
            fixed,
            gradients=fixed.gradients + step.gradients,
            activations=step.activations,
            working=step.working,
            moment="training",
        ),
        replace(fixed, working=codec.encoding),
    ]
    if config.looks_at_val:
        raw = on_device if config.ema.enabled else 0
        moments.append(
            replace(fixed, gradients=buckets, working=raw + codec.decoding, moment="validation")
        )
    fullest = max(moments, key=lambda moment: moment.total)
    if config.trainer.strategy == "fsdp2":
        return estimate_sharded(config, fullest, _num_devices(config))
    return fullest


def is_small(config: TrainConfig, available: float) -> bool:
    """Whether a run is small enough to skip the estimate, which takes a second or more.

    A bound ten times too high, for the demo, tests and learning.
    """
    sizes, _ = parameter_sizes(config)
    trunk, (_, _, height, width) = config.system.network.trunk, config.system.latent_shape
    places = height * width // (trunk.patch_size[1] * trunk.patch_size[2])
    work = Work.of(config.system, config.data)
    tokens = work.rows * (work.frames + work.garment_scale**2) * places
    blocks = 2 * trunk.depth + config.system.network.num_control_blocks
    activations = 4 * _FAR_ABOVE * blocks * tokens * trunk.dim
    bound = 7 * 4 * sum(sizes.values()) + activations + 10 * _pixels(config)
    return config.system.codec.kind != "kl" and bound + CONTEXT < available


def estimate_sharded(config: TrainConfig, memory: Memory, devices: int) -> Memory:
    """The same run with weights, gradients, states and average sharded over devices (FSDP2).

    Only the weights of the current block and of the one being prefetched are whole. Activations and
    working set are unchanged.
    """
    sizes, _ = parameter_sizes(config)
    blocks: dict[str, int] = {}
    for name, size in sizes.items():
        if ".blocks." in name:
            block = ".".join(name.split(".")[:3])
            blocks[block] = blocks.get(block, 0) + size
    gathered = 2 * 4 * max(blocks.values())
    gradients = memory.gradients // (2 if _num_devices(config) > 1 else 1)  # no DDP buckets
    return replace(
        memory,
        weights=memory.weights // devices + gathered,
        gradients=gradients // devices,
        states=memory.states // devices,
        average=memory.average // devices,
    )


def _num_devices(config: TrainConfig) -> int:
    return config.trainer.devices * config.trainer.num_nodes


def parameter_sizes(config: TrainConfig) -> tuple[dict[str, int], list[str]]:
    """Number of values of every parameter of the three networks, and the trained names.

    Adapters are named like the layer that they belong to: ``...qkv.lora_A.weight``.
    """
    network = _network(_Key(config, repr(config.system.network)))
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    if not config.lora.rank:
        return sizes, learning_names(sizes, freeze_rule(config.freeze, config.stage))
    linear, rank = linear_layers(network), config.lora.rank
    adapters: dict[str, int] = {}
    for name in adapted_layers(config.lora, linear, config.parts):
        adapters[f"{name}{DOWN}weight"] = rank * linear[name].in_features
        adapters[f"{name}{UP}weight"] = rank * linear[name].out_features
    return sizes | adapters, list(adapters)


@dataclass(frozen=True, kw_only=True)
class _StepBytes:
    weights: int
    gradients: int
    activations: int
    working: int


@lru_cache(maxsize=8)
def _network(key: "_Key") -> VitonDiT:
    with torch.device("meta"):
        return VitonDiT(key.config.system.network)


@dataclass(frozen=True)
class _Key:
    """A run's settings as a cache key: equal if ``words`` are."""

    config: TrainConfig = field(compare=False)
    words: str


def _step(config: TrainConfig, on_gpu: bool) -> _StepBytes:
    machine, system, data = config.trainer, config.system, config.data
    relevant = (
        system.network, system.latent_shape, system.caption, system.garment_scale,
        data.batch_size, data.num_frames, data.images_per_window,
        config.freeze, config.lora, config.stage, config.parts, machine.precision,
        machine.frozen_dtype, machine.activation_checkpointing, machine.accumulate > 1, on_gpu,
    )  # fmt: skip
    return _run_step(_Key(config, repr(relevant)), on_gpu)


@lru_cache(maxsize=64)
def _run_step(key: _Key, on_gpu: bool) -> _StepBytes:
    """One micro-batch through the network, on fake tensors."""
    config, machine = key.config, key.config.trainer
    with torch.device("meta"):  # outside of FakeTensorMode, which would see every initialisation
        network = VitonDiT(config.system.network)
    with _apart(), FakeTensorMode():
        _make_fake(network, config, on_gpu)
        inputs = _Inputs.of(config)
        parameters = [p for p in network.parameters() if p.requires_grad]
        if machine.accumulate > 1:
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
        known = [*network.parameters(), *network.buffers(), *inputs.tensors()]
        known += [parameter.grad for parameter in parameters if parameter.grad is not None]
        half = machine.precision == "bf16-mixed"
        live = LiveBytes(known)
        with live:
            # as in Lightning's bf16-mixed, which does not cache cast weights
            with torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False):
                loss = inputs.predict(network, config.parts).float().square().mean()
            live.mark()
            loss.backward()
        gradients = [p.grad for p in parameters if p.grad is not None]
        weights = sum(p.numel() * p.element_size() for p in network.parameters())
    summed = live.at_peak(gradients)
    return _StepBytes(
        weights=weights,
        gradients=summed,
        activations=live.marked_at_peak,
        working=live.peak - summed - live.marked_at_peak,
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
    def of(cls, config: TrainConfig) -> "_Inputs":
        system, trunk = config.system, config.system.network.trunk
        work = Work.of(system, config.data)
        rows, frames, garments = work.rows, work.frames, work.rows // work.rows_per_garment
        channels, _, height, width = system.latent_shape
        grid = (work.garment_scale * height, work.garment_scale * width)
        places = system.network.finds_places
        half = config.trainer.precision == "bf16-true"
        dtype = torch.bfloat16 if half else torch.float32
        masked = system.caption.path is not None
        warped = system.network.warped_garment
        return cls(
            latents=torch.empty(rows, channels, frames, height, width, dtype=dtype),
            garment=torch.empty(garments, channels, *grid, dtype=dtype),
            control=torch.empty(
                rows, control_channels(channels, warped), frames, height, width, dtype=dtype
            ),
            caption=torch.empty(1, trunk.caption_length, trunk.caption_dim, dtype=dtype),
            mask=torch.empty(1, trunk.caption_length, dtype=torch.bool) if masked else None,
            timesteps=torch.empty(rows, dtype=torch.long),
            drop=torch.empty(rows, dtype=torch.bool),
            known=torch.empty(rows, frames, dtype=torch.bool),
            body=torch.empty(rows, BODY_CHANNELS, frames, height, width) if places else None,
            outline=torch.empty(garments, *OUTLINE) if places else None,
        )

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [value for value in vars(self).values() if isinstance(value, Tensor)]

    def predict(self, network: VitonDiT, parts: list[str]) -> Tensor:
        """Call the network as ``TryOnModule.training_step`` does."""
        caption = network.encode_caption(self.caption, self.mask)
        garment = None
        if "garment" in parts:
            garment = network.encode_garment(self.garment, caption, self.outline)
        conditions = Conditions(
            caption=caption,
            garment=garment,
            control=self.control if "control" in parts else None,
            known=self.known,
            drop=self.drop,
            body=self.body,
        )
        return network(self.latents, self.timesteps, conditions)


def _codec(config: TrainConfig) -> CodecBytes:
    """Memory of the codec; with cached latents it only decodes, in validation."""
    system = config.system
    work = Work.of(system, config.data)
    images = work.rows * work.frames
    found = codec_bytes(system.codec, system.height, system.width, images)
    if not _has_cache(config):
        return found
    weights = found.weights if config.looks_at_val else 0
    return replace(found, weights=weights, encoding=0)


def _has_cache(config: TrainConfig) -> bool:
    """Whether latents certainly come from a cache; ``auto`` may find none."""
    return config.data.latents not in (None, "auto")


def _pixels(config: TrainConfig) -> int:
    """Video, agnostic, DensePose and mask of a batch, its garments, and their latents; float32."""
    system, work = config.system, Work.of(config.system, config.data)
    area, frames = system.height * system.width, work.rows * work.frames
    garments = work.garment_frames
    pixels = 0 if _has_cache(config) else ((3 * 3 + 1) * frames + 3 * garments) * area
    channels = system.codec.latent_channels
    latents = ((3 * channels + 1) * frames + channels * garments) * area // FACTOR**2
    return 4 * (pixels + latents)


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
