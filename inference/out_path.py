"""Where a result goes: checked before any work, since it is written hours later."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import ConfigError, DataError
from datasets.locks import only_run
from datasets.storage import MAX_NAME_BYTES, fitting_name
from inference.video.provenance import read_record


def check_out(out: Path, video: Path, *others: Path) -> None:
    """Reject a path that could not be written; create its folder.

    Args:
        out: the result.
        video: what is read, and so must not be replaced.
        others: further files that are read: garment, mask, DensePose.

    Raises:
        ConfigError: not an .mp4, or a name that is too long.
        DataError: it is one of the inputs, a file that try-on did not write, or cannot be written.
    """
    if out.suffix.lower() != ".mp4":
        raise ConfigError(f"out={out} must end with .mp4")
    num_bytes = len(os.fsencode(out.name))
    if num_bytes > MAX_NAME_BYTES:
        raise ConfigError(
            f"out={out}: its name has {num_bytes} bytes; up to {MAX_NAME_BYTES} are accepted"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for path in (video, *others):
            if out.exists() and path.exists() and out.samefile(path):
                what = "the source video itself" if path is video else "itself one of the inputs"
                raise DataError(f"out={out} is {what}; name another file")
    except OSError as error:
        raise DataError(f"out={out}: its folder cannot be created: {error.strerror}") from error
    if out.is_file() and not read_record(str(out)):
        raise DataError(
            f"out={out} exists, and try-on did not write it; name another file, or remove this one"
        )
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise DataError(f"out={out} cannot be written; name a file in a folder you can write to")


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the lock of a result and of its unfinished work.

    Raises:
        DataError: another process writes the same result.
    """
    with only_run(out.with_suffix(""), out):  # one work folder serves o.mp4 and o.MP4
        yield


def work_path(out: Path) -> Path:
    """The hidden folder next to a result that holds its unfinished work."""
    return out.with_name(fitting_name(f".{out.stem}", ".tryon"))
