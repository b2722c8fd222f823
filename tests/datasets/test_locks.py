"""Two runs never write one folder; a run that was killed keeps nobody out."""

import errno
import multiprocessing
import os
import signal
import threading
import time

import pytest

from configs.errors import DataError
from curation import purge, refilter, run
from curation.ledger import Ledger
from curation.workers.parts import take_over_parts
from datasets.locks import one_at_a_time, only_run
from tests.output_fixtures import CONFIG, write_output


def _hold(path, pipe):
    with only_run(path):
        pipe.send(os.getpid())
        pipe.recv()


@pytest.fixture
def hold():
    """Hold the lock of a ledger in another process; returns its process id."""
    context = multiprocessing.get_context("spawn")
    holders = []

    def start(path):
        ours, theirs = context.Pipe()
        process = context.Process(target=_hold, args=(path, theirs), daemon=True)
        process.start()
        holders.append((process, ours))  # it ends when its pipe is closed
        return ours.recv()

    yield start
    for process, _ in holders:
        process.kill()
        process.join()


def test_the_second_run_on_a_folder_stops_and_names_the_first(tmp_path, hold):
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    (raw / "a.mp4").write_bytes(b"nothing")
    write_output(out, num_sources=1)
    pid = hold(out / "ledger.sqlite")
    words = [str(CONFIG), f"src={raw}", f"out={out}", "perception=embedded"]
    for command, arguments in (
        (run.main, words),
        (refilter.main, [str(out), "selection.quality.min_sharpness=30"]),
        (purge.main, [str(out), "dancer 0.mp4"]),
    ):
        with pytest.raises(DataError, match=rf"out is in use by process {pid} on .*; wait until"):
            command(arguments)


def test_a_killed_run_keeps_nobody_out(tmp_path, hold):
    pid = hold(tmp_path / "ledger.sqlite")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with only_run(tmp_path / "ledger.sqlite"):
        pass


def test_parts_run_side_by_side_and_none_is_taken_over_while_it_works(tmp_path, hold):
    path = tmp_path / "ledger-0-of-2.sqlite"
    with Ledger(path):
        pass
    hold(path)
    with only_run(tmp_path / "ledger-1-of-2.sqlite"), Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(DataError, match="in use by process"):
            take_over_parts(ledger, tmp_path)
        assert path.is_file()


def test_a_lock_leaves_no_file_and_a_long_name_no_trouble(tmp_path):
    target = tmp_path / ("ü" * 127)
    with only_run(target):
        (lock,) = tmp_path.iterdir()
        assert lock.name.endswith(".lock")
        with pytest.raises(DataError, match="in use by process"), only_run(target, tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_who_waits_holds_the_lock_next_although_its_file_was_removed(tmp_path):
    path, inside = tmp_path / "x.lock", []

    def work():
        with one_at_a_time(path, "the same"):
            inside.append(1)
            time.sleep(0.01)
            inside.append(-1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1, -1] * 6


def test_a_file_system_without_locks_is_said_and_a_folder_that_takes_no_file_is_one_sentence(
    tmp_path, monkeypatch, caplog
):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with only_run(tmp_path / "out"):
        pass
    assert "no locks" in caplog.text
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file cannot be written"), only_run(tmp_path / "file/out"):
        pass
