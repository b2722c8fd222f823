"""Everything the server remembers: uploads, jobs and their shared folder, for all browsers."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from datasets.labels import CATEGORIES
from datasets.storage import listed
from inference.errors import RequestError, not_found
from inference.progress import Progress
from inference.web.queue import DONE, WAITING, JobQueue, JobResult, QueuedJob, TryOnRequest
from inference.web.settings import AppLimits, SamplesConfig
from inference.web.store import Store
from inference.web.uploads import Upload, Uploads

_MOST_SEED = 2**31 - 1
_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@runtime_checkable
class Worker(Protocol):
    """Does the jobs; ``tryon_worker.TryOnWorker`` with a trained system."""

    def about(self) -> dict[str, str]:
        """Which model makes the results."""
        ...

    def work(self, job: QueuedJob, folder: Path, work: Path, progress: Progress) -> JobResult:
        """Do a job; ``folder`` is for its files, ``work`` is shared with its preview."""
        ...


class AppState:
    """Uploads and jobs from the server's start to its end."""

    def __init__(self, store: Store, limits: AppLimits, worker: Worker) -> None:
        self.limits = limits
        self._store, self._worker = store, worker
        self.uploads = Uploads(store, limits)
        self.queue = JobQueue(self._work, limits, self._after)

    def close(self) -> None:
        """End all jobs and delete everything."""
        self.queue.close()
        self._store.close()

    def add_samples(self, samples: SamplesConfig) -> list[str]:
        """Offer the files of the samples' folders; returns a sentence for each unusable one."""
        rejected: list[str] = []
        for kind, folder, suffixes in (
            ("video", samples.videos, _VIDEO_SUFFIXES),
            ("garment", samples.garments, _PICTURE_SUFFIXES),
        ):
            if folder is None:
                continue
            if not Path(folder).is_dir():
                rejected.append(f"samples: the folder {folder} does not exist")
                continue
            paths = [p for p in listed(Path(folder)) if p.suffix.lower() in suffixes]
            rejected += self.uploads.add_samples(kind, paths, samples.most)
        return rejected

    def submit(self, body: Any, owner: str) -> QueuedJob:
        """Queue a job.

        Args:
            body: parsed JSON, with ``rights`` true. For a preview: video, category, person,
                every_frame. For a result: preview (the job that showed it), garment, seed, label.
            owner: who asks.

        Raises:
            RequestError: the request is not valid, or too many jobs are waiting.
        """
        request = self._read(body, owner)
        self._mark_used(request)
        job = QueuedJob(id=self._store.new_item(), owner=owner, request=request)
        try:
            self.queue.submit(job)
        except RequestError:
            self._store.remove(job.id)
            raise
        return job

    def remove_job(self, job: QueuedJob) -> None:
        """End a job and delete its files: now, or as soon as a running job has stopped."""
        self.queue.cancel(job)
        job.used_at = 0.0
        if self.queue.remove(job):
            self._store.remove(job.id)

    def remove_upload(self, upload: Upload) -> None:
        """Delete a person's file.

        Raises:
            RequestError: a job needs it.
        """
        if upload.owner is None:
            raise RequestError("Samples cannot be deleted.", 403)
        if self.queue.needs(upload):
            raise RequestError("A job still needs this file; cancel the job first.", 409)
        self.uploads.remove(upload)

    def leave(self, owner: str) -> None:
        """Delete everything that belongs to one person."""
        for job in sorted(self.queue.of(owner), key=lambda job: job.kind):  # results, then previews
            self.remove_job(job)
        for upload in self.uploads.of(owner):
            if not self.queue.needs(upload):
                self.uploads.remove(upload)
            else:
                upload.used_at = 0.0  # deleted as soon as the job has stopped

    def remove_expired(self) -> None:
        """Delete everything whose last use is longer ago than ``keep_minutes``."""
        for job in self.queue.take_expired():
            self._store.remove(job.id)
        self.uploads.remove_expired(self.queue.needs)

    def file(self, item: str, name: str, owner: str) -> tuple[Path, str | None]:
        """A file to serve (``poster.jpg`` or a job's), and the name to save a download under.

        Raises:
            RequestError: it does not exist for this person.
        """
        if name == "poster.jpg":
            return self.uploads.get(item, owner).poster, None
        job = self.queue.get(item, owner)
        path = job.result.files.get(name)
        if path is None:
            raise not_found()
        return path, job.result.facts.get("download") if name == "result.mp4" else None

    def show(self, owner: str) -> dict[str, Any]:
        """Everything that a person's page shows."""
        return {
            "samples": [self.show_upload(upload) for upload in self.uploads.of(None)],
            "uploads": [self.show_upload(upload) for upload in self.uploads.of(owner)],
            "jobs": [self.show_job(job) for job in self.queue.of(owner)],
            "about": self._worker.about(),
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

    def show_job(self, job: QueuedJob) -> dict[str, Any]:
        """A job for the page."""
        request, status = job.request, job.status
        num_ahead, starts_in_s = self.queue.ahead(job) if job.state == WAITING else (0, None)
        keep_s = 60 * self.limits.keep_minutes
        return {
            "id": job.id, "kind": job.kind, "state": job.state, "error": job.error,
            "is_ending": job.is_active and job.is_cancelled,
            "video": request.video.id, "video_name": request.video.name,
            "garment": request.garment.id if request.garment else None,
            "garment_name": request.garment.name if request.garment else None,
            "category": request.category, "seed": request.seed,
            "preview": request.preview.id if request.preview else None,
            "num_ahead": num_ahead, "starts_in_s": starts_in_s,
            "stage": status.stage if status else None,
            "fraction": status.fraction if status else None,
            "seconds_left": self.queue.seconds_left(job) if job.is_active else None,
            "files": {name: f"/files/{job.id}/{name}" for name in job.result.files},
            "facts": job.result.facts,
            "removed_in_s": max(0.0, job.used_at + keep_s - time.time()),
        }  # fmt: skip

    def _read(self, body: Any, owner: str) -> TryOnRequest:
        if not isinstance(body, dict):
            raise RequestError("The request must be a JSON object.")
        if body.get("rights") is not True:
            raise rights_needed()
        if body.get("garment") is None:
            return self._read_preview(body, owner)
        seed = body.get("seed", 0)
        if type(seed) is not int or not 0 <= seed <= _MOST_SEED:
            raise RequestError(f"The seed must be a whole number from 0 to {_MOST_SEED}.")
        preview = self.queue.get(str(body.get("preview")), owner)
        if preview.kind != "look" or preview.state != DONE:
            raise RequestError("Make a preview first.", 409)
        self.uploads.get(preview.request.video.id, owner, "video")  # fails if it was deleted
        return replace(
            preview.request,
            preview=preview,
            person=preview.result.facts["person"],
            garment=self.uploads.get(str(body["garment"]), owner, "garment"),
            seed=seed,
            is_labelled=body.get("label") is True,
        )

    def _read_preview(self, body: dict[str, Any], owner: str) -> TryOnRequest:
        category, person = body.get("category", "upper"), body.get("person")
        if category not in CATEGORIES:
            raise RequestError(f"The category must be one of {', '.join(CATEGORIES)}.")
        if person is not None and (type(person) is not int or person < 0):
            raise RequestError("The person must be a number that a preview shows.")
        return TryOnRequest(
            video=self.uploads.get(str(body.get("video")), owner, "video"),
            category=category,
            person=person,
            every_frame=body.get("every_frame") is True,
        )

    def _work(self, job: QueuedJob, progress: Progress) -> JobResult:
        base = job.request.preview or job
        work = self._store.path(base.id) / "work"
        return self._worker.work(job, self._store.path(job.id), work, progress)

    def _mark_used(self, request: TryOnRequest) -> None:
        """Restart the expiry clock of what a job needs, unless it is already being deleted."""
        for thing in (request.video, request.garment, request.preview):
            if thing is not None and thing.used_at:
                thing.used_at = time.time()

    def _after(self, job: QueuedJob) -> None:
        """A job has ended; its unfinished files are deleted."""
        self._mark_used(job.request)
        if not job.result.files:
            self._store.remove(job.id)


def rights_needed() -> RequestError:
    """The answer to everyone who has not ticked the box."""
    return RequestError(
        "Confirm first that you may use these pictures and that the people in them agree.", 403
    )
