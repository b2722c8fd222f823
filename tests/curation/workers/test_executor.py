import os
import time

import pytest

from configs.errors import DataError, UserError
from curation.workers.executor import (
    KEPT_MEMORY,
    ONE_THREAD,
    Failure,
    Limit,
    Workers,
    resident_bytes,
)


def build():
    return work


def build_slowly_failing():
    raise DataError("the models are missing")


def work(job, set_limit):
    if job == "crash":
        os._exit(3)
    if job == "nothing":
        return None
    if job == "environment":
        return {name: os.environ.get(name) for name in (*KEPT_MEMORY, *ONE_THREAD)}
    if job == "raise":
        raise RuntimeError("something odd")
    if job == "user":
        raise DataError("disk full")
    if job == "hang":
        set_limit(Limit(seconds=0.2))
        time.sleep(60)
    if job == "eat":
        held = bytearray(600 << 20)
        held[:: 1 << 12] = bytes([1]) * len(held[:: 1 << 12])
        time.sleep(60)
    return job * 2


def outcomes(jobs, workers=2, limit_s=60.0, **limits):
    with Workers(build, workers, limit_s, **limits) as pool:
        return dict(pool.run(jobs))


def test_a_crash_a_fault_and_a_hang_cost_their_own_job_alone():
    done = outcomes(["a", "crash", "b", "raise", "hang", "c"])
    assert [done[job] for job in "abc"] == ["aa", "bb", "cc"]
    crash, fault, hang = done["crash"], done["raise"], done["hang"]
    assert isinstance(crash, Failure)
    assert (crash.code, crash.detail) == ("worker_failed", "exit code 3")
    assert isinstance(fault, Failure)
    assert fault.detail.startswith("RuntimeError: something odd")
    assert isinstance(hang, Failure)
    assert hang.code == "timed_out"


def test_a_users_error_in_a_worker_stops_the_run():
    with pytest.raises(UserError, match="disk full"):
        outcomes(["a", "user"], workers=1)
    failing = Workers(build_slowly_failing, 1, 60.0)
    with failing as pool, pytest.raises(UserError, match="the models are missing"):
        dict(pool.run(["a"]))


def test_a_result_may_be_nothing():
    assert outcomes(["nothing", "a"], workers=1) == {"nothing": None, "a": "aa"}


def test_workers_use_one_thread_and_keep_memory_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "5")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    seen = outcomes(["environment"], workers=1)["environment"]
    assert seen == {**ONE_THREAD, **KEPT_MEMORY, "MALLOC_TOP_PAD_": "5"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MALLOC_TRIM_THRESHOLD_" not in os.environ


def test_no_jobs_start_no_workers():
    assert outcomes([]) == {}


def test_a_worker_that_takes_too_much_memory_is_killed_and_the_others_go_on():
    done = outcomes(["a", "eat", "b"], max_memory_gb=0.5)
    assert (done["a"], done["b"]) == ("aa", "bb")
    assert isinstance(done["eat"], Failure)
    assert done["eat"].code == "out_of_memory"
    assert "the limit is 0.5" in done["eat"].detail
    assert resident_bytes(os.getpid()) > 1 << 24


def test_a_worker_that_is_killed_between_two_jobs_costs_none():
    with Workers(build, 1, 60.0) as pool:
        run = pool.run(["a", "b"])
        assert next(run) == ("a", "aa")
        (worker,) = pool._workers
        worker.process.kill()
        worker.process.join()
        assert list(run) == [("b", "bb")]
