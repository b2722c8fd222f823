"""Runs the queue's jobs with a ``TryOnPipeline``: a request in, pictures and videos out.

Nothing else in ``web/`` knows the pipeline.
"""

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from configs.errors import UserError
from datasets.storage import DiskFull
from inference.conditions.people import FoundPerson
from inference.conditions.preview_sheet import draw_unseen
from inference.conditions.stored import ConditionFrame
from inference.conditions.unseen import (
    WARNED_SHARE,
    expected_unseen,
    pictures_of,
    unseen_frames,
    unseen_in_words,
)
from inference.errors import RequestError
from inference.pipeline import TryOnPipeline
from inference.progress import Progress, Status
from inference.result import TryOnResult
from inference.video.source import SourceVideo, open_video
from inference.video.work_folder import WorkFolder
from inference.web.queue import JobResult, QueuedJob, TryOnRequest
from inference.web.strips import Panes, write_strip

LABEL = "AI-generated"
_UNSEEN = "unseen.jpg"
_UNSEEN_SHOWN = 4  # frames without the person
_PREVIEWED = 12  # frames of a quick preview, spread over the video
_SLIDES_PER_S = 2
_PREVIEW_PANES = ["your video", "will be painted", "DensePose"]
_RESULT_PANES = ["your video", "synthetic result"]

_logger = logging.getLogger(__name__)


class TryOnWorker:
    """Does the queue's jobs with one loaded pipeline, in one thread at a time."""

    def __init__(self, pipeline: TryOnPipeline) -> None:
        self._pipeline = pipeline

    def about(self) -> dict[str, str]:
        """Which model makes the results, for the page's footer."""
        report, painter = self._pipeline.report, self._pipeline.painter
        return {
            "checkpoint": str(report.get("model", "?")),
            "step": str(report.get("step", "?")),
            "sampler": painter.sampler.description,
            "device": str(painter.device),
        }

    def work(self, job: QueuedJob, folder: Path, work: Path, progress: Progress) -> JobResult:
        """Do a job; its files go into ``folder``, ``work`` is shared with its preview.

        Raises:
            RequestError: its files cannot be used.
        """
        do = self._make_preview if job.request.garment is None else self._make_result
        try:
            return do(job.request, folder, WorkFolder(work), progress)
        except UserError as error:
            if isinstance(error, DiskFull):
                _logger.error("job %s: %s", job.number, error)
            raise RequestError(_without_paths(error, job.request)) from error

    def _make_preview(
        self, request: TryOnRequest, folder: Path, work: WorkFolder, progress: Progress
    ) -> JobResult:
        source = open_video(request.video.path)
        found = self._pipeline.find_people(source.path, work, _within(progress, 0.0, 0.3))
        person = found.person(request.person, source.path).id
        making, path = _within(progress, 0.3, 0.9), folder / "preview.mp4"
        if request.every_frame:
            conditions = self._pipeline.prepare(
                source.path, request.category, person, work=work, progress=making
            )
            frames, count = conditions.frames(), conditions.num_frames
            unseen = unseen_frames(conditions)
        else:
            frames = self._pipeline.preview(
                source.path, request.category, person, _PREVIEWED, work, making
            )
            count = len(frames)
            unseen = expected_unseen(source, found.person(person, source.path))
            source = replace(source, rate=Fraction(_SLIDES_PER_S), audio_codec=None)
        panes = _condition_panes(frames, request.every_frame)
        player = write_strip(
            path, _reported(panes, count, _within(progress, 0.9, 1.0)), _PREVIEW_PANES, source
        )
        files = {"preview.mp4": path, **_portraits(found.people, folder)}
        files |= _unseen_strip(open_video(request.video.path), unseen, folder)
        facts = {
            "player": {**player, "has_sound": request.every_frame and bool(source.audio_codec)},
            "people": [one.id for one in found.people],
            "person": person,
            "every_frame": request.every_frame,
            "remarks": list(found.remarks),
            "num_without_person": int(unseen.sum()),
            "unseen": unseen_in_words(unseen),
            "warns": bool(unseen.mean() > WARNED_SHARE),
        }
        return JobResult(files=files, facts=facts)

    def _make_result(
        self, request: TryOnRequest, folder: Path, work: WorkFolder, progress: Progress
    ) -> JobResult:
        assert request.garment is not None
        result = self._pipeline(
            request.video.path, request.garment.path, request.category, person=request.person,
            seed=request.seed, label=LABEL if request.is_labelled else "", work=work,
            progress=_within(progress, 0.0, 0.9),
        )  # fmt: skip
        names = {"video": request.video.name, "garment": request.garment.name}
        result = replace(result, report={**result.report, **names})
        path, strip = folder / "result.mp4", folder / "comparison.mp4"
        result.save(path, _within(progress, 0.9, 0.95))
        panes = _reported(
            _result_panes(result, path), result.num_frames, _within(progress, 0.95, 1.0)
        )
        player = write_strip(strip, panes, _RESULT_PANES, result.source)
        facts = {
            "player": {**player, "has_sound": bool(result.source.audio_codec)},
            "download": download_name(request.video.name, request.garment.name),
            "unseen": result.report["unseen"],
            "remarks": result.report["remarks"],
        }
        return JobResult(files={"comparison.mp4": strip, "result.mp4": path}, facts=facts)


def _without_paths(error: UserError, request: TryOnRequest) -> str:
    """A sentence for the page: files by the names that the person knows."""
    sentence = str(getattr(error, "plain", error))
    for upload in (request.video, request.garment):
        if upload is not None:
            sentence = sentence.replace(str(upload.path), upload.name)
    return sentence[:1].upper() + sentence[1:]


def _within(progress: Progress, low: float, high: float) -> Progress:
    """A callback for one part of a job, which reports it as a part of the whole."""

    def part(status: Status) -> None:
        fraction = low + (high - low) * status.fraction
        left = status.seconds_left
        if left is not None and status.fraction > 0:  # other parts are estimated by their share
            left *= (1 - fraction) / max(high - fraction, 1e-6)
        stage = status.stage[:1].upper() + status.stage[1:]
        progress(replace(status, stage=stage, fraction=fraction, seconds_left=left))

    return part


def _reported(panes: Iterable[Panes], count: int, progress: Progress) -> Iterator[Panes]:
    """The same panes, with progress reported after each."""
    for done, moment in enumerate(panes, start=1):
        yield moment
        progress(
            Status(
                stage="preparing the player",
                done=done,
                total=count,
                fraction=min(1.0, done / max(count, 1)),
                seconds_left=None,
            )
        )


def _condition_panes(frames: Iterable[ConditionFrame], every_frame: bool) -> Iterator[Panes]:
    for number, frame in enumerate(frames):
        time = Fraction(frame.time) if every_frame else Fraction(number, _SLIDES_PER_S)
        yield Panes(images=[frame.image, frame.overlay(), frame.densepose], time=time)


def _result_panes(result: TryOnResult, saved: Path) -> Iterator[Panes]:
    sources = result.source.counted_frames(result.num_frames)
    results = open_video(saved).counted_frames(result.num_frames)
    for before, after in zip(sources, results, strict=True):
        yield Panes(images=[before.image, after.image], time=before.time)


def _portraits(people: Iterable[FoundPerson], folder: Path) -> dict[str, Path]:
    """A picture of each person, to choose from."""
    files: dict[str, Path] = {}
    for person in people:
        name = f"person-{person.id}.jpg"
        Image.fromarray(person.picture).save(folder / name, format="JPEG", quality=88)
        files[name] = folder / name
    return files


def _unseen_strip(source: SourceVideo, unseen: np.ndarray, folder: Path) -> dict[str, Path]:
    """Which frames show nobody, as a picture; none if all show the person."""
    if not unseen.any():
        return {}
    strip = draw_unseen(unseen, pictures_of(source, unseen, _UNSEEN_SHOWN))
    Image.fromarray(strip).save(folder / _UNSEEN, format="JPEG", quality=88)
    return {_UNSEEN: folder / _UNSEEN}


def download_name(video: str, garment: str) -> str:
    """ASCII letters, digits and dashes that name a result."""
    stems = (_plain(PurePosixPath(name).stem) for name in (video, garment))
    return ("-in-".join(stem for stem in stems if stem)[:80] or "result") + ".mp4"


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    kept = "".join(letter if letter.isalnum() else "-" for letter in ascii_text)
    return "-".join(part for part in kept.split("-") if part)
