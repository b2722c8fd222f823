"""How much memory a training run needs on each device, without weights and without a GPU.

The real network runs one micro-batch on fake tensors (``fake_step.py``). In addition, per device:
weights, gradients, AdamW's states, the average, the batch's pixels and the codec.

A step has two peaks: the network's forward and backward pass, at whose start the activations are
full and the gradients empty and at whose end it is the reverse (with ``accumulate`` above 1
gradients stay), and the codec's encoding. Validation has one: a copy of the raw weights, the
average, and the codec's decoding. The largest is the estimate.

Not included: the CUDA context with its libraries, about 1 GB, and the allocator's fragmentation;
``Memory.needed`` adds ``CONTEXT`` and ``FRAGMENTATION`` for them. Nor differences between GPU and
CPU kernels: workspaces, a caption mask widened to scores, layer norms in float32 under autocast.
Tensors that ``torch.compile`` fuses away are counted.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from models.codecs.vae import FACTOR
from models.viton_dit import VitonDiT
from training.config import TrainConfig
from training.freezing import freeze_rule, learning_names
from training.lora.adapters import DOWN, UP, linear_layers
from training.lora.config import adapted_layers
from training.optimizers import BYTES_OF_STATES, SMALLEST_8BIT
from training.planning.codec_memory import CodecBytes, codec_bytes
from training.planning.fake_step import RunKey, Work, fake_step

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
    step = fake_step(config, on_gpu=on_gpu)
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
    network = _network(RunKey(config, repr(config.system.network)))
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    if not config.lora.rank:
        return sizes, learning_names(sizes, freeze_rule(config.freeze, config.stage))
    linear, rank = linear_layers(network), config.lora.rank
    adapters: dict[str, int] = {}
    for name in adapted_layers(config.lora, linear, config.parts):
        adapters[f"{name}{DOWN}weight"] = rank * linear[name].in_features
        adapters[f"{name}{UP}weight"] = rank * linear[name].out_features
    return sizes | adapters, list(adapters)


@lru_cache(maxsize=8)
def _network(key: RunKey) -> VitonDiT:
    with torch.device("meta"):
        return VitonDiT(key.config.system.network)


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
