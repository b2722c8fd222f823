"""``make demo``: raw video -> shards -> pretrain and three stages -> scores, in small, on 2 cores.

Each step is one of the commands a user would type, run as a process of its own; each resumes, so
the whole does. The page comes last (``demo_page.py``).

    python -m training.demo configs/demo/demo.yaml [key=value ...]
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from configs.command import run_command
from configs.loading import load_config, split_arguments
from training.chain import Step
from training.demo_page import write_page

USAGE = "python -m training.demo configs/demo/demo.yaml [key=value ...]"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Where the demo puts its data and its page."""

    data: str = "data/demo"
    runs: str = "runs"
    steps: int | None = None  # optimizer steps of every stage; None: as each stage's YAML says


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """How long a step took, summed over the runs that were stopped and resumed."""

    title: str
    command: str
    seconds: float


def demo_steps(config: DemoConfig) -> list[Step]:
    """The way of the data, one command after the other."""
    data, runs = config.data, config.runs
    limit = [] if config.steps is None else [f"max_steps={config.steps}"]

    def fit(stage: str, before: str | None) -> tuple[str, ...]:
        start = [f"init_from={runs}/demo-{before}/checkpoints/last.ckpt"] if before else []
        return (
            "training.fit", f"configs/demo/{stage}.yaml", f"data.roots=[{data}/dance]",
            f"runs={runs}", *start, *limit,
        )  # fmt: skip

    curate = ("curation.run", "configs/demo/curate.yaml")
    return [
        Step(
            title="Render dancers",
            words=("datasets.synthetic", "configs/demo/render.yaml", f"out={data}/raw"),
        ),
        Step(
            title="Curate the training videos",
            words=(*curate, f"src={data}/raw/train", f"out={data}/dance"),
        ),
        Step(
            title="Curate the benchmark",
            words=(*curate, f"src={data}/raw/bench/raw", f"out={data}/bench"),
        ),
        Step(title="Pre-train the trunk", words=fit("pretrain", None)),
        Step(title="Stage 1: garment extractor", words=fit("stage1", "pretrain")),
        Step(title="Stage 2: ID ControlNet", words=fit("stage2", "stage1")),
        Step(title="Stage 3: video", words=fit("stage3", "stage2")),
        Step(
            title="Evaluate",
            words=(
                "training.evaluate", "configs/eval/synthetic.yaml", "name=demo",
                f"root={data}/bench", f"out={runs}/eval",
                f"checkpoint={runs}/demo-stage3/checkpoints/last.ckpt",
            ),
        ),
    ]  # fmt: skip


def run_steps(steps: list[Step], times_file: Path) -> list[StepTime]:
    """Run the steps in order and keep their times beside the page.

    Raises:
        UserError: a step failed; its own message stands above.
        KeyboardInterrupt: it was stopped.
    """
    earlier = {time.title: time for time in read_times(times_file)}
    times: list[StepTime] = []
    for number, step in enumerate(steps, start=1):
        sys.stdout.write(f"\n\033[1m[{number}/{len(steps)}] {step.title}\033[0m")
        start = time.monotonic()
        try:
            step.run()
        finally:
            seconds = time.monotonic() - start
            before = earlier.get(step.title)
            if before is not None and before.command == step.shown:
                seconds += before.seconds
            times.append(StepTime(title=step.title, command=step.shown, seconds=seconds))
            done = {entry.title for entry in times}
            pending = [entry for title, entry in earlier.items() if title not in done]
            times_file.parent.mkdir(parents=True, exist_ok=True)
            times_file.write_text(json.dumps([asdict(t) for t in [*times, *pending]], indent=1))
    return times


def read_times(times_file: Path) -> list[StepTime]:
    """The times of an earlier, unfinished or finished run; empty when there was none."""
    if not times_file.is_file():
        return []
    return [StepTime(**entry) for entry in json.loads(times_file.read_text())]


def main(argv: list[str]) -> int:
    """Run every step, write the page and name it."""
    path, overrides = split_arguments(argv, USAGE)
    config = load_config(DemoConfig, path, overrides)
    folder = Path(config.runs) / "demo"
    times = run_steps(demo_steps(config), folder / "steps.json")
    report = write_page(
        folder / "report.html",
        data=Path(config.data),
        runs=Path(config.runs),
        times=[(entry.title, entry.command, entry.seconds) for entry in times],
    )
    sys.stdout.write(f"\nThe page: {report.resolve().as_uri()}\n")
    return 0


if __name__ == "__main__":
    run_command(main)
