"""A time limit for calls that may hang inside a C library or a dead file system.

Such a call cannot be interrupted, only abandoned: it runs in its own thread, and after a timeout
the next call gets a new thread.
"""

import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Watchdog:
    """Runs calls one at a time, each within ``timeout_s`` seconds; 0: no limit.

    The thread starts at the first call in each process, so an unused one can be pickled and forked.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._pid = -1
        self._requests: queue.SimpleQueue[Any] | None = None
        self._answers: queue.SimpleQueue[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"timeout_s": self.timeout_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["timeout_s"])

    def run(self, work: Callable[[], T]) -> T:
        """Return the result of ``work``, or raise its error.

        Raises:
            TimeoutError: it did not end in time; it is abandoned and still holds its memory.
        """
        if not self.timeout_s:
            return work()
        if self._requests is None or self._answers is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._requests, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
            arguments = (self._requests, self._answers)
            threading.Thread(target=_serve, args=arguments, daemon=True, name="reader").start()
        self._requests.put(work)
        try:
            is_result, value = self._answers.get(timeout=self.timeout_s)
        except queue.Empty:
            self._requests.put(None)  # ends the thread if the call ever returns
            self._requests = self._answers = None
            raise TimeoutError(f"no answer within {self.timeout_s:g} s") from None
        if is_result:
            return value
        raise value


def _serve(requests: "queue.SimpleQueue[Any]", answers: "queue.SimpleQueue[Any]") -> None:
    while True:
        work = requests.get()
        if work is None:
            return
        try:
            answer = (True, work())
        except BaseException as error:
            answer = (False, error)
        answers.put(answer)
        del work, answer  # do not keep the last sample alive while waiting
