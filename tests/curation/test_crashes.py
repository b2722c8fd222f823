"""kill -9 at any moment and a full disk: the next run ends with the bytes of an unbroken one."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.run import curate
from curation.settings import CurateConfig
from tests.curation import hostile as h
from tests.curation.workers.test_executors import look, products

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from configs.command import run_command
from curation.run import curate
from curation.settings import CurateConfig
from tests.curation.workers.test_executors import look

def main(argv):
    curate(CurateConfig(src=argv[0], out=argv[1], workers=2), look)
    return 0

if __name__ == "__main__":
    run_command(main)
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for seed in range(4):
        h.write(root / f"dance {seed}.mp4", h.dance(16, seed=seed))
    (root / "page.mp4").write_bytes(b"<html>not found</html>")
    return root


@pytest.fixture(scope="module")
def unbroken(raw, tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("unbroken")
    curate(CurateConfig(src=str(raw), out=str(out), workers=1), look)
    return products(out)


def start(script: Path, raw: Path, out: Path) -> subprocess.Popen[str]:
    script.write_text(RUN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    return subprocess.Popen(
        [sys.executable, str(script), str(raw), str(out)],
        cwd=ROOT, env=environment, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def kill_at_random_moments(count: int, raw: Path, tmp_path: Path) -> int:
    """Kills runs of one folder, all processes or the main one alone; how many were at work."""
    rng = np.random.default_rng(0)
    at_work = 0
    for number in range(count):
        process = start(tmp_path / "run.py", raw, tmp_path / "out")
        deadline = time.monotonic() + 60
        ledger = tmp_path / "out" / "ledger.sqlite"
        while not ledger.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0, 6)))
        at_work += process.poll() is None
        try:
            if number % 2:
                process.kill()  # the workers notice that it is gone
            else:
                os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()
    return at_work


def test_a_run_killed_twice_ends_with_the_same_bytes(raw, unbroken, tmp_path):
    kill_at_random_moments(2, raw, tmp_path)
    curate(CurateConfig(src=str(raw), out=str(tmp_path / "out"), workers=1), look)
    assert products(tmp_path / "out") == unbroken


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_at_twenty_moments_ends_with_the_same_bytes(raw, unbroken, tmp_path):
    assert kill_at_random_moments(20, raw, tmp_path) >= 5
    curate(CurateConfig(src=str(raw), out=str(tmp_path / "out"), workers=1), look)
    assert products(tmp_path / "out") == unbroken
    assert not list((tmp_path / "out").rglob(".writing-*"))


SLOW = pytest.mark.slow


@pytest.fixture(  # full when the ledger is born, when it grows, and at a clip
    params=[pytest.param("40k", marks=SLOW), "150k", pytest.param("400k", marks=SLOW)]
)
def small_disk(tmp_path, request):
    """A file system of a few pages; skips, by name, where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={request.param}".encode()
    if sys.platform != "linux" or libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, options) != 0:
        pytest.skip("mounting a tmpfs is not permitted here")

    def grow() -> None:
        remount = 32
        assert libc.mount(b"tmpfs", bytes(folder), b"tmpfs", remount, b"size=64m") == 0

    yield folder, grow
    libc.umount2(bytes(folder), 2)


def test_a_full_disk_is_one_sentence_and_with_room_the_run_goes_on(
    raw, unbroken, small_disk, tmp_path
):
    folder, grow = small_disk
    process = start(tmp_path / "run.py", raw, folder / "out")
    errors = process.communicate()[1]
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    said = [line for line in errors.splitlines() if line.startswith("error")]
    assert len(said) == 1, errors
    assert "make room and rerun the same command" in said[0]
    grow()
    config = CurateConfig(src=str(raw), out=str(folder / "out"), workers=1)
    curate(replace(config), look)
    assert products(folder / "out") == unbroken
