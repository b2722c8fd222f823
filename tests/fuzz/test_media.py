"""Damaged files: no reader hangs, crashes or shows anything but a sentence."""

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from waiting import cpu_at_most

from curation.workers.executor import Failure, Workers
from tests.fuzz.media import (
    CONTAINERS,
    PICTURES,
    build_readers,
    damage,
    make_picture,
    make_video,
)

STARTS_S = 120.0  # a worker imports torch and more


def damaged_files(folder: Path, count: int, seed: int) -> list[Path]:
    """``count`` files of every kind, each in a folder of its own."""
    rng, whole = random.Random(seed), folder / "whole"
    whole.mkdir()
    kinds = [make_video(whole / f"v.{suffix}", codec) for suffix, codec in CONTAINERS.items()]
    kinds += [make_picture(whole / f"p.{suffix}") for suffix in PICTURES]
    paths = []
    for path in kinds:
        for number in range(count):
            place = folder / f"{path.suffix[1:]}-{number}"
            place.mkdir()
            data = damage(path.read_bytes(), rng, path.suffix[1:])
            (place / path.name).write_bytes(data)
            paths.append(place / path.name)
    return kinds + paths


def read_here(folder: Path, paths: list[Path]) -> dict[Path, list[str] | Failure]:
    """In this process: quick, but a reader that crashes takes the test along."""
    readers, said = build_readers(folder / "work"), {}
    for path in paths:
        try:
            said[path] = readers(path, lambda _: None)
        except Exception as error:
            said[path] = Failure(code="raised", detail=repr(error))
    return said


def read_apart(folder: Path, paths: list[Path]) -> dict[Path, list[str] | Failure]:
    """In a process of their own, which is killed where one of them hangs."""
    with Workers(partial(build_readers, folder / "work"), 1, STARTS_S) as pool:
        return dict(pool.run(paths))


def check(folder: Path, count: int, seed: int, read: Callable[..., dict]) -> None:
    paths = damaged_files(folder, count, seed)
    (folder / "work").mkdir()
    said = read(folder, paths)
    faults = {path.parent.name: one for path, one in said.items() if isinstance(one, Failure)}
    assert not faults, "\n".join(f"{name}: {one.code} {one.detail}" for name, one in faults.items())
    for path in paths[: len(CONTAINERS)]:
        curated, rewritten, worn = said[path]
        assert curated.startswith("read: "), (path, curated)
        assert rewritten == "read: 16", (path, rewritten)
        assert worn.startswith("read: (64, 48"), (path, worn)
    assert all(said[path] == ["read: (64, 48, 3)"] for path in paths[6:9])
    assert len({str(one) for one in said.values()}) > 5  # damage shows


def test_damaged_files_of_every_kind_are_read_or_refused(tmp_path):
    check(tmp_path, 4, 0, read_here)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hundreds_of_damaged_files_are_read_or_refused(tmp_path):
    check(tmp_path, 50, 1, read_apart)


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_reader_that_takes_too_long_is_a_fault():
    with pytest.raises(AssertionError, match=r"v\.mp4: 0\.\d s of"), cpu_at_most(0.01, "v.mp4"):
        work(0.02)
