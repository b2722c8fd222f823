"""A time limit for work that may hang inside a C library or a dead file system.

Such a call cannot be interrupted, only left behind: it runs in a thread of its own, and when the
time is over that thread is abandoned and the next call gets another one.
"""

import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Watchdog:
    """Runs calls one at a time, each within ``timeout_s`` seconds; 0: without a limit.

    The thread is made at the first call in each process, so an idle one can be pickled and forked.
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
        """The result of ``work``, or what it raised.

        Raises:
            TimeoutError: it did not end in time; it is left behind and still holds its memory.
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
            self._requests.put(None)  # should it ever come back
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
        del work, answer  # the last sample is not kept alive while waiting
