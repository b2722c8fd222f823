"""``make demo``: raw video -> shards -> pretrain and three stages -> scores, all in one command.

Each step is a command that a user would type, run in a process of its own; each resumes, so the
whole does. Output of other settings, another renderer or another curation is moved aside first
(``experiments/fingerprints.py``), so clips and runs never mix. The page comes last
(``experiments/demo_page.py``).

    python -m training.demo configs/demo/demo.yaml [key=value ...]      # two cores
    python -m training.demo configs/small/small.yaml [key=value ...]    # one GPU
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from configs.command import run_command
from configs.console import duration_in_words
from configs.errors import DataError
from configs.loading import load_config, read_plain, split_arguments
from datasets.storage import write_file
from inference.checkpoint_choice import shipped_model
from inference.video.source import open_video
from training.experiments.chain import ChainStep
from training.experiments.demo_page import STAGES, write_page
from training.experiments.film_strip import write_film_strip
from training.experiments.fingerprints import claim, fingerprint

USAGE = 'make demo [CONFIG=configs/demo/demo.yaml] [ARGS="key=value ..."]'


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Which YAML files the steps read, and where data, runs and page go.

    Attributes:
        settings: the folder of render, curate, pretrain and stage1 to stage3; its name prefixes
            the runs' names.
        render: extra overrides for the renderer, such as num_train=8; best with separate ``data``
            and ``runs``, since output of other overrides is moved aside.
        evaluate: extra overrides for the evaluation, such as painting.sampler.num_steps=20.
        data: raw videos, training clips and benchmark.
        runs: runs, scores and page.
        steps: optimizer steps of every stage; None: each stage's YAML decides.
        real: a video of yours that the model that ships dresses too; empty: none.
        minutes: what each step usually takes, in their order, and on which machine; shown only.
        machine: which machine that is.
    """

    settings: str = "configs/demo"
    render: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    data: str = "data/demo"
    runs: str = "runs"
    steps: int | None = None
    real: str = ""
    minutes: list[float] = field(default_factory=list)
    machine: str = ""

    def __post_init__(self) -> None:
        if not Path(self.settings).name:
            raise ValueError(f"settings is {self.settings!r}; a folder with a name is expected")

    @property
    def name(self) -> str:
        """Prefix of the runs' names, and name of the page's folder."""
        return Path(self.settings).name

    @property
    def suffix(self) -> str:
        """Suffix of the runs' names: runs with other step counts are separate runs."""
        return "" if self.steps is None else f"-{self.steps}"

    @property
    def folder(self) -> Path:
        """The page's path."""
        return Path(self.runs) / f"{self.name}{self.suffix}"

    @property
    def evaluated(self) -> Path:
        """The folder of the scores."""
        return Path(self.runs) / "eval" / f"synthetic-{self.name}{self.suffix}"

    @property
    def dressed(self) -> Path:
        """The user's video, dressed."""
        return self.folder / "real.mp4"

    @property
    def product(self) -> Path:
        """The picture of the garment that it is dressed in: the first of the benchmark's."""
        return Path(self.data) / "raw" / "bench" / "garments" / "bench_000.png"

    def run_of(self, stage: str) -> Path:
        """A stage's run folder."""
        return Path(self.runs) / f"{self.name}-{stage}{self.suffix}"


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """How long a step took, summed over interrupted and resumed runs."""

    title: str
    command: str
    seconds: float


def demo_steps(config: DemoConfig) -> list[ChainStep]:
    """All commands in order."""
    data, settings = config.data, config.settings
    limit = [] if config.steps is None else [f"max_steps={config.steps}"]

    def fit(title: str, stage: str, before: str | None, about: str) -> ChainStep:
        run, file = config.run_of(stage), f"{settings}/{stage}.yaml"
        start = [f"init_from={last_of(before)}"] if before else []
        named = [] if read_plain(Path(file)).get("name") == run.name else [f"name={run.name}"]
        words = (
            "training.fit", file, f"data.roots=[{data}/dance]", f"runs={config.runs}",
            *start, *limit, *named,
        )  # fmt: skip
        return ChainStep(title=title, words=words, makes=run, about=about)

    def last_of(stage: str) -> str:
        return f"{config.run_of(stage)}/checkpoints/last.ckpt"

    curate = ("curation.run", f"{settings}/curate.yaml")
    steps = [
        ChainStep(
            title="Render dancers",
            words=(
                "datasets.synthetic", f"{settings}/render.yaml", f"out={data}/raw", *config.render
            ),
            makes=Path(f"{data}/raw"),
            about="Short films of synthetic dancers, some of them in the clothes of another: the "
            "true answer of try-on.",
        ),
        ChainStep(
            title="Curate the training videos",
            words=(*curate, f"src={data}/raw/train", f"out={data}/dance"),
            makes=Path(f"{data}/dance"),
            about="Cuts scenes, drops clips without exactly one person, makes DensePose, masks, "
            "agnostic frames and garments, writes WebDataset shards.",
        ),
        ChainStep(
            title="Curate the benchmark",
            words=(*curate, f"src={data}/raw/bench/raw", f"out={data}/bench"),
            makes=Path(f"{data}/bench"),
            about="The same for dancers that training never sees.",
        ),
        fit(
            "Pre-train the trunk", "pretrain", None,
            "The denoiser learns what frames look like, from nothing.",
        ),
        fit(
            "Stage 1: garment extractor", "stage1", "pretrain",
            "A second network reads the garment's picture.",
        ),
        fit(
            "Stage 2: ID ControlNet", "stage2", "stage1",
            "Everything learns to dress the person in single frames: the longest stage.",
        ),
        fit(
            "Stage 3: video", "stage3", "stage2",
            "The same on windows of frames, some of them given, so that long videos hold together.",
        ),
        ChainStep(
            title="Evaluate",
            words=(
                "training.evaluate", "configs/eval/synthetic.yaml",
                f"name={config.name}{config.suffix}", f"root={data}/bench",
                f"out={config.runs}/eval", f"checkpoint={last_of('stage3')}", *config.evaluate,
            ),
            makes=config.evaluated,
            about="Dresses the unseen dancers in each other's clothes and scores the videos.",
        ),
    ]  # fmt: skip
    if config.real:
        steps.append(
            ChainStep(
                title="Dress your clip",
                words=(
                    "inference.tryon", f"video={config.real}", f"garment={config.product}",
                    f"out={config.dressed}", f"checkpoint={shipped_model()}",
                ),
                about="With the model that ships, which also knows real clips.",
            )
        )  # fmt: skip
    return steps


def run_steps(
    steps: list[ChainStep], times_file: Path, minutes: Sequence[float] = ()
) -> list[StepTime]:
    """Run the steps in order and store their times next to the page.

    A step resumes only its own output made after exactly the same earlier steps; time spent on
    output that was moved aside is not counted.

    Args:
        steps: the commands.
        times_file: JSON.
        minutes: what each step usually takes, shown before it.

    Raises:
        UserError: a step failed; its own message was printed before.
        KeyboardInterrupt: it was interrupted.
    """
    earlier = {time.title: time for time in read_times(times_file)}
    times: list[StepTime] = []
    for number, step in enumerate(steps, start=1):
        mark = fingerprint([before.words for before in steps[:number]])
        is_going_on = step.makes is None or claim(step.makes, mark)
        usual = duration_in_words(60 * minutes[number - 1]) if number <= len(minutes) else ""
        words = f"{step.about} Usually {usual}." if usual else step.about
        head = _bold(f"[{number}/{len(steps)}] {step.title}")
        sys.stdout.write(f"\n{head}\n{words}" if words else f"\n{head}")
        start = time.monotonic()
        try:
            step.run()
        finally:
            seconds = time.monotonic() - start
            before = earlier.get(step.title)
            if is_going_on and before is not None and before.command == step.shown:
                seconds += before.seconds
            times.append(StepTime(title=step.title, command=step.shown, seconds=seconds))
            done = {entry.title for entry in times}
            pending = [entry for title, entry in earlier.items() if title not in done]
            content = json.dumps([asdict(t) for t in [*times, *pending]], indent=1)
            write_file(times_file, content.encode())
        sys.stdout.write(f"-> {step.title}: done in {duration_in_words(seconds)}\n")
    return times


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def _announcement(config: DemoConfig, count: int) -> str:
    """What will happen, and how long it usually takes."""
    usual = f", about {sum(config.minutes):.0f} min on {config.machine}" if config.minutes else ""
    return (
        f"The whole way in small: {count} steps{usual}. Each is a command that you could type; "
        "rerun this one to resume.\n"
    )


def read_times(times_file: Path) -> list[StepTime]:
    """The times of an earlier run, finished or not; empty if there was none."""
    if not times_file.is_file():
        return []
    return [StepTime(**entry) for entry in json.loads(times_file.read_text())]


def main(argv: list[str]) -> int:
    """Run every step, write the page and print its address."""
    path, overrides = split_arguments(argv, USAGE)
    config = load_config(DemoConfig, path, overrides)
    if config.real:
        open_video(config.real)
        if shipped_model() is None:
            raise DataError(
                "real: models/pretrained/tryon is missing; restore it, or leave REAL away"
            )
    steps = demo_steps(config)
    sys.stdout.write(_announcement(config, len(steps)))
    times = run_steps(steps, config.folder / "steps.json", config.minutes)
    report = write_page(
        config.folder / "report.html",
        data=Path(config.data),
        runs={stage: config.run_of(stage) for stage in STAGES},
        evaluation=config.evaluated,
        real=(Path(config.real), config.product, config.dressed) if config.real else None,
        times=[(entry.title, entry.command, entry.seconds) for entry in times],
    )
    strip = write_film_strip(
        config.folder / "film_strip.png",
        Path(config.data) / "bench",
        config.evaluated / "predictions" / "unpaired",
    )
    if strip is not None:
        sys.stdout.write(f"\nThe film strip: {strip}\n")
    sys.stdout.write(f"\nThe page: {report.resolve().as_uri()}\n")
    return 0


if __name__ == "__main__":
    run_command(main)
