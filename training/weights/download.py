"""Downloads one file over HTTP: resumes after a break, never mixes two versions.

A partial download is kept in ``<folder>/.fetching`` with a note of its address and validator (ETag
or date). It is resumed with ``Range`` and ``If-Range`` (RFC 9110, 13.1.5 and 14.2): a server whose
file has changed meanwhile sends all of it again.
"""

import http.client
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import DataError
from datasets.storage import write_file

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
TIMEOUT_S = 60.0
ATTEMPTS = 4
"""Number of times a broken connection is retried, as long as each one brought new bytes."""
Report = Callable[[int, int | None], None]
"""Called with the number of bytes received, and the total."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """The partial file of one download."""

    path: Path  # ends in the file's final name, so that readers know its kind

    @property
    def note(self) -> Path:
        """The note next to it, with its address and validator."""
        return self.path.with_name(f"{self.path.name}.from.json")

    def num_bytes(self, url: str) -> tuple[int, str | None]:
        """Bytes of ``url`` received and their validator; 0 if nothing matches."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return 0, None
        validator = note.get("validator") if isinstance(note, dict) else None
        if not isinstance(validator, str) or note.get("url") != url:
            return 0, None
        return size, validator

    def discard(self) -> None:
        """Remove file and note."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(url: str, unfinished: Unfinished, report: Report = lambda *_: None) -> None:
    """Download all of ``url`` to ``unfinished.path``.

    Raises:
        DataError: the host cannot be reached or refuses, or the connection broke. Received bytes
            are kept; the next call resumes.
    """
    unfinished.path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        before = unfinished.num_bytes(url)[0]
        broken = _take_up(url, unfinished, report)
        if broken is None:
            return
        size = unfinished.path.stat().st_size if unfinished.path.is_file() else 0
        if attempt == ATTEMPTS or size <= before:
            raise DataError(f"{url} broke off: {broken}; rerun the same command to resume")
        logger.info("%s broke off (%s); resuming", url, broken)


def _take_up(url: str, unfinished: Unfinished, report: Report) -> str | None:
    """One connection: None when complete, else why it ended early."""
    start, validator = unfinished.num_bytes(url)
    headers = {"User-Agent": "viton-dit", "Accept-Encoding": "identity"}
    if start and validator is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        ) as answer:
            return _receive(url, answer, start, unfinished, report)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # no bytes after those received
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total == str(start):
                return None
            unfinished.discard()
            return f"the server has {total or 'another number of'} bytes, {start} were received"
        raise DataError(f"{url} answers {error.code} {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        return f"{type(error).__name__} {error}".strip()
    except urllib.error.URLError as error:
        raise DataError(f"{url} cannot be reached ({error.reason})") from error
    except ValueError as error:
        raise DataError(f"{url} is not a valid address ({error})") from error


def _receive(
    url: str, answer: Any, start: int, unfinished: Unfinished, report: Report
) -> str | None:
    is_resumed = answer.status == http.client.PARTIAL_CONTENT
    if is_resumed:
        given = answer.headers.get("Content-Range", "")
        if not given.startswith(f"bytes {start}-"):
            unfinished.discard()
            return f"bytes from {start} were requested, {given or 'others'} were sent"
    here = start if is_resumed else 0
    length = answer.headers.get("Content-Length")
    total = None if length is None else here + int(length)
    if not is_resumed:
        unfinished.discard()
        note = {"url": url, "validator": _validator(answer.headers)}
        write_file(unfinished.note, json.dumps(note).encode())
    with unfinished.path.open("ab" if is_resumed else "wb") as file:
        while block := answer.read(BLOCK):
            file.write(block)
            here += len(block)
            report(here, total)
    if total is not None and here != total:
        return f"{here} of {total} bytes were received"
    return None


def _validator(headers: Any) -> str | None:
    """The validator of this version of the file; a weak ETag cannot be used in If-Range."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
