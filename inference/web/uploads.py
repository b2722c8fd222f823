"""Files that people send, and the samples that everyone may pick.

A file is rejected as early as possible: by its announced length, by its sender's quota, by the free
disk space; then by counting the bytes that arrive; then by its content (``upload_checks.py``).
"""

import asyncio
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from configs.console import counted, size_in_words
from inference.errors import RequestError, not_found
from inference.web.settings import AppLimits
from inference.web.store import Store
from inference.web.upload_checks import MediaFacts, check_garment, check_video

KINDS = ("video", "garment")
_CHUNK = 1 << 20  # bytes gathered before they are written
_CHECKS_AT_ONCE = 2
_LONGEST_NAME = 60


@dataclass(kw_only=True, eq=False)
class Upload:
    """A file that passed its checks."""

    id: str
    owner: str | None  # None: a sample, for everyone
    kind: str  # one of KINDS
    name: str  # for display; never a path
    path: Path
    poster: Path  # a JPEG of it
    facts: MediaFacts
    used_at: float  # s since the epoch: when sent, or last used by a job


class Uploads:
    """All uploads and samples."""

    def __init__(self, store: Store, limits: AppLimits) -> None:
        self._store, self._limits = store, limits
        self._uploads: dict[str, Upload] = {}
        self._receiving: dict[str, str] = {}  # item -> owner of an upload in progress
        self._checks = anyio.CapacityLimiter(_CHECKS_AT_ONCE)

    def get(self, upload_id: str, owner: str, kind: str | None = None) -> Upload:
        """An upload of this person, or a sample.

        Raises:
            RequestError: it does not exist, is someone else's, or is of another kind.
        """
        upload = self._uploads.get(upload_id)
        if upload is None or upload.owner not in (None, owner) or kind not in (None, upload.kind):
            raise not_found()
        return upload

    def of(self, owner: str | None) -> list[Upload]:
        """One person's uploads, or the samples (None), oldest first."""
        return [upload for upload in self._all() if upload.owner == owner]

    async def receive(
        self, chunks: AsyncIterator[bytes], kind: str, name: str, length: int | None, owner: str
    ) -> Upload:
        """Receive a file and check it.

        Args:
            chunks: its bytes.
            kind: one of KINDS.
            name: its name on the person's machine; for display only.
            length: announced number of bytes; None: not announced.
            owner: who sends it.

        Raises:
            RequestError: too large, too long, not what it should be, or no space for it.
        """
        if kind not in KINDS:
            raise RequestError(f"The kind must be {' or '.join(KINDS)}.")
        self._admit(kind, length, owner)
        reserved = self._limits.most_bytes(kind) if length is None else length
        self._store.reserve(reserved)
        item = self._store.new_item()
        self._receiving[item] = owner
        is_kept = False
        try:
            path = self._store.path(item) / "sent"
            await self._write(chunks, path, kind)
            upload = await anyio.to_thread.run_sync(
                partial(self._check, item, path, kind, name, owner), limiter=self._checks
            )
            self._uploads[item] = upload
            is_kept = True
            return upload
        finally:
            self._store.release(reserved)
            del self._receiving[item]
            if not is_kept:
                self._store.remove(item)

    def add_samples(self, kind: str, paths: Iterable[Path], most: int) -> list[str]:
        """Offer these files to everyone.

        Returns:
            A sentence for each file that cannot be used.
        """
        rejected: list[str] = []
        for path in paths:
            if len([upload for upload in self.of(None) if upload.kind == kind]) >= most:
                break
            item = self._store.new_item()
            try:
                self._uploads[item] = self._check(item, path, kind, path.name, None)
            except RequestError as error:
                self._store.remove(item)
                rejected.append(f"{path}: {error}")
        return rejected

    def remove(self, upload: Upload) -> None:
        """Delete a person's file; samples are kept."""
        if upload.owner is not None and self._uploads.pop(upload.id, None) is not None:
            self._store.remove(upload.id)

    def remove_expired(self, is_needed: Callable[[Upload], bool]) -> int:
        """Delete files last used more than ``keep_minutes`` ago, unless a job still needs them."""
        oldest = time.time() - 60 * self._limits.keep_minutes
        expired = [
            upload
            for upload in self._all()
            if upload.owner is not None and upload.used_at < oldest and not is_needed(upload)
        ]
        for upload in expired:
            self.remove(upload)
        return len(expired)

    def _all(self) -> list[Upload]:
        return list(self._uploads.values())  # a copy: other threads add and remove

    def _admit(self, kind: str, length: int | None, owner: str) -> None:
        if length is not None and length > self._limits.most_bytes(kind):
            raise self._too_large(kind, length)
        if length == 0:
            raise RequestError("This file is empty.", 415)
        receiving = list(self._receiving.values())
        if len(receiving) >= self._limits.uploads_at_once:
            raise RequestError(
                "Too many files are being sent right now; try again in a moment.", 503
            )
        if len(self.of(owner)) + receiving.count(owner) >= self._limits.uploads_per_person:
            raise RequestError(
                f"You have {counted(self._limits.uploads_per_person, 'file')} here already; "
                "delete one first.",
                429,
            )

    async def _write(self, chunks: AsyncIterator[bytes], path: Path, kind: str) -> None:
        count = 0
        pending = bytearray()
        with path.open("wb") as file:
            while True:
                try:
                    chunk = await asyncio.wait_for(anext(chunks, None), self._limits.stalled_s)
                except TimeoutError as error:
                    raise RequestError("The upload stalled; send the file again.", 408) from error
                if chunk is None:
                    break
                count += len(chunk)
                if count > self._limits.most_bytes(kind):
                    raise self._too_large(kind, None)
                pending += chunk
                if len(pending) >= _CHUNK:
                    await anyio.to_thread.run_sync(file.write, bytes(pending))
                    pending.clear()
            file.write(pending)
        if not count:
            raise RequestError("This file is empty.", 415)

    def _check(self, item: str, path: Path, kind: str, name: str, owner: str | None) -> Upload:
        poster = self._store.path(item) / "poster.jpg"
        if kind == "video":
            facts = check_video(path, poster, self._limits)
        else:
            clean = self._store.path(item) / "garment.png"
            facts = check_garment(path, clean, poster, self._limits)
            if owner is not None:
                path.unlink()  # its EXIF data may tell where the picture was taken
            path = clean
        return Upload(
            id=item, owner=owner, kind=kind, name=shown_name(name), path=path, poster=poster,
            facts=facts, used_at=time.time(),
        )  # fmt: skip

    def _too_large(self, kind: str, length: int | None) -> RequestError:
        size = "more than that" if length is None else size_in_words(length)
        return RequestError(
            f"This file is too large: a {kind} may have up to "
            f"{size_in_words(self._limits.most_bytes(kind))}, this one has {size}.",
            413,
        )


def shown_name(sent: str) -> str:
    """A sent file name for display, never a path: its last part without misleading characters.

    Removes control characters, marks that change the reading direction, surrogates, and folders
    with either kind of slash.
    """
    last = sent.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")
    kept = " ".join(unicodedata.normalize("NFC", kept).split()).lstrip(".")
    if len(kept) > _LONGEST_NAME:
        suffix = PurePosixPath(kept).suffix[:8]
        kept = kept[: _LONGEST_NAME - len(suffix) - 1] + "…" + suffix
    return kept or "unnamed"
