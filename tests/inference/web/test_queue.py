import time
from pathlib import Path

import pytest
from waiting import until

from inference.errors import RequestError
from inference.progress import Cancelled, Status
from inference.web.queue import JobQueue, JobResult, QueuedJob, TryOnRequest
from inference.web.settings import AppLimits
from inference.web.upload_checks import MediaFacts
from inference.web.uploads import Upload


def job(name, owner, frames=100):
    facts = MediaFacts(height=9, width=9, duration_s=1.0, fps=10.0, num_frames=frames)
    video = Upload(
        id="v",
        owner=owner,
        kind="video",
        name="v",
        path=Path("v"),
        poster=Path("p"),
        facts=facts,
        used_at=1.0,
    )
    return QueuedJob(id=name, owner=owner, request=TryOnRequest(video=video, category="upper"))


@pytest.fixture
def open_queue(tmp_path):
    queues = []

    def open_one(work, **limits):
        queue = JobQueue(work, AppLimits(**limits), lambda _: None)
        queues.append(queue)
        return queue

    yield open_one
    for queue in queues:
        queue.close()


@pytest.fixture
def gate(slow_worker, tmp_path):
    """A queue's work that waits until the test lets it go on."""
    return lambda job, report: slow_worker.work(job, tmp_path, tmp_path, report)


def test_everybody_gets_a_turn(open_queue, gate, slow_worker):
    queue = open_queue(gate)
    jobs = [job(name, "anna") for name in ("a1", "a2", "a3")]
    jobs += [job("b1", "bert"), job("b2", "bert"), job("c1", "cleo")]
    queue.submit(jobs[0])
    until(lambda: slow_worker.started == ["a1"])
    for later in jobs[1:]:
        queue.submit(later)
    expected = ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert [job.id for job in queue.line()] == expected
    assert [queue.ahead(job)[0] for job in jobs[1:]] == [3, 5, 1, 4, 2]
    slow_worker.may_go_on.set()
    until(lambda: all(job.state == "done" for job in jobs))
    assert slow_worker.started == expected


def test_the_wait_is_told_from_what_the_last_job_took(open_queue, gate, slow_worker):
    queue = open_queue(gate)
    first, second, third = job("1", "anna"), job("2", "bert"), job("3", "cleo", frames=50)
    queue.submit(first)
    until(lambda: first.status is not None)
    queue.submit(second)
    assert queue.ahead(second) == (1, 30.0)  # what the running job says itself
    queue.submit(third)
    assert queue.ahead(third) == (2, None)  # nothing of this kind was ever finished
    slow_worker.may_go_on.set()
    until(lambda: third.state == "done")
    slow_worker.may_go_on.clear()
    fourth = job("4", "anna", frames=10**6)
    queue.submit(fourth)
    until(lambda: fourth.status is not None)
    later = job("5", "bert", frames=10**6)
    queue.submit(later)
    assert queue.seconds_left(later) > 1.0


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_at_its_next_message(
    open_queue, gate, slow_worker
):
    queue = open_queue(gate)
    running, waiting = job("1", "anna"), job("2", "anna")
    queue.submit(running)
    until(lambda: running.status is not None)
    queue.submit(waiting)
    queue.cancel(waiting)
    assert waiting.state == "cancelled"
    queue.cancel(running)
    until(lambda: running.state == "cancelled")
    assert slow_worker.started == ["1"]


def test_a_job_cancelled_in_its_last_moment_leaves_nothing(open_queue, gate, slow_worker):
    ended = []

    def work(job, report):
        job.is_cancelled = True  # between the last message and the end
        return JobResult(files={"result.mp4": Path("x")}, facts={})

    queue = open_queue(work)
    queue._on_end = ended.append
    one = job("1", "anna")
    queue.submit(one)
    until(lambda: ended)
    assert (one.state, one.result.files) == ("cancelled", {})


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (RequestError("Nobody is in it."), "Nobody is in it."),
        (MemoryError(), "too little memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "too little memory"),
        (ZeroDivisionError("secret/path"), "your file is not the cause"),
    ],
)
def test_a_fault_ends_its_job_with_a_sentence_and_the_next_one_runs(
    open_queue, gate, slow_worker, fault, sentence, caplog
):
    queue = open_queue(gate)
    slow_worker.fault = fault
    slow_worker.may_go_on.set()
    broken = job("1", "anna")
    queue.submit(broken)
    until(lambda: broken.state == "failed")
    assert sentence in broken.error
    assert "secret" not in broken.error
    slow_worker.fault = None
    healthy = job("2", "anna")
    queue.submit(healthy)
    until(lambda: healthy.state == "done")


def test_too_many_jobs_are_refused_for_one_and_for_all(open_queue, gate, slow_worker):
    queue = open_queue(gate, jobs_per_person=2, jobs=3)
    queue.submit(job("1", "anna"))
    queue.submit(job("2", "anna"))
    with pytest.raises(RequestError, match="You have 2 jobs"):
        queue.submit(job("3", "anna"))
    queue.submit(job("4", "bert"))
    with pytest.raises(RequestError, match="Too many jobs"):
        queue.submit(job("5", "cleo"))


def test_closing_stops_the_running_job(open_queue):
    seen = []

    def work(job, report):
        try:
            while True:
                time.sleep(0.005)
                report(Status(stage="x", done=0, total=1, fraction=0.0, seconds_left=None))
        except Cancelled:
            seen.append(job.id)
            raise

    queue = open_queue(work)
    one = job("1", "anna")
    queue.submit(one)
    until(lambda: one.state == "running")
    queue.close()
    assert seen == ["1"]
    assert one.state == "cancelled"
