"""The fitting room as a whole: uploads, jobs and the folder they share, whoever asks for them."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from datasets.labels import CATEGORIES
from inference.web.queue import DONE, WAITING, Job, JobQueue, Outcome, Tell, Wish
from inference.web.refusals import Refusal, not_here
from inference.web.settings import LimitsConfig, SamplesConfig
from inference.web.store import Store
from inference.web.uploads import Upload, Uploads

_MOST_SEED = 2**31 - 1
_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@runtime_checkable
class Fitter(Protocol):
    """Does the jobs; ``tryon_worker.Fitting`` with a trained system."""

    def about(self) -> dict[str, str]:
        """What makes the results."""
        ...

    def work(self, job: Job, folder: Path, work: Path, tell: Tell) -> Outcome:
        """Do a job; ``folder`` is for its files, ``work`` is shared with its preview."""
        ...


class Room:
    """From opening to closing.

    Args:
        store: the folder, opened.
        limits: what is refused.
        fitter: does the jobs.
        clock: seconds since the epoch; another one for tests.
    """

    def __init__(
        self,
        store: Store,
        limits: LimitsConfig,
        fitter: Fitter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        self._store, self._fitter, self._clock = store, fitter, clock
        self.uploads = Uploads(store, limits, clock)
        self.queue = JobQueue(self._work, limits, self._after, clock)

    def close(self) -> None:
        """End all jobs and delete everything."""
        self.queue.close()
        self._store.close()

    def add_samples(self, samples: SamplesConfig) -> list[str]:
        """Offer the files of the samples' folders; returns a sentence for each that is no good."""
        refused: list[str] = []
        for kind, folder, suffixes in (
            ("video", samples.videos, _VIDEO_SUFFIXES),
            ("garment", samples.garments, _PICTURE_SUFFIXES),
        ):
            if folder is None:
                continue
            if not Path(folder).is_dir():
                refused.append(f"samples: the folder {folder} does not exist")
                continue
            paths = [p for p in sorted(Path(folder).iterdir()) if p.suffix.lower() in suffixes]
            refused += self.uploads.add_samples(kind, paths, samples.most)
        return refused

    def submit(self, request: Any, owner: str) -> Job:
        """Take an order for a job.

        Args:
            request: parsed JSON, with ``rights`` true. To look: video, category, person,
                every_frame. To dress what was seen: preview (the job that showed it), garment,
                seed, label.
            owner: who asks.

        Raises:
            Refusal: the order cannot be taken.
        """
        wish = self._read(request, owner)
        self._use(wish)
        job = Job(id=self._store.new_item(), owner=owner, wish=wish, created_at=self._clock())
        try:
            self.queue.submit(job)
        except Refusal:
            self._store.remove(job.id)
            raise
        return job

    def remove_job(self, job: Job) -> None:
        """End a job and delete what it made: now, or as soon as it has noticed."""
        self.queue.cancel(job)
        job.used_at = 0.0
        if self.queue.remove(job):
            self._store.remove(job.id)

    def remove_upload(self, upload: Upload) -> None:
        """Delete a person's file.

        Raises:
            Refusal: a job needs it.
        """
        if upload.owner is None:
            raise Refusal("Samples stay.", 403)
        if self.queue.needs(upload):
            raise Refusal("A job still needs this file; cancel the job first.", 409)
        self.uploads.remove(upload)

    def leave(self, owner: str) -> None:
        """Delete all that is one person's."""
        for job in sorted(self.queue.of(owner), key=lambda job: job.kind):  # what uses, first
            self.remove_job(job)
        for upload in self.uploads.of(owner):
            if not self.queue.needs(upload):
                self.uploads.remove(upload)
            else:
                upload.used_at = 0.0  # goes as soon as the job has noticed

    def remove_expired(self) -> None:
        """Delete what is older than it may become."""
        for job in self.queue.take_expired():
            self._store.remove(job.id)
        self.uploads.remove_expired(self.queue.needs)

    def file(self, item: str, name: str, owner: str) -> tuple[Path, str | None]:
        """A file to send, and the name to save it under if it is to be saved.

        Args:
            item: an upload's or a job's id.
            name: ``poster.jpg``, or of the job's files.
            owner: who asks.

        Raises:
            Refusal: there is none for this person.
        """
        if name == "poster.jpg":
            return self.uploads.get(item, owner).poster, None
        job = self.queue.get(item, owner)
        path = job.outcome.files.get(name)
        if path is None:
            raise not_here()
        return path, job.outcome.facts.get("download") if name == "result.mp4" else None

    def state(self, owner: str) -> dict[str, Any]:
        """All that a person's page shows."""
        return {
            "samples": [self.show_upload(upload) for upload in self.uploads.of(None)],
            "uploads": [self.show_upload(upload) for upload in self.uploads.of(owner)],
            "jobs": [self.show_job(job) for job in self.queue.of(owner)],
            "about": self._fitter.about(),
            "limits": {
                "video_bytes": self.limits.most_bytes("video"),
                "garment_bytes": self.limits.most_bytes("garment"),
                "video_s": self.limits.video_s,
                "keep_minutes": self.limits.keep_minutes,
            },
        }

    def show_upload(self, upload: Upload) -> dict[str, Any]:
        """An upload for the page."""
        facts = upload.facts
        return {
            "id": upload.id, "kind": upload.kind, "name": upload.name,
            "is_sample": upload.owner is None, "poster": f"/files/{upload.id}/poster.jpg",
            "height": facts.height, "width": facts.width, "duration_s": facts.duration_s,
            "fps": facts.fps,
        }  # fmt: skip

    def show_job(self, job: Job) -> dict[str, Any]:
        """A job for the page."""
        wish, status = job.wish, job.status
        num_ahead, starts_in_s = self.queue.ahead(job) if job.state == WAITING else (0, None)
        keep_s = 60 * self.limits.keep_minutes
        return {
            "id": job.id, "kind": job.kind, "state": job.state, "error": job.error,
            "is_ending": job.is_active and job.is_cancelled,
            "video": wish.video.id, "video_name": wish.video.name,
            "garment": wish.garment.id if wish.garment else None,
            "garment_name": wish.garment.name if wish.garment else None,
            "category": wish.category, "seed": wish.seed,
            "preview": wish.preview.id if wish.preview else None,
            "num_ahead": num_ahead, "starts_in_s": starts_in_s,
            "stage": status.stage if status else None,
            "fraction": status.fraction if status else None,
            "seconds_left": self.queue.seconds_left(job) if job.is_active else None,
            "files": {name: f"/files/{job.id}/{name}" for name in job.outcome.files},
            "facts": job.outcome.facts,
            "removed_in_s": max(0.0, job.used_at + keep_s - self._clock()),
        }  # fmt: skip

    def _read(self, request: Any, owner: str) -> Wish:
        if not isinstance(request, dict):
            raise Refusal("A JSON object is expected.")
        if request.get("rights") is not True:
            raise rights_needed()
        if request.get("garment") is None:
            return self._read_look(request, owner)
        seed = request.get("seed", 0)
        if type(seed) is not int or not 0 <= seed <= _MOST_SEED:
            raise Refusal(f"The seed must be a whole number from 0 to {_MOST_SEED}.")
        preview = self.queue.get(str(request.get("preview")), owner)
        if preview.kind != "look" or preview.state != DONE:
            raise Refusal("Look at the preview first.", 409)
        self.uploads.get(preview.wish.video.id, owner, "video")  # it may be gone
        return replace(
            preview.wish,
            preview=preview,
            person=preview.outcome.facts["person"],
            garment=self.uploads.get(str(request["garment"]), owner, "garment"),
            seed=seed,
            is_labelled=request.get("label") is True,
        )

    def _read_look(self, request: dict[str, Any], owner: str) -> Wish:
        category, person = request.get("category", "upper"), request.get("person")
        if category not in CATEGORIES:
            raise Refusal(f"The category must be one of {', '.join(CATEGORIES)}.")
        if person is not None and (type(person) is not int or person < 0):
            raise Refusal("The person must be a number of the preview.")
        return Wish(
            video=self.uploads.get(str(request.get("video")), owner, "video"),
            category=category,
            person=person,
            every_frame=request.get("every_frame") is True,
        )

    def _work(self, job: Job, tell: Tell) -> Outcome:
        base = job.wish.preview or job
        work = self._store.path(base.id) / "work"
        return self._fitter.work(job, self._store.path(job.id), work, tell)

    def _use(self, wish: Wish) -> None:
        """What a job needs is kept from now on, unless it was told to go."""
        for thing in (wish.video, wish.garment, wish.preview):
            if thing is not None and thing.used_at:
                thing.used_at = self._clock()

    def _after(self, job: Job) -> None:
        """A job has ended; what it half made goes."""
        self._use(job.wish)
        if not job.outcome.files:
            self._store.remove(job.id)


def rights_needed() -> Refusal:
    """The answer to everyone who has not ticked the box."""
    return Refusal(
        "Confirm first that you may use these pictures and that the people in them agree.", 403
    )
