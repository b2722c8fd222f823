"""Plan a run before it starts: ``python -m training.plan CONFIG.yaml [key=value ...]``.

Parameters, operations, memory and time of the full run, on any machine: no weights are read, no
GPU is needed. Keys of the plan itself, in addition to those of the configuration:

- ``gpu_gb=24``: memory of each device in GB (1e9 bytes); the plan says whether the run fits and,
  if not, which settings make it fit;
- ``mfu=0.4``: share of the device's peak that the step reaches (assumed, not measured);
- ``peak_tflops=989``: the device's peak; the default is an H100's dense bfloat16.
"""

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.checks import check_range
from configs.command import run_command
from configs.console import counted, duration_in_words
from configs.front_door import as_called
from configs.loading import CHECKOUT, load_config, split_arguments
from models.acceleration import parse_checkpointing
from training.config import TrainConfig
from training.freezing import describe
from training.planning.codec_memory import image_flops
from training.planning.fake_step import Work, fake_step, sample_flops
from training.planning.flops import Flops
from training.planning.memory import (
    CONTEXT,
    FRAGMENTATION,
    Memory,
    estimate_memory,
    estimate_sharded,
    parameter_sizes,
)
from training.planning.suggestions import find_fit, with_changes, words

USAGE = 'make plan [CONFIG=configs/stage3.yaml] [GPU=24] [ARGS="mfu=0.4 peak_tflops=989 ..."]'
RECIPES = Path("configs/recipes")
NAMES = {"denoiser": "denoiser", "garment": "garment extractor", "control": "ControlNet"}
KINDS = {
    "attn": "spatial attention",
    "attn_temp": "temporal attention",
    "cross_attn": "caption attention",
    "fusion": "garment attention",
    "mlp": "feed forward",
    "scale_shift_table": "modulation tables",
}
SHORTEST_S = 0.02
"""Below this a step's time is not a matter of its operations."""
FSDP_DEVICES = 8
"""Shown if ``trainer.devices`` is 1."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """The device to plan for."""

    gpu_gb: float | None = None
    mfu: float = 0.4
    peak_tflops: float = 989.0

    def __post_init__(self) -> None:
        check_range(self, "gpu_gb", "peak_tflops", above=0)
        check_range(self, "mfu", above=0, most=1)


def main(argv: list[str]) -> int:
    """Read the settings and print the plan."""
    path, settings, config = read_arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    print_plan(console, config, settings, path)
    return 0


def read_arguments(argv: list[str]) -> tuple[Path, PlanConfig, TrainConfig]:
    """The run's file, the device to plan for, and the run's settings."""
    path, given = split_arguments(argv, USAGE)
    own = ("gpu_gb=", "mfu=", "peak_tflops=")
    settings = load_config(PlanConfig, None, [word for word in given if word.startswith(own)])
    overrides = [word for word in given if not word.startswith(own)]
    return path, settings, load_config(TrainConfig, path, overrides)


def print_plan(console: Console, config: TrainConfig, settings: PlanConfig, path: Path) -> None:
    """All tables of the plan."""
    system, data, machine = config.system, config.data, config.trainer
    preset = f", preset {config.freeze.preset}" if config.stage in ("stage2", "stage3") else ""
    if config.lora.rank:
        preset = f", LoRA of rank {config.lora.rank}"
    console.print(
        f"[bold]{path}[/]: {config.stage}{preset}, {machine.precision}; windows of "
        f"{data.num_frames} x {system.height} x {system.width}, {data.batch_size} at a time on "
        f"each of {counted(machine.devices * machine.num_nodes, 'device')}, "
        f"{counted(machine.accumulate, 'time')} a step"
    )
    console.print(parameter_table(config))
    flops = step_flops(config)
    console.print(flops_table(config, flops))
    console.print(time_line(config, settings, flops))
    if system.codec.kind != "dct":
        console.print(cache_line(config))
    if system.network.finds_places:
        console.print(places_line(config))
    console.print(sample_table(config, settings))
    with console.status("Running the step on fake tensors ..."):
        memory = memory_table(config, compares=settings.gpu_gb is None)
    console.print(memory)
    console.print(
        f"needed = total + {FRAGMENTATION:.0%} for the allocator + {CONTEXT / 1e9:g} GB for CUDA; "
        "not in the total: kernels' workspaces. GB = 1e9 bytes."
    )
    if settings.gpu_gb is not None:
        with console.status("Looking for what fits ..."):
            found = verdict(config, settings.gpu_gb, path)
        console.print(as_called(found), soft_wrap=True)


def parameter_table(config: TrainConfig) -> Table:
    """Parameters of the networks in use by kind of layer, and the trained ones."""
    sizes, learning_list = parameter_sizes(config)
    learning = set(learning_list)
    rows: dict[tuple[str, str], list[int]] = {}
    for name, size in sizes.items():
        part, *rest = name.split(".")
        if part not in config.parts:
            continue
        kind = KINDS[rest[2]] if rest[0] == "blocks" else "embeddings and last layer"
        row = rows.setdefault((NAMES[part], kind), [0, 0])
        row[0] += size
        row[1] += size if name in learning else 0
    table = _table("Parameters, in millions", "part", "layers")
    for column in ("in use", "learn", ""):
        table.add_column(column, justify="right")
    seen = ""
    for (part, kind), (size, learn) in rows.items():
        shown, seen = ("" if part == seen else part), part
        table.add_row(shown, kind, _millions(size), _millions(learn), describe(learn, size))
    in_use, learned = (sum(row[side] for row in rows.values()) for side in (0, 1))
    table.add_section()
    table.add_row("all", "", _millions(in_use), _millions(learned), f"{learned / in_use:.0%}")
    return table


def step_flops(config: TrainConfig) -> dict[str, Flops]:
    """Operations of one micro-batch by part; the autoencoder's are ``codec``."""
    system, data = config.system, config.data
    flops = dict(fake_step(config).flops)
    if system.codec.kind != "dct" and data.latents is None:
        encode, decode = image_flops(system.codec, system.height, system.width)
        spent = num_encoded_images(config) * encode + num_decoded_images(config) * decode
        flops["codec"] = Flops(forward=spent)
    return flops


def places_line(config: TrainConfig) -> str:
    """What it costs to read the garment at places."""
    spent = fake_step(config).reading
    every = sum(step_flops(config).values(), Flops()).total
    return (
        f"Reading the garment at places takes {spent / 1e12:.3g} of these TFLOP, "
        f"{spent / every:.1%} of a step."
    )


def cache_ratio(config: TrainConfig) -> float:
    """Operations of a step that encodes, divided by those of one that uses cached latents."""
    without = config.data if config.data.latents is None else replace(config.data, latents=None)
    flops = step_flops(replace(config, data=without))
    every = sum(flops.values(), Flops()).total
    return every / (every - flops.get("codec", Flops()).total)


def cache_line(config: TrainConfig) -> str:
    """How much ``make latents`` saves, or saved."""
    gained = "saves" if config.data.latents is not None else "would save"
    return (
        f"A latent cache ({as_called('`make latents`')}) {gained} the autoencoder's part: "
        f"{cache_ratio(config):.2f} times as many steps for the same operations."
    )


def num_encoded_images(config: TrainConfig) -> int:
    """Frames that the codec encodes: video, agnostic, DensePose; two more with a warped garment.

    A garment's picture counts as the frames that fit into it.
    """
    work = Work.of(config.system, config.data)
    tracks = 3 + 2 * config.system.network.warped_garment
    return tracks * work.rows * work.frames + work.garment_frames


def num_decoded_images(config: TrainConfig) -> int:
    """Frames that the codec decodes: agnostic and garment, only for a warped garment."""
    work = Work.of(config.system, config.data)
    warps = config.system.network.warped_garment
    return (work.rows * work.frames + work.garment_frames) * warps


def flops_table(config: TrainConfig, flops: dict[str, Flops]) -> Table:
    """Operations of one micro-batch."""
    table = _table("One micro-batch, in TFLOP (FLOP = 2 MAC)", "part")
    for column in ("forward", "backward", "recomputed", "all"):
        table.add_column(column, justify="right")
    images = num_encoded_images(config)
    names = {**NAMES, "codec": f"autoencoder, {counted(images, 'image')}"}
    for part, count in flops.items():
        table.add_row(names[part], *_tera(count))
    table.add_section()
    table.add_row("all", *_tera(sum(flops.values(), Flops())))
    return table


def seconds_per_step(config: TrainConfig, settings: PlanConfig, flops: dict[str, Flops]) -> float:
    """Of an optimizer step, at the assumed share of the device's peak."""
    operations = sum(flops.values(), Flops()).total * config.trainer.accumulate
    return operations / (settings.mfu * settings.peak_tflops * 1e12)


def time_line(config: TrainConfig, settings: PlanConfig, flops: dict[str, Flops]) -> str:
    """Seconds per optimizer step and samples per day, at the assumed share of the peak."""
    machine = config.trainer
    operations = sum(flops.values(), Flops()).total * machine.accumulate
    seconds = seconds_per_step(config, settings, flops)
    samples = config.data.batch_size * machine.accumulate * machine.devices * machine.num_nodes
    every = f"{counted(samples, 'sample')} a step"
    if seconds < SHORTEST_S:
        return (
            f"An optimizer step: {operations / 1e12:.2g} TFLOP a device, {every}. That is too "
            "little to tell its time from: launching kernels and reading data take longer."
        )
    return (
        f"An optimizer step: {operations / 1e12:,.1f} TFLOP a device, {seconds:.3g} s if "
        f"{settings.mfu:.0%} of {settings.peak_tflops:g} TFLOP/s are reached (assumed, not "
        f"measured); {every}, {86400 / seconds * samples:,.0f} a day; "
        f"{counted(config.max_steps, 'step')}: {duration_in_words(config.max_steps * seconds)}."
    )


def sample_table(config: TrainConfig, settings: PlanConfig) -> Table:
    """Operations of one sampled window with the network's own sampler."""
    system, sampler = config.system, config.validation.sampler
    _, frames, height, width = system.latent_shape
    guided = sum(sampler.is_guided(step) for step in range(sampler.num_steps))
    work = Work(
        rows=1, frames=frames, height=height, width=width, garment_scale=system.garment_scale
    )
    flops = sample_flops(system.network, work, steps=sampler.num_steps, guided_steps=guided)
    if system.codec.kind != "dct":
        encode, decode = image_flops(system.codec, system.height, system.width)
        warps, garment = system.network.warped_garment, system.garment_scale**2
        encoded = (2 + 2 * warps) * frames + garment  # agnostic, DensePose; frames with cloth
        decoded = frames + (frames + garment) * warps
        flops["autoencoder"] = encoded * encode + decoded * decode
    seconds = sum(flops.values()) / (settings.mfu * settings.peak_tflops * 1e12)
    title = (
        f"A sampled window of {frames} frames, in TFLOP: {sampler.solver}, {sampler.num_steps} "
        f"steps, {guided} guided"
    )
    title += f"; {seconds:.2g} s at that share" if seconds >= SHORTEST_S else ""
    table = _table(title, "part")
    table.add_column("all", justify="right")
    for part, count in flops.items():
        table.add_row(part, f"{count / 1e12:,.2f}")
    table.add_section()
    table.add_row("all", f"{sum(flops.values()) / 1e12:,.1f}")
    return table


def memory_table(config: TrainConfig, *, compares: bool = True) -> Table:
    """The estimate, sharded over devices, and (``compares``) with other kinds of checkpointing."""
    table = _table("Memory of each device, in GB; > is the configured checkpointing", "")
    columns = ("weights", "gradients", "states", "average", "activations", "working", "codec")
    for column in (*columns, "total", "needed"):
        table.add_column(column, justify="right")
    now = config.trainer.activation_checkpointing
    kinds = [kind for kind in ("none", "every_2", "blocks") if kind != now and compares]
    for kind in sorted({*kinds, now}, key=lambda kind: -_recomputes(kind)):
        memory = estimate_memory(with_changes(config, {"trainer.activation_checkpointing": kind}))
        table.add_row(*_memory_row(f"{'>' if kind == now else ' '} {kind}", memory))
    num_devices = config.trainer.devices * config.trainer.num_nodes
    devices = num_devices if num_devices > 1 else FSDP_DEVICES
    unsharded = with_changes(config, {"trainer.strategy": "auto"})
    sharded = estimate_sharded(unsharded, estimate_memory(unsharded), devices)
    table.add_section()
    table.add_row(*_memory_row(f"  fsdp2 of {devices}*", sharded))
    table.caption = f"* {now}, trainer.strategy=fsdp2: all sharded over {devices} devices"
    table.caption_justify = "left"
    return table


def _table(title: str, *columns: str) -> Table:
    """A plain table whose title may be wider than its columns."""
    return Table(*columns, title=Text(title, no_wrap=True), title_justify="left",
                 title_style="bold", caption_style="", box=box.SIMPLE_HEAD,
                 min_width=len(title))  # fmt: skip


def verdict(config: TrainConfig, gpu_gb: float, path: Path) -> str:
    """Whether the run of a file fits; if not, a recipe for this card, or settings that make it fit.

    Settings are searched where there is no recipe: each that is tried takes seconds.
    """
    needed = estimate_memory(config).needed / 1e9
    if needed <= gpu_gb:
        return f"[bold]fits[/]: needs {needed:.1f} of {gpu_gb:g} GB"
    recipe = recipe_for(config, gpu_gb)
    if recipe is not None and recipe.name != path.name:
        return (
            f"[bold]does not fit[/]: needs {needed:.1f} of {gpu_gb:g} GB; a recipe for such a card:"
            f"\n  make plan CONFIG={recipe} GPU={gpu_gb:g}"
        )
    changes, memory = find_fit(config, gpu_gb * 1e9)
    found = memory.needed / 1e9
    if found <= gpu_gb:
        return (
            f"[bold]does not fit[/]: needs {needed:.1f} of {gpu_gb:g} GB; {found:.1f} GB with\n"
            f"  {' '.join(words(changes))}"
        )
    return (
        f"[bold]does not fit[/]: needs {needed:.1f} of {gpu_gb:g} GB, and {found:.1f} GB with all "
        f"savings:\n  {' '.join(words(changes))}"
    )


def recipe_for(config: TrainConfig, gpu_gb: float) -> Path | None:
    """The recipe of this stage and network for the largest card of at most this size.

    A recipe's name says for what it is: ``24gb.yaml``, ``lora-16gb.yaml``; ``8x80gb.yaml`` is for
    several cards.
    """
    found: list[tuple[int, Path]] = []
    for file in sorted((CHECKOUT / RECIPES).glob("*.yaml")):
        card = re.search(r"(?<![0-9x])(\d+)gb", file.stem)
        if card is None or int(card[1]) > gpu_gb:
            continue
        recipe = load_config(TrainConfig, file)
        if (recipe.stage, recipe.system) == (config.stage, config.system):
            found.append((int(card[1]), RECIPES / file.name))
    return max(found, default=(0, None))[1]


def _recomputes(kind: str) -> float:
    every = parse_checkpointing(kind)
    return float("inf") if every == 0 else every


def _memory_row(name: str, memory: Memory) -> list[str]:
    parts = (
        memory.weights, memory.gradients, memory.states, memory.average, memory.activations,
        memory.working, memory.codec, memory.total, memory.needed,
    )  # fmt: skip
    return [name, *(f"{part / 1e9:.1f}" for part in parts)]


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f}" if count >= 1e5 else f"{count / 1e6:.3f}"


def _tera(flops: Flops) -> list[str]:
    parts = (flops.forward, flops.backward, flops.recomputed, flops.total)
    return [f"{part / 1e12:,.2f}" for part in parts]


if __name__ == "__main__":
    run_command(main)
