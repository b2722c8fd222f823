"""The command line of try-on: a video and a garment in, a video out.

python -m inference.tryon [configs/tryon.yaml] video=v.mp4 garment=g.png out=o.mp4 [key=value ...]
"""

import os
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars

from configs.command import run_command
from configs.errors import ConfigError, DataError
from configs.loading import load_config
from inference.garment import read_image
from inference.given_conditions import GivenConditions
from inference.long_video import LongVideoConfig
from inference.pipeline import TryOnPipeline
from inference.progress import Status
from inference.result import TryOnResult
from inference.solvers import SamplerConfig
from inference.video_files import VideoLimits, open_video
from inference.work_folder import WorkFolder
from inference.worn_garment import GarmentSource

USAGE = "make tryon VIDEO=v.mp4 GARMENT=g.png OUT=o.mp4"
DEFAULT_CONFIG = Path("configs/tryon.yaml")
_PATHS = ("video", "garment", "out", "checkpoint", "mask", "densepose")


@dataclass(frozen=True, kw_only=True)
class TryOnConfig:
    """One job.

    Attributes:
        video: file with one person.
        garment: image file, or video.mp4@3.2: what is worn 3.2 s into a video.
        garment_kind: auto, product (the garment alone) or worn (by somebody).
        out: the MP4 to write.
        checkpoint: of stage 3, or its run folder; None takes the newest ``runs/*stage3*``.
        runs: where runs lie.
        weights: ema or raw.
        category: what the garment replaces: upper, lower or overall.
        person: number of the one who is dressed, 1 is the main person; None: the main person.
        mask: a video, bright = to be painted, in the place of perception; with densepose.
        densepose: a video, likewise.
        densepose_format: rendered or iuv; see ``GivenConditions``.
        seed: another seed, another result.
        paste_back: outside the mask keep the source's own pixels.
        label: a text drawn into every frame; empty draws none.
        max_seconds: longer videos are refused; None refuses none.
        device: auto, cpu, cuda, ...
        precision: auto, float32 or bfloat16.
        compile: compile the blocks at first use: pays for long videos on a GPU.
        perception: auto, embedded or installed; see docs/curation.md.
        sampler: solver, steps, guidance.
        long_video: windows of videos longer than the network's.
    """

    video: str = ""
    garment: str = ""
    garment_kind: str = "auto"
    out: str = ""
    checkpoint: str | None = None
    runs: str = "runs"
    weights: str = "ema"
    category: str = "upper"
    person: int | None = None
    mask: str | None = None
    densepose: str | None = None
    densepose_format: str = "rendered"
    seed: int = 0
    paste_back: bool = True
    label: str = ""
    max_seconds: float | None = None
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    perception: str = "auto"
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    long_video: LongVideoConfig = field(default_factory=LongVideoConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; 0 or more is expected")
        if (self.mask is None) != (self.densepose is None):
            raise ValueError("mask and densepose are given together or not at all")

    @property
    def given(self) -> GivenConditions | None:
        """Conditions as files, if there are any."""
        if self.mask is None or self.densepose is None:
            return None
        return GivenConditions(
            mask=Path(self.mask),
            densepose=Path(self.densepose),
            densepose_format=self.densepose_format,
        )


def main(argv: list[str]) -> int | None:
    """Run one job; everything that can be wrong with it is found before the slow part."""
    config = read_job(argv)
    for name in ("video", "garment", "out"):
        if not getattr(config, name):
            raise ConfigError(f"{name} is missing; usage: {USAGE}")
    out, limits = Path(config.out), VideoLimits(max_seconds=config.max_seconds)
    source = open_video(config.video, limits)
    _check_out(out, source.path)
    _check_garment(config.garment)
    checkpoint = find_checkpoint(config.checkpoint, Path(config.runs))
    from curation.perception.select import choose_perception

    pipeline = TryOnPipeline.from_checkpoint(
        checkpoint,
        device=config.device,
        weights=config.weights,
        sampler=config.sampler,
        long_video=config.long_video,
        precision=config.precision,
        compile=config.compile,
        perception=choose_perception(config.perception),
        limits=limits,
    )
    start = time.monotonic()
    work = WorkFolder(out.with_name(f".{out.stem}.tryon"))
    with _Bar(Console(stderr=True)) as bar:
        result = pipeline(
            source.path, config.garment, config.category, person=config.person,
            garment_kind=config.garment_kind, given=config.given, seed=config.seed,
            paste_back=config.paste_back, label=config.label, out=out, work=work, progress=bar.tell,
        )  # fmt: skip
    sys.stdout.write(_summary(result, out, time.monotonic() - start))
    work.remove()
    return None


def read_job(argv: list[str]) -> TryOnConfig:
    """Settings from an optional YAML file and ``key=value`` words; paths are taken as they are.

    Raises:
        ConfigError: a word that is neither, or a setting that does not exist.
    """
    words = list(argv)
    path = DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None
    if words and "=" not in words[0]:
        path = Path(words.pop(0))
        if str(path) in {"-h", "--help"}:
            raise ConfigError(f"usage: {USAGE}")
    overrides: list[str] = []
    paths: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is not key=value; usage: {USAGE}")
        if key in _PATHS:
            paths[key] = value  # a file's name is no YAML: it may hold ": " or "#"
        else:
            overrides.append(word)
    return replace(load_config(TryOnConfig, path, overrides), **paths)


def find_checkpoint(given: str | None, runs: Path) -> Path:
    """The checkpoint to use: a file, a run's folder, or the newest stage 3 under ``runs``.

    Raises:
        DataError: there is none.
    """
    if given:
        tried = [Path(given), Path(f"{given}.ckpt"), Path(given) / "checkpoints" / "last.ckpt"]
        for path in tried:
            if path.is_file():
                return path
        raise DataError(f"checkpoint {given} does not exist; `make demo` trains a small one")
    found = sorted(runs.glob("*stage3*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise DataError(
            f"there is no checkpoint of stage 3 under {runs}/; `make demo` trains a small one, "
            "or give checkpoint=FILE"
        )
    return found[-1]


def _check_garment(garment: str) -> None:
    """Refuse a file that cannot be read."""
    source = GarmentSource.read(garment)
    if source.time is None:
        read_image(source.path)
    else:
        open_video(source.path)


def _check_out(out: Path, video: Path) -> None:
    """Refuse a place that could not be written hours later."""
    if out.suffix.lower() != ".mp4":
        raise ConfigError(f"out={out} must end with .mp4")
    if out.exists() and out.samefile(video):
        raise DataError(f"out={out} is the source video itself; name another file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"out={out}: its folder cannot be made: {error.strerror}") from error
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise DataError(f"out={out} cannot be written; name a file in a folder that is yours")


class _Bar:
    """One bar for the whole job, with what is being done and how long it still takes."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]:<20}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._bars.add_task("", total=1.0, stage="", left="")

    def tell(self, status: Status) -> None:
        """Called from the pipeline."""
        left = "" if status.seconds_left is None else f"{_duration(status.seconds_left)} left"
        done = f"{status.done}" if status.total is None else f"{status.done}/{status.total}"
        self._bars.update(
            self._task, completed=status.fraction, stage=f"{status.stage} {done}", left=left
        )

    def __enter__(self) -> "_Bar":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _summary(result: TryOnResult, out: Path, seconds: float) -> str:
    report, source = result.report, result.source
    lines = [
        f"{out}: {report['num_frames']} frames, {source.height}x{source.width} (height x width), "
        f"{source.fps:g} fps, in {seconds:.0f} s",
        f"  checkpoint  {report['checkpoint']} (step {report['step']}, {report['weights']})",
        f"  sampler     {report['sampler']}, {report['long_video']}, on {report['device']}",
        *(f"  {role:<11} {name}" for role, name in report["perception"].items()),
    ]
    if report["num_frames_without_person"]:
        lines.append(f"  {report['num_frames_without_person']} frames show nobody and were kept")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_command(main)
