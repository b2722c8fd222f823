"""Sub-commands that install what some settings need, and that measure the code."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from training.cli.options import CODE, START, Flag, Out, Typed, examples
from training.cli.start import start

Device = Literal["cpu", "cuda"]
Size = Literal["toy", "small", "xl"]
Part = Literal["networks", "clip", "step", "sampling"]


def add_commands(app: App) -> None:
    """Add this file's sub-commands."""
    app.command(
        setup,
        group=START,
        usage="viton-dit setup NAME [--constraint FILE]",
        help_epilogue=examples("setup lowmem", "setup yolo --constraint constraints.txt"),
    )
    app.command(
        bench,
        group=CODE,
        usage="viton-dit bench [--quick] [--size SIZE] [--parts PART ...] [--out FILE.json]",
        help_epilogue=examples("bench", "bench --quick --size toy --parts networks clip"),
    )
    app.command(
        profile,
        group=CODE,
        usage="viton-dit profile [--size SIZE] [--steps N] [--out FOLDER]",
        help_epilogue=examples("profile", "profile --size toy --steps 1 --out /tmp/profile"),
    )


def setup(name: str | None = None, /, *, constraint: Typed | None = None) -> int | None:
    """Install the packages that some settings need, into this environment.

    Args:
        name: app, densepose, lora, lowmem, onnx, ray, text, transnet, wandb or yolo.
        constraint: File with versions to keep to, such as constraints.txt.
    """
    words = [name or "", *([] if constraint is None else ["--constraint", str(constraint)])]
    return start("configs.extras", words, settings="configs.extras:read_arguments")


def bench(
    *,
    quick: Flag = False,
    size: Size | None = None,
    device: Device | None = None,
    parts: Annotated[list[Part] | None, Parameter(consume_multiple=True, negative=())] = None,
    out: Out = None,
    resume: Flag = False,
    no_compile: Flag = False,
    fit_steps: int | None = None,
    processor_time: Flag = False,
) -> int | None:
    """Measure the networks against a plain reading of the method.

    Args:
        quick: Few repeats and steps.
        size: xl where there is a GPU, else small.
        device: cuda where there is one.
        parts: networks and clip on a CPU; networks, step and sampling on a GPU.
        out: The JSON file; runs/bench/DATE/SIZE-DEVICE.json unless named.
        resume: Keep the rows that the file has already.
        no_compile: Do not measure torch.compile.
        fit_steps: Steps of training before sampling; 100 unless given.
        processor_time: For a machine in use: one thread, seconds of processor time.
    """
    words = _options(size=size, device=device, out=out, fit_steps=fit_steps)
    words += _flags(
        quick=quick, resume=resume, no_compile=no_compile, processor_time=processor_time
    )
    words += ["--parts", *parts] if parts else []
    return start("tests.bench.run", words, uses_torch=True)


def profile(
    *,
    size: Size | None = None,
    device: Device | None = None,
    steps: int = 3,
    checkpoint: Flag = False,
    out: Out = None,
) -> int | None:
    """Show where a training step's time goes: a table of operators, and a trace file.

    Args:
        size: xl where there is a GPU, else small.
        device: cuda where there is one.
        steps: Training steps that are measured.
        checkpoint: Recompute every block.
        out: Folder; runs/profile/DATE unless named.
    """
    words = [
        *_options(size=size, device=device, steps=steps, out=out),
        *_flags(checkpoint=checkpoint),
    ]
    return start("tests.bench.profile", words, uses_torch=True)


def _options(**values: Path | str | int | None) -> list[str]:
    """Options of argparse; None is not given."""
    return [
        f"--{key.replace('_', '-')}={value}" for key, value in values.items() if value is not None
    ]


def _flags(**values: bool) -> list[str]:
    return [f"--{key.replace('_', '-')}" for key, is_on in values.items() if is_on]
