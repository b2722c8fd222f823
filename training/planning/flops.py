"""Floating-point operations of the networks in closed form; FLOP = 2 multiply-adds.

Counted are matrix products, as torch's ``FlopCounterMode`` counts them; norms, activations and
softmax are not.

=====================================  ======================  =================================
product                                forward                 backward
=====================================  ======================  =================================
linear layer, n tokens, a -> b         2 n a b                 the same for its input, if that
                                                               carries a gradient; and the same
                                                               for its weight, if that learns
attention, n queries, m keys, width d  4 n m d                 twice the forward pass, if queries
                                                               or keys carry a gradient
temporal attention of one frame        proj(v(x)): 4 n d d     as linear layers
reading at n places, width d           8 n d (not by torch)    twice the forward pass
recomputed block                                               its forward pass once more
=====================================  ======================  =================================

A gradient exists from the first learning parameter on: below it nothing is counted. A fused
attention kernel computes the scores again in its backward pass; that is not useful work and not
counted, nor is a layer's recomputation that torch leaves out at the end of a block.

Used by ``make plan`` and by the benchmark (MFU = these operations a second over the device's peak).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

from datasets.loading.config import DataConfig
from models.control import control_channels
from models.stdit import STDiTConfig
from models.system import SystemConfig
from models.viton_dit import VitonDiTConfig
from training.planning.products import Flops, attention, linear, reading

PARTS = ("denoiser", "garment", "control")
FREQUENCIES = 256
"""Width of the timestep's sinusoid."""
NO_ADAPTERS: Mapping[str, int] = MappingProxyType({})
READING = "reading at places"
"""The kind of layer that fusion "places" adds."""


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
        drop: True where rows may see the null caption (training): it is embedded too, and each
            row of the denoiser has a caption of its own.
    """

    rows: int
    frames: int
    height: int
    width: int
    garment_scale: int = 1
    rows_per_garment: int = 1
    drop: bool = False

    def places(self, trunk: STDiTConfig) -> int:
        """Tokens of one frame."""
        return (self.height // trunk.patch_size[1]) * (self.width // trunk.patch_size[2])

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
            drop=True,
        )


@dataclass(frozen=True, kw_only=True)
class _Carries:
    """Which inputs of a block carry a gradient."""

    x: bool
    caption: bool
    modulation: bool
    garment: bool = False


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What a block attends to: tokens whose keys and values it projects; 0 if they are given."""

    rows: int
    frames: int
    places: int
    caption_rows: int
    caption_length: int
    garments: int = 1
    garment_places: int | None = None
    reading_heads: int = 0
    projects: bool = True


def block_flops(
    trunk: STDiTConfig,
    prefix: str,
    context: _Context,
    carries: _Carries,
    learning: Set[str],
    *,
    temporal: bool = True,
    ranks: Mapping[str, int] = NO_ADAPTERS,
) -> tuple[dict[str, Flops], bool]:
    """One STBlock by kind of layer, and whether its output carries a gradient."""
    dim, hidden = trunk.dim, int(trunk.dim * trunk.mlp_ratio)
    tokens = context.rows * context.frames * context.places

    def learns(layer: str) -> bool:
        return f"{prefix}.{layer}.weight" in learning

    def layer(name: str, count: float, sides: tuple[int, int], grad: bool) -> tuple[Flops, bool]:
        own, adapter = learns(name), ranks.get(f"{prefix}.{name}")
        flops = linear(count, *sides, learns=own, carries=grad)
        if adapter is None:
            return flops, own or grad
        down = linear(count, sides[0], adapter, learns=True, carries=grad)
        return flops + down + linear(count, adapter, sides[1], learns=True, carries=True), True

    found: dict[str, Flops] = {}
    moved = carries.modulation or f"{prefix}.scale_shift_table" in learning
    h = carries.x or moved

    qkv, grad = layer("attn.qkv", tokens, (dim, 3 * dim), h)
    mixed = attention(tokens * context.places, dim, carries=grad)
    out, spatial = layer("attn.proj", tokens, (dim, dim), grad)
    found["spatial attention"] = qkv + mixed + out

    if context.garment_places is not None:
        q, grad_q = layer("fusion.q_linear", tokens, (dim, dim), h)
        kv, grad_kv = Flops(), False
        if context.projects:
            count = context.garments * context.garment_places
            kv, grad_kv = layer("fusion.kv_linear", count, (dim, 2 * dim), carries.garment)
        mixed = attention(tokens * context.garment_places, dim, carries=grad_q or grad_kv)
        out, fused = layer("fusion.proj", tokens, (dim, dim), grad_q or grad_kv)
        found["garment attention"] = q + kv + mixed + out
        if context.reading_heads:
            move, moves = layer("fusion.place", tokens, (dim, 2 * context.reading_heads), h)
            found[READING] = move + reading(tokens, dim, carries=moves or grad_kv)
        spatial = spatial or fused
    x = carries.x or spatial or moved

    if temporal:
        if context.frames == 1:
            qkv, grad = layer("attn_temp.qkv", tokens, (dim, dim), x)
            mixed = Flops()
        else:
            qkv, grad = layer("attn_temp.qkv", tokens, (dim, 3 * dim), x)
            mixed = attention(tokens * context.frames, dim, carries=grad)
        out, x = layer("attn_temp.proj", tokens, (dim, dim), grad)
        x = x or h
        found["temporal attention"] = qkv + mixed + out

    q, grad_q = layer("cross_attn.q_linear", tokens, (dim, dim), x)
    kv, grad_kv = Flops(), False
    if context.projects:
        count = context.caption_rows * context.caption_length
        kv, grad_kv = layer("cross_attn.kv_linear", count, (dim, 2 * dim), carries.caption)
    mixed = attention(tokens * context.caption_length, dim, carries=grad_q or grad_kv)
    out, captioned = layer("cross_attn.proj", tokens, (dim, dim), grad_q or grad_kv)
    found["caption attention"] = q + kv + mixed + out
    x = x or captioned

    up, grad = layer("mlp.fc1", tokens, (dim, hidden), x or moved)
    down, x = layer("mlp.fc2", tokens, (hidden, dim), grad)
    found["feed forward"] = up + down
    return found, x


def network_flops(
    config: VitonDiTConfig,
    work: Work,
    *,
    parts: Sequence[str] = PARTS,
    learning: Set[str] = frozenset(),
    checkpoint_every: int = 0,
    ranks: Mapping[str, int] = NO_ADAPTERS,
) -> dict[str, dict[str, Flops]]:
    """One call of VitonDiT: part -> kind of layer -> operations.

    Args:
        config: the networks' sizes.
        work: what they are called with.
        parts: networks in use.
        learning: names of VitonDiT's parameters that learn; empty counts a forward pass alone.
        checkpoint_every: 0, or every how many blocks are recomputed (``models.acceleration``).
        ranks: of LoRA's adapters, by the name of a block's layer.

    Returns:
        For "denoiser", "garment" and "control", as far as in use.
    """
    trunk = config.trunk
    has_garment, has_control = "garment" in parts, "control" in parts
    places = work.places(trunk)
    tokens = work.rows * work.frames * places
    garments = work.rows // work.rows_per_garment
    garment_places = places * work.garment_scale**2
    heads = trunk.num_heads if config.finds_places else 0
    area = trunk.patch_size[1] * trunk.patch_size[2]
    calls = 1 + has_garment + has_control  # of the timestep embedder

    def one(name: str, count: float, sides: tuple[int, int], carries: bool = False) -> Flops:
        return linear(count, *sides, learns=f"{name}.weight" in learning, carries=carries)

    def learned(*names: str) -> bool:
        return any(f"{name}.weight" in learning for name in names)

    # embeddings that all three share
    d = trunk.dim
    t_carries = learned("denoiser.t_embedder.mlp.0", "denoiser.t_embedder.mlp.2")
    modulation = t_carries or learned("denoiser.t_block.1")
    embeddings = (
        one("denoiser.t_embedder.mlp.0", work.rows * calls, (FREQUENCIES, d))
        + one("denoiser.t_embedder.mlp.2", work.rows * calls, (d, d),
              learned("denoiser.t_embedder.mlp.0"))
        + one("denoiser.t_block.1", work.rows * calls, (d, 6 * d), t_carries)
    )  # fmt: skip
    captions = trunk.caption_length * (2 if work.drop else 1)
    y = "denoiser.y_embedder.y_proj"
    embeddings += one(f"{y}.fc1", captions, (trunk.caption_dim, d))
    embeddings += one(f"{y}.fc2", captions, (d, d), learned(f"{y}.fc1"))
    caption = learned(f"{y}.fc1", f"{y}.fc2")
    patches = one("denoiser.x_embedder.proj", tokens, (trunk.in_channels * area, d))
    embeddings += patches * (1 + has_control)
    x_carries = learned("denoiser.x_embedder.proj")

    counter = _Counter(trunk, learning, checkpoint_every, config, ranks)
    result: dict[str, dict[str, Flops]] = {}

    taps = [False] * trunk.depth
    if has_garment:
        context = _Context(
            rows=garments, frames=1, places=garment_places, caption_rows=1,
            caption_length=trunk.caption_length,
        )  # fmt: skip
        count = garments * garment_places
        first = one("garment.x_embedder.proj", count, (trunk.in_channels * area, d))
        kinds = {"embeddings and last layer": first}
        x = learned("garment.x_embedder.proj")
        taps[0] = x
        for index in range(trunk.depth - 1):
            carries = _Carries(x=x, caption=caption, modulation=modulation)
            x = counter.add(kinds, "garment", index, context, carries, temporal=False)
            taps[index + 1] = x
        result["garment"] = kinds

    residuals = [False] * trunk.depth
    attended = garment_places if has_garment else None
    if has_control:
        context = _Context(
            rows=work.rows, frames=work.frames, places=places, caption_rows=1,
            caption_length=trunk.caption_length, garments=garments, garment_places=attended,
            reading_heads=heads,
        )  # fmt: skip
        names = ("control.condition_embedder.proj", "control.input_projection")
        entering = control_channels(trunk.in_channels, config.warped_garment) * area
        first = one(names[0], tokens, (entering, d)) + one(names[1], tokens, (d, d),
                                                           learned(names[0]))  # fmt: skip
        kinds = {"embeddings and last layer": first}
        x = x_carries or learned(*names)
        for index in range(config.num_control_blocks):
            carries = _Carries(x=x, caption=caption, modulation=modulation, garment=taps[index])
            x = counter.add(kinds, "control", index, context, carries)
            name = f"control.output_projections.{index}"
            kinds["embeddings and last layer"] += one(name, tokens, (d, d), x)
            residuals[index] = x or learned(name)
        result["control"] = kinds

    context = _Context(
        rows=work.rows, frames=work.frames, places=places,
        caption_rows=work.rows if work.drop else 1,
        caption_length=trunk.caption_length, garments=garments, garment_places=attended,
        reading_heads=heads,
    )  # fmt: skip
    kinds = {"embeddings and last layer": embeddings}
    x = x_carries
    for index in range(trunk.depth):
        carries = _Carries(x=x, caption=caption, modulation=modulation, garment=taps[index])
        x = counter.add(kinds, "denoiser", index, context, carries) or residuals[index]
    x = x or t_carries or "denoiser.final_layer.scale_shift_table" in learning
    last = one("denoiser.final_layer.linear", tokens, (d, area * trunk.out_channels), x)
    kinds["embeddings and last layer"] += last
    return {"denoiser": kinds, **result}


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
    trunk = config.trunk
    whole = {part: total(kinds) for part, kinds in network_flops(config, work).items()}
    tokens = work.rows * work.places(trunk)
    per_block = 4.0 * trunk.dim**2
    garment = per_block * tokens * work.garment_scale**2
    captions = per_block * trunk.caption_length
    blocks = trunk.depth + config.num_control_blocks
    bare = total(network_flops(config, work, parts=["denoiser"])["denoiser"]).forward
    once = (garment + captions) * blocks + captions * trunk.depth * (guided_steps > 0)
    painted = whole["denoiser"].forward - (garment + captions) * trunk.depth
    control = whole["control"].forward - (garment + captions) * config.num_control_blocks
    return {
        "garment extractor": whole["garment"].forward,
        "keys and values": once,
        "denoiser": steps * painted + guided_steps * (bare - captions * trunk.depth),
        "ControlNet": steps * control,
    }


def total(kinds: dict[str, Flops]) -> Flops:
    """Of all kinds of layer."""
    return sum(kinds.values(), Flops())


class _Counter:
    """Adds blocks to a part's table, and knows which of them are recomputed.

    Blocks are numbered as ``checkpoint_blocks`` numbers them: denoiser, extractor, ControlNet.
    """

    def __init__(
        self,
        trunk: STDiTConfig,
        learning: Set[str],
        every: int,
        config: VitonDiTConfig,
        ranks: Mapping[str, int],
    ) -> None:
        self.trunk, self.learning, self.every, self.ranks = trunk, learning, every, ranks
        depth = config.trunk.depth
        self.first = {"denoiser": 0, "garment": depth, "control": 2 * depth - 1}

    def add(
        self,
        kinds: dict[str, Flops],
        part: str,
        index: int,
        context: _Context,
        carries: _Carries,
        *,
        temporal: bool = True,
    ) -> bool:
        found, x = block_flops(
            self.trunk, f"{part}.blocks.{index}", context, carries, self.learning,
            temporal=temporal, ranks=self.ranks,
        )  # fmt: skip
        again = x and self.every > 0 and (self.first[part] + index) % self.every == 0
        for kind, flops in found.items():
            extra = Flops(recomputed=flops.forward if again else 0.0)
            kinds[kind] = kinds.get(kind, Flops()) + flops + extra
        return x
