"""The command line of try-on: a video and a garment in, a video out; or a list of them.

python -m inference.tryon [configs/tryon.yaml] video=v.mp4 garment=g.png out=o.mp4 [key=value ...]
python -m inference.tryon [configs/tryon.yaml] jobs=jobs.csv out=folder [key=value ...]
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from configs.command import EXIT_USER_ERROR, run_command
from configs.console import Progress, counted, duration_in_words
from configs.errors import ConfigError
from curation.perception.check import check_perception
from curation.perception.select import choose_perception
from datasets.storage import write_file
from inference.checkpoint_choice import choose_checkpoint
from inference.conditions.garment import read_image
from inference.conditions.preview_sheet import draw_sheet, draw_unseen
from inference.conditions.unseen import (
    WARNED_SHARE,
    expected_unseen,
    pictures_of,
    unseen_in_words,
)
from inference.conditions.worn_garment import GarmentSource
from inference.job_list import LIST_OUT, TryOnJob, check_outs, inputs_of, read_inputs, read_jobs
from inference.jobs import JobOutcome, run_jobs
from inference.jobs_page import write_page
from inference.out_path import check_out, only_writer, work_path
from inference.pipeline import TryOnPipeline
from inference.progress import Status
from inference.tryon_config import TryOnConfig
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder

_PREVIEWS = (".png", ".jpg", ".jpeg", ".webp")
_STRIP = 4  # unseen frames shown in a preview


def main(argv: list[str]) -> int | None:
    """Run one job or a list; errors in the input are found before the slow part."""
    config = read_inputs(argv)
    if config.jobs:
        return _run_list(config)
    if config.preview:
        return _preview(config)
    out = Path(config.out)
    source = open_video(config.video, config.limits)
    check_out(out, *inputs_of(source.path, config.garment, config.given))
    _check_garment(config.garment)
    with only_writer(out):
        pipeline = build_pipeline(config)
        start = time.monotonic()
        work = WorkFolder(work_path(out))
        with _bar() as bar:
            result = pipeline(
                source.path, config.garment, config.category, person=config.person,
                garment_kind=config.garment_kind, margin=config.agnostic.margin,
                given=config.given, seed=config.seed, paste_back=config.paste_back,
                label=config.label, out=out, work=work, progress=partial(_report, bar),
            )  # fmt: skip
        sys.stdout.write(_summary(result.report, out, time.monotonic() - start))
        work.remove()
    return None


def build_pipeline(config: TryOnConfig, any_stage: bool = False) -> TryOnPipeline:
    """Load the checkpoint that a configuration names or means, and choose the perception.

    Args:
        config: of a job.
        any_stage: see ``load_system`` in ``sampling/painter.py``.

    Raises:
        DataError: there is no checkpoint, or a model of perception is missing.
    """
    perception = choose_perception(config.perception)
    check_perception(perception, config.perception)
    return TryOnPipeline.from_checkpoint(
        choose_checkpoint(config.checkpoint, Path(config.runs)),
        device=config.device,
        weights=config.weights,
        sampler=config.sampler,
        long_video=config.long_video,
        precision=config.precision,
        compile=config.compile,
        perception=perception,
        limits=config.limits,
        any_stage=any_stage,
        lora=config.lora,
    )


def _preview(config: TryOnConfig) -> None:
    """Write a picture of the people in the video and of what would be painted; paint nothing."""
    path = Path(config.preview)
    if path.suffix.lower() not in _PREVIEWS:
        raise ConfigError(f"preview={path} must end with one of {', '.join(_PREVIEWS)}")
    open_video(config.video, config.limits)
    pipeline, work = build_pipeline(config), WorkFolder()
    with _bar() as bar:
        everyone = pipeline.find_people(config.video, work, partial(_report, bar))
        frames = pipeline.preview(
            config.video, config.category, config.person, work=work, margin=config.agnostic.margin
        )
    source = open_video(config.video, config.limits)
    unseen = expected_unseen(source, everyone.person(config.person, source.path))
    strip = draw_unseen(unseen, pictures_of(source, unseen, _STRIP)) if unseen.any() else None
    sheet = draw_sheet(everyone.people, frames, strip)
    write_file(path, cv2.imencode(path.suffix, sheet[..., ::-1])[1].tobytes())
    for person in everyone.people:
        share = f"{person.seen_share:.0%} of the sampled frames"
        sys.stdout.write(f"person {person.id}: seen in {share}\n")
    if words := unseen_in_words(unseen):
        sys.stdout.write(f"by a first look, {words}\n")
    sys.stdout.write(f"{path}\n")


def _run_list(config: TryOnConfig) -> int | None:
    """Do all jobs of a list and write the report; exit code 2 if any of them failed."""
    folder = Path(config.out or LIST_OUT)
    jobs = read_jobs(Path(config.jobs), folder, config)
    check_outs(jobs)
    pipeline = build_pipeline(config)
    outcomes: list[JobOutcome] = []
    with _bar() as bar:

        def report(number: int, job: TryOnJob, status: Status) -> None:
            _report(bar, status, f"[{number + 1}/{len(jobs)}] {job.out.name}")

        for outcome in run_jobs(pipeline, jobs, folder, report):
            outcomes.append(outcome)
            bar.write(outcome.line)
    page = write_page(folder / "report.html", outcomes)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    done = sum(outcome.was_done for outcome in outcomes)
    sys.stdout.write(
        f"{counted(len(outcomes), 'job')}: {counted(len(outcomes) - len(failed), 'result')}, "
        f"{done} of them from an "
        f"earlier run, {len(failed)} failed -> {page}\n"
    )
    return EXIT_USER_ERROR if failed else None


def _check_garment(garment: str) -> None:
    """Reject a file that cannot be read."""
    source = GarmentSource.read(garment)
    if source.time is None:
        read_image(source.path)
    else:
        open_video(source.path)


def _report(bar: Progress, status: Status, title: str = "") -> None:
    """What is being done, and how long the whole job still takes."""
    done = f"{status.done}" if status.total is None else f"{status.done}/{status.total}"
    what = f"{title} {status.stage} {done}".strip()
    bar.update(status.fraction, what=what, seconds_left=status.seconds_left)


def _bar() -> Progress:
    return Progress("try-on", 1.0, in_words=lambda done, _: f"{done:.0%}")


def _summary(report: dict[str, Any], out: Path, seconds: float) -> str:
    height, width = report["size"]
    lines = [
        f"{out}: {counted(report['num_frames'], 'frame')}, {height}x{width} (height x width), "
        f"{report['fps']:g} fps, in {duration_in_words(seconds)}",
        f"  checkpoint  {report['checkpoint']} ({report['origin']}, step {report['step']}, "
        f"{report['weights']})",
        *_adapter_line(report),
        f"  sampler     {report['sampler']}, {report['long_video']}, on {report['device']}",
        *(f"  {role:<11} {name}" for role, name in report["perception"].items()),
    ]
    lines += [f"  source      {remark}" for remark in report["remarks"]]
    lines += [f"  WARNING: garment: {remark}" for remark in report["garment_remarks"]]
    if report["unseen"]:
        is_much = report["num_frames_without_person"] > WARNED_SHARE * report["num_frames"]
        lines.append(f"  {'WARNING: ' if is_much else ''}{report['unseen']}")
    return "\n".join(lines) + "\n"


def _adapter_line(report: dict[str, Any]) -> list[str]:
    """The adapter that was added to the checkpoint, if there was one."""
    if "lora" not in report:
        return []
    adapter = report["lora"]
    about = f"rank {adapter['rank']}, step {adapter['step']}, {adapter['weights']}"
    return [f"  lora        {adapter['path']} ({about})"]


if __name__ == "__main__":
    run_command(main)
