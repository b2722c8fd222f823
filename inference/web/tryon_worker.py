"""The one place where the page meets try-on: a wish in, pictures and a video out.

All that the room knows of ``TryOnPipeline`` is here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from PIL import Image

from configs.errors import UserError
from inference.conditions.people import FoundPerson
from inference.conditions.stored import ConditionFrame
from inference.pipeline import TryOnPipeline
from inference.progress import Progress, Status
from inference.result import TryOnResult
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder
from inference.web.names import download_name
from inference.web.queue import Job, Outcome, Tell, Wish
from inference.web.refusals import Refusal
from inference.web.strips import Panes, write_strip

LABEL = "AI-generated"
_PREVIEWED = 12  # frames of a quick preview, spread over the video
_SLIDES_PER_S = 2
_PREVIEW_PANES = ["your video", "will be painted", "DensePose"]
_RESULT_PANES = ["your video", "synthetic result"]


class Fitting:
    """Does the jobs of the queue with one pipeline.

    Args:
        pipeline: loaded; used by one thread at a time.
    """

    def __init__(self, pipeline: TryOnPipeline) -> None:
        self._pipeline = pipeline

    def about(self) -> dict[str, str]:
        """What makes the results, for the foot of the page."""
        report, painter = self._pipeline.report, self._pipeline.painter
        return {
            "checkpoint": str(report.get("model", "?")),
            "step": str(report.get("step", "?")),
            "sampler": f"{painter.sampler.solver}, {painter.sampler.num_steps} steps",
            "device": str(painter.device),
        }

    def work(self, job: Job, folder: Path, work: Path, tell: Tell) -> Outcome:
        """Do a job.

        Args:
            job: what is wished for.
            folder: for its files.
            work: what a preview found out lies here, for what is painted after it.
            tell: about progress; raises ``Cancelled``.

        Raises:
            Refusal: the files cannot be used for it.
        """
        do = self._look if job.wish.garment is None else self._dress
        try:
            return do(job.wish, folder, WorkFolder(work), tell)
        except UserError as error:
            raise Refusal(_without_paths(error, job.wish)) from error

    def _look(self, wish: Wish, folder: Path, work: WorkFolder, tell: Tell) -> Outcome:
        source = open_video(wish.video.path)
        cast = self._pipeline.find_people(source.path, work, _within(tell, 0.0, 0.3))
        person = cast.person(wish.person, source.path).id
        progress, path = _within(tell, 0.3, 0.9), folder / "preview.mp4"
        num_missed = None
        if wish.every_frame:
            conditions = self._pipeline.prepare(
                source.path, wish.category, person, work=work, progress=progress
            )
            frames, count = conditions.frames(), conditions.num_frames
            num_missed = conditions.num_without_person
        else:
            frames = self._pipeline.preview(
                source.path, wish.category, person, _PREVIEWED, work, progress
            )
            count = len(frames)
            source = replace(source, rate=Fraction(_SLIDES_PER_S), audio_codec=None)
        panes = _told(_condition_panes(frames, wish.every_frame), count, _within(tell, 0.9, 1.0))
        player = write_strip(path, panes, _PREVIEW_PANES, source)
        files = {"preview.mp4": path, **_portraits(cast.people, folder)}
        facts = {
            "player": {**player, "has_sound": wish.every_frame and bool(source.audio_codec)},
            "people": [found.id for found in cast.people],
            "person": person,
            "every_frame": wish.every_frame,
            "num_without_person": num_missed,
        }
        return Outcome(files=files, facts=facts)

    def _dress(self, wish: Wish, folder: Path, work: WorkFolder, tell: Tell) -> Outcome:
        assert wish.garment is not None
        result = self._pipeline(
            wish.video.path, wish.garment.path, wish.category, person=wish.person, seed=wish.seed,
            label=LABEL if wish.is_labelled else "", work=work, progress=_within(tell, 0.0, 0.9),
        )  # fmt: skip
        names = {"video": wish.video.name, "garment": wish.garment.name}
        result = replace(result, report={**result.report, **names})
        path, strip = folder / "result.mp4", folder / "comparison.mp4"
        result.save(path, _within(tell, 0.9, 0.95))
        panes = _told(_result_panes(result, path), result.num_frames, _within(tell, 0.95, 1.0))
        player = write_strip(strip, panes, _RESULT_PANES, result.source)
        facts = {
            "player": {**player, "has_sound": bool(result.source.audio_codec)},
            "download": download_name(wish.video.name, wish.garment.name),
        }
        return Outcome(files={"comparison.mp4": strip, "result.mp4": path}, facts=facts)


def _without_paths(error: UserError, wish: Wish) -> str:
    """A sentence for the page: files by the names that the person knows."""
    sentence = str(getattr(error, "plain", error))
    for upload in (wish.video, wish.garment):
        if upload is not None:
            sentence = sentence.replace(str(upload.path), upload.name)
    return sentence[:1].upper() + sentence[1:]


def _within(tell: Tell, low: float, high: float) -> Progress:
    """Progress of a part of a job, as a part of the whole."""

    def progress(status: Status) -> None:
        fraction = low + (high - low) * status.fraction
        left = status.seconds_left
        if left is not None and status.fraction > 0:  # the other parts are guessed by their share
            left *= (1 - fraction) / max(high - fraction, 1e-6)
        stage = status.stage[:1].upper() + status.stage[1:]
        tell(replace(status, stage=stage, fraction=fraction, seconds_left=left))

    return progress


def _told(panes: Iterable[Panes], count: int, progress: Progress) -> Iterator[Panes]:
    """The same, telling about each."""
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
    """A picture of everyone, to choose by."""
    files: dict[str, Path] = {}
    for person in people:
        name = f"person-{person.id}.jpg"
        Image.fromarray(person.picture).save(folder / name, format="JPEG", quality=88)
        files[name] = folder / name
    return files
