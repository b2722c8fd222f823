"""A Python that has imported what many tests' programs need; a fork of it runs each of them.

A program of its own is what a test of signals, exit codes or kill -9 needs, but importing torch and
Lightning takes longer than the program itself.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AS_MODULE = """
import runpy, sys
name = sys.argv[1]
del sys.argv[1]
sys.modules.pop(name, None)
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""
"""A program: ``python -m MODULE ...`` without importing again what the warm Python has imported."""

SERVER = """
import json, os, signal, sys, time
exec(sys.argv[1])

def reap(child, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    while True:  # it may not have its own group yet
        try:
            os.killpg(child, signal.SIGKILL)
            break
        except ProcessLookupError:
            time.sleep(0.002)
    status = os.waitpid(child, 0)[1]
    end = time.monotonic() + 10
    while time.monotonic() < end:  # its own children, too
        try:
            os.killpg(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.002)
    return status

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.setsid()
        signal.alarm(asked["limit_s"])
        for number, name in enumerate(("/dev/null", asked["out"], asked["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
        os.environ.update(asked["environ"])
        sys.argv = ["-c", *asked["words"]]
        exec(asked["code"], {"__name__": "__main__"})
        sys.exit()
    kill_after_s = asked["kill_after_s"]
    status = os.waitpid(child, 0)[1] if kill_after_s is None else reap(child, kill_after_s)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class WarmPython:
    """Starts with ``imports``, a line of Python; runs programs one after the other."""

    def __init__(self, imports: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, imports], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def run(
        self,
        code: str,
        words: Sequence[str],
        folder: Path,
        environ: Mapping[str, str] = {},
        kill_after_s: float | None = None,
        limit_s: int = 110,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``code`` in a process and session of its own, in the checkout.

        Args:
            code: the program.
            words: its ``sys.argv[1:]``.
            folder: where its output is kept.
            environ: what its environment has beside this one's.
            kill_after_s: kill -9 it and every process that it started after so long; None: never.
            limit_s: it is ended after so long.
        """
        out, err = folder / "stdout.txt", folder / "stderr.txt"
        for file in (out, err):
            file.write_text("")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = {"code": code, "words": list(words), "environ": dict(environ), "out": str(out),
                 "err": str(err), "kill_after_s": kill_after_s, "limit_s": limit_s}  # fmt: skip
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        exit_code = self.process.stdout.readline()
        assert exit_code, "the Python that runs programs has ended; see its error above"
        return subprocess.CompletedProcess(
            ["-c", *words], int(exit_code), out.read_text(), err.read_text()
        )

    def close(self) -> None:
        """End it; its programs have ended."""
        self.process.communicate()
