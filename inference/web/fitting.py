"""The one place where the page meets try-on: a wish in, pictures and a video out.

All that the room knows of ``TryOnPipeline`` is here.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from configs.errors import UserError
from curation.perception.select import choose_perception
from inference.conditions import VideoConditions, perceive
from inference.painter import Progress
from inference.pipeline import TryOnPipeline, TryOnResult
from inference.video_files import open_video
from inference.web.jobs import Job, Outcome, Status, Tell, Wish
from inference.web.names import download_name
from inference.web.refusals import Refusal
from inference.web.strips import Panes, write_strip

_STAGES = {
    "finding the person": "Finding people",
    "looking at the person": "Following the person",
    "DensePose and mask": "Mask and DensePose",
    "painting": "Painting",
    "writing": "Writing the video",
}
_TINT = np.array([214, 58, 92], np.float32)


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
            "checkpoint": str(report.get("checkpoint", "?")),
            "step": str(report.get("step", "?")),
            "sampler": f"{painter.sampler.solver}, {painter.sampler.num_steps} steps",
            "device": str(painter.device),
        }

    def work(self, job: Job, folder: Path, tell: Tell) -> Outcome:
        """Do a job.

        Raises:
            UserError: the files cannot be used for it.
        """
        do = self._look if job.kind == "look" else self._dress
        try:
            return do(job, folder, _progress(tell))
        except UserError as error:
            raise Refusal(_without_paths(error, job.wish)) from error

    def _look(self, job: Job, folder: Path, progress: Progress) -> Outcome:
        config = self._pipeline.painter.system.config
        self._pipeline._perception = self._pipeline._perception or choose_perception("auto")
        source = open_video(job.wish.video.path)
        conditions = perceive(
            source, job.wish.category, config.height, config.width, self._pipeline._perception,
            progress,
        )  # fmt: skip
        path = folder / "preview.mp4"
        names = ["your video", "will be painted", "DensePose"]
        player = write_strip(path, _condition_panes(conditions), names, source)
        facts = {
            "player": player,
            "people": [],
            "num_without_person": conditions.num_without_person,
        }
        return Outcome(files={"preview.mp4": path}, facts=facts)

    def _dress(self, job: Job, folder: Path, progress: Progress) -> Outcome:
        wish = job.wish
        assert wish.garment is not None
        result = self._pipeline(
            wish.video.path, wish.garment.path, wish.category, wish.seed, progress=progress
        )
        path = folder / "result.mp4"
        result.save(path, progress)
        strip = folder / "comparison.mp4"
        names = ["your video", "synthetic result"]
        player = write_strip(strip, _result_panes(result, path), names, result.source)
        facts = {"player": player, "download": download_name(wish.video.name, wish.garment.name)}
        return Outcome(files={"comparison.mp4": strip, "result.mp4": path}, facts=facts)


def _without_paths(error: UserError, wish: Wish) -> str:
    """A sentence for the page: files by the names that the person knows."""
    sentence = str(getattr(error, "plain", error))
    for upload in (wish.video, wish.garment):
        if upload is not None:
            sentence = sentence.replace(str(upload.path), upload.name)
    return sentence[:1].upper() + sentence[1:]


def _progress(tell: Tell) -> Progress:
    def progress(what: str, done: int, total: int | None) -> None:
        fraction = None if total is None else done / max(total, 1)
        stage = _STAGES.get(what, what)
        tell(Status(stage=stage, fraction=fraction, seconds_left=None))

    return progress


def _condition_panes(conditions: VideoConditions) -> Iterator[Panes]:
    for index, time in enumerate(conditions.times):
        image = conditions.frames[index]
        inside = conditions.mask[index][..., None] > 127
        tinted = np.where(inside, 0.45 * image + 0.55 * _TINT, image).astype(np.uint8)
        yield Panes(images=[image, tinted, conditions.densepose[index]], time=time)


def _result_panes(result: TryOnResult, saved: Path) -> Iterator[Panes]:
    for before, after in zip(result.source.frames(), open_video(saved).frames(), strict=False):
        yield Panes(images=[before.image, after.image], time=Fraction(before.time))
