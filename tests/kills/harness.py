"""Kill a command at a moment, run it again, and compare what came of it with an undisturbed run."""

import hashlib
import json
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch

from tests.kills.commands import IMPORTS, Command, commands, make_inputs
from tests.warm import WarmPython

RUN_DEPENDENT = {name: {"seconds"} for name in ("metrics.json", "jobs.json", ".signals")}
"""Keys of JSON files, at any depth, that differ between two undisturbed runs: times."""
NOT_COMPARED = (
    "events.out.tfevents.*",
    "ledger.sqlite",
    "report.html",
    "cost.json",
    "hparams.yaml",
)
"""Logs, and pages that show times; what they were made from is compared."""
LIMIT_S = 600


@dataclass(frozen=True, kw_only=True)
class Whole:
    """An undisturbed run: how long it takes, and what it leaves."""

    seconds: float
    products: dict[str, str]


@dataclass(kw_only=True)
class Kill:
    """One moment, and what was wrong afterwards, one sentence each."""

    command: str
    after_s: float
    faults: list[str] = field(default_factory=list)


class Killer:
    """Runs the commands in forks of one Python; ``folder`` holds inputs and all outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "inputs").mkdir(parents=True)
        self.python = WarmPython(IMPORTS)
        make_inputs(self.python, folder / "inputs")
        self.commands = commands(folder / "inputs")
        self._wholes: dict[str, Whole] = {}

    def close(self) -> None:
        """End the Python that the commands are forks of."""
        self.python.close()

    def moments(self, names: list[str], count: int, seed: int) -> Iterator[Kill]:
        """Kill so many runs, the commands in turn, at moments spread over their run times."""
        rng = random.Random(seed)
        rounds = -(-count // len(names))
        shares = {name: rng.sample(range(rounds), rounds) for name in names}
        for number in range(count):
            name = names[number % len(names)]
            part = shares[name][number // len(names)]
            yield self.kill(name, (part + rng.random()) / rounds, number, rng)

    def kill(self, name: str, share: float, number: int, rng: random.Random) -> Kill:
        """Kill one run after a share of the run time, and look at what the next run makes of it."""
        command, whole = self.commands[name], self.whole(name)
        while True:
            out = self.folder / "out"  # always the same: checkpoints hold it
            out.mkdir()
            kill = Kill(command=name, after_s=round(share * whole.seconds, 3))
            killed, before = self._run(command, out, kill.after_s)
            if killed.returncode == -signal.SIGKILL:
                break
            if killed.returncode:
                kill.faults.append(f"ended by itself with {killed.returncode}: {killed.stderr}")
                return kill
            shutil.rmtree(out)  # it was done before: another moment
            share *= rng.random()
        said = command.finished(out)
        if command.result is not None and (out / command.result).is_file():
            before.clear()
        shutil.copytree(out, self.folder / "killed", symlinks=True)
        again, after = self._run(command, out)
        kill.faults += self._compare(command, whole, again, out)
        if said is not None and not re.search(said, again.stdout + again.stderr):
            kill.faults.append(f"nowhere is said: {said}")
        twice = {path for path in before & after if not _is_one_of(path, command.rewritten)}
        kill.faults += [f"made again: {path}" for path in sorted(twice)]
        if kill.faults:
            (self.folder / "killed").rename(self.folder / f"{name}-{number}-killed")
            out.rename(self.folder / f"{name}-{number}")
        else:
            shutil.rmtree(self.folder / "killed")
            shutil.rmtree(out)
        return kill

    def whole(self, name: str) -> Whole:
        """The undisturbed run of a command, made once."""
        if name not in self._wholes:
            command, out = self.commands[name], self.folder / "out"
            out.mkdir()
            start = time.monotonic()
            done, _ = self._run(command, out)
            seconds = time.monotonic() - start
            if done.returncode:
                raise RuntimeError(f"{name} fails undisturbed: {done.stderr[-3000:]}")
            self._wholes[name] = Whole(seconds=seconds, products=products(out))
            out.rename(self.folder / f"{name}-whole")
        return self._wholes[name]

    def _run(self, command: Command, out: Path, kill_after_s: float | None = None) -> Any:
        """The ended process, and the files that got their final names."""
        trace = self.folder / "trace.txt"
        trace.write_text("")
        done = self.python.run(
            command.code, command.words(out), self.folder, {"PUT_TRACE": str(trace)},
            kill_after_s, LIMIT_S,
        )  # fmt: skip
        return done, set(trace.read_text().splitlines())

    def _compare(self, command: Command, whole: Whole, again: Any, out: Path) -> list[str]:
        if again.returncode:
            return [f"the next run ends with {again.returncode}: {again.stderr[-3000:]}"]
        found = products(out)
        return [
            *(f"missing: {name}" for name in sorted(whole.products.keys() - found.keys())),
            *(f"left over: {name}" for name in sorted(found.keys() - whole.products.keys())),
            *(
                f"other bytes: {name}"
                for name in sorted(found.keys() & whole.products.keys())
                if found[name] != whole.products[name]
            ),
        ]


def products(out: Path) -> dict[str, str]:
    """Everything below a folder by name: a hash of its bytes, without the run's times."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = re.sub(r"tfevents\..*", "tfevents.*", path.relative_to(out).as_posix())
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        elif _is_one_of(str(path), NOT_COMPARED):
            found[name] = "not compared"
        elif path.suffix == ".ckpt":
            found[name] = _content(torch.load(path, map_location="cpu", weights_only=True))
        else:
            data = path.read_bytes()
            timed = next((keys for end, keys in RUN_DEPENDENT.items() if name.endswith(end)), None)
            if timed is not None:  # JSON; that of signals is the first line, and padded
                text, _, rest = data.partition(b"\n" if path.suffix == ".signals" else b"\0")
                data = json.dumps(_without(json.loads(text), timed)).encode() + rest.lstrip(b"\0")
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def _content(value: Any) -> str:
    """A hash of what a checkpoint holds; pickle's own bytes depend on which strings are shared."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            digest.update(part.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(part, dict):
            digest.update(f"dict {len(part)}".encode())
            for key, one in part.items():
                add(key)
                add(one)
        elif isinstance(part, list | tuple):
            digest.update(f"list {len(part)}".encode())
            for one in part:
                add(one)
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()


def _without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(one, keys) for key, one in value.items() if key not in keys}
    return [_without(one, keys) for one in value] if isinstance(value, list) else value


def _is_one_of(path: str, patterns: tuple[str, ...]) -> bool:
    name = path.partition(" ")[0].rpartition("/")[2]
    return any(fnmatch(name, pattern) for pattern in patterns)
