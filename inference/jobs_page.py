"""The HTML report on a list of jobs: source, garment and result of each, and what failed."""

import itertools
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import cv2
import numpy as np

from configs.console import duration_in_words
from configs.errors import UserError
from datasets import webpage
from datasets.storage import write_file
from inference.conditions.garment import read_image
from inference.conditions.worn_garment import GarmentSource
from inference.jobs import JobOutcome
from inference.video.framing import shrink
from inference.video.source import open_video

_SHOWN_S = 4.0  # length shown of each video
_SHOWN_HEIGHT = 240  # px
_MAX_FRAMES = 48


def write_page(path: Path, outcomes: Sequence[JobOutcome]) -> Path:
    """Write the page; it embeds the first seconds of each video and links to the whole."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    good = [outcome for outcome in outcomes if outcome.error is None]
    seconds = sum(outcome.seconds for outcome in good)
    sections = [
        webpage.cards(
            [
                (str(len(good)), "results"),
                (str(len(failed)), "failed"),
                (f"{sum(o.report.get('num_frames', 0) for o in good)}", "frames"),
                (duration_in_words(seconds), "of work"),
            ]
        )
    ]
    if failed:
        rows = [(o.job.video.name, Path(o.job.garment).name, str(o.error)) for o in failed]
        sections.append(webpage.section("Failed", webpage.table(("video", "garment", "why"), rows)))
    sections += [_shown_or_not(outcome, path.parent) for outcome in good]
    lead = (
        "Synthetic videos: the clothing was replaced by VITON-DiT. "
        f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, webpage.page("Try-on", lead, sections).encode())
    return path


def _shown_or_not(outcome: JobOutcome, folder: Path) -> str:
    """A file that disappeared or was replaced meanwhile costs its section, not the page."""
    try:
        return _result_section(outcome, folder)
    except (UserError, OSError) as error:
        body = f"<p>{escape(f'cannot be shown: {error}')}</p>"
        return webpage.section(outcome.job.out.stem, body)


def _result_section(outcome: JobOutcome, folder: Path) -> str:
    job, report = outcome.job, outcome.report
    source, fps = _shown(job.video)
    result, _ = _shown(job.out)
    link = os.path.relpath(job.out, folder)
    tiles = [
        webpage.captioned(webpage.video_player(source, fps), job.video.name),
        webpage.captioned(webpage.jpeg_image(_garment_picture(job.garment)), "garment"),
        webpage.captioned(
            webpage.video_player(result, fps),
            webpage.Html(f'<a href="{escape(link, quote=True)}">{escape(job.out.name)}</a>'),
        ),
    ]
    facts = [
        f"{job.category}",
        "main person" if job.person is None else f"person {job.person}",
        f"seed {job.seed}",
        f"{report.get('num_frames')} frames",
        f"{outcome.seconds:.0f} s" + (", from an earlier run" if outcome.was_done else ""),
        f"{report.get('model')} (step {report.get('step')})",
        f"{report.get('sampler')}, {report.get('long_video')}",
    ]
    facts += [f"garment: {remark}" for remark in report.get("garment_remarks", ())]
    body = webpage.synchronised(tiles, cell_px=220) + f"<p>{escape(' · '.join(facts))}</p>"
    return webpage.section(job.out.stem, body)


def _shown(path: Path) -> tuple[np.ndarray, float]:
    """The first seconds, small: (t, height, width, 3) uint8 with even sides, and their rate."""
    video = open_video(path)
    step = max(1, round(_SHOWN_S * video.fps / _MAX_FRAMES))
    height = min(_SHOWN_HEIGHT, video.height) // 2 * 2
    width = max(2, round(video.width * height / video.height) // 2 * 2)
    count = min(_MAX_FRAMES * step, round(_SHOWN_S * video.fps) + 1)
    frames = [
        cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
        for frame in itertools.islice(video.frames(), 0, count, step)
    ]
    return np.stack(frames), video.fps / step


def _garment_picture(garment: str) -> np.ndarray:
    """The garment as it was given, small."""
    source = GarmentSource.read(garment)
    if source.time is None:
        image, _ = read_image(source.path)
    else:
        image = np.zeros((1, 1, 3), np.uint8)
        for frame in open_video(source.path).frames():
            image = frame.image  # the last one, for a moment just after it
            if float(frame.time) >= source.time:
                break
    return shrink(image, _SHOWN_HEIGHT / image.shape[0])
