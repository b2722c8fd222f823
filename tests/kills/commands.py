"""The five commands that are killed, on small rendered dancers, and what they must not lose."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.warm import WarmPython

IMPORTS = """
import os, zlib
from pathlib import Path
import datasets.storage as storage
put = storage.put_in_place

def traced(finished, path):
    put(finished, path)
    if "PUT_TRACE" in os.environ:
        what, identity = str(path.absolute()), path.parent / "identity.json"
        if identity.is_file():  # of work that several jobs do in one place
            what += f" {zlib.crc32(identity.read_bytes())}"
        if path.name == "journal.txt":
            what += f" {path.read_text()}"
        with open(os.environ["PUT_TRACE"], "a") as file:
            file.write(what + "\\n")

storage.put_in_place = traced
import curation.run, datasets.synthetic.dataset, inference.tryon, training.evaluate, training.fit
"""
"""What the commands' Python has imported; each file that gets its final name is noted."""

RUN = "import {0}\nfrom configs.command import run_command\nrun_command({0}.main)"

TINY = """
name: tiny
stage: stage3
system:
  height: 96
  width: 64
  num_frames: 4
  fps: 12
  network:
    trunk:
      {in_channels: 4, out_channels: 8, dim: 32, depth: 2, num_heads: 2, caption_dim: 8,
       caption_length: 2}
  codec: {kind: dct, latent_channels: 4}
data: {num_frames: 4, batch_size: 1, num_workers: 0, cache_mb: 64}
optimizer: {lr: 1.0e-3}
ema: {decay: 0.5}
validation: {every_steps: 10, sampler: {num_steps: 2, guidance_scale: 1.0}}
trainer: {accelerator: cpu, log_every_steps: 1, checkpoint_every_steps: 4, global_batch: 2}
max_steps: 24
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command, what it takes and what it says about finished work.

    Attributes:
        name: of the command.
        module: whose ``main`` is called.
        words: its arguments, for the folder that it writes.
        finished: a pattern that its output must hold after a kill, from what lies in the folder;
            None: nothing is finished.
        rewritten: names of files that every run writes, also one that finds its work done.
        result: where it lies, the next run starts from nothing, as after any finished run.
    """

    name: str
    module: str
    words: Callable[[Path], list[str]]
    finished: Callable[[Path], str | None]
    rewritten: tuple[str, ...] = ()
    result: str | None = None

    @property
    def code(self) -> str:
        """The program."""
        return RUN.format(self.module)


def make_inputs(python: WarmPython, folder: Path) -> None:
    """Raw videos, a benchmark and a checkpoint, by the commands themselves.

    Raises:
        RuntimeError: one of them failed.
    """
    raw, bench, runs = (str(folder / name) for name in ("raw", "bench", "runs"))
    (folder / "tiny.yaml").write_text(TINY)
    curate = ["configs/demo/curate.yaml", "workers=1"]
    for module, words in (
        ("datasets.synthetic.dataset", [
            "configs/demo/render.yaml", f"out={raw}", "num_train=4", "num_val=1", "num_bench=2",
            "num_bad=0", "duration_s=1.3", "workers=1", "dancers=demo", "framing=whole",
        ]),
        ("curation.run", [*curate, f"src={raw}/train", f"out={folder / 'dance'}"]),
        ("curation.run", [*curate, f"src={raw}/bench/raw", f"out={bench}"]),
        ("training.fit", [
            str(folder / "tiny.yaml"), f"data.roots=[{folder / 'dance'}]", f"runs={runs}",
            "max_steps=1",
        ]),
    ):  # fmt: skip
        done = python.run(RUN.format(module), words, folder, limit_s=600)
        if done.returncode:
            raise RuntimeError(f"{module} {words}: {done.stderr[-2000:]}")
    garments = sorted((folder / "raw/bench/garments").glob("*.png"))
    videos = sorted((folder / "raw/bench/raw").glob("*.mp4"))
    rows = [f"{video},{garment}" for video in videos for garment in garments][:3]
    (folder / "jobs.csv").write_text("\n".join(["video,garment", *rows]) + "\n")


def commands(inputs: Path) -> dict[str, Command]:
    """All five, by name; ``inputs`` is the folder of ``make_inputs``."""
    bench = inputs / "raw/bench"
    model = [
        f"checkpoint={inputs / 'runs/tiny'}", "perception=embedded", "max_unseen=1", "device=cpu",
    ]  # fmt: skip
    return {
        command.name: command
        for command in (
            Command(
                name="curation", module="curation.run",
                words=lambda out: ["configs/demo/curate.yaml", f"src={inputs / 'raw/train'}",
                                   f"out={out}", "workers=2"],
                finished=_curated,
                rewritten=("manifest.parquet", "*.tar", "train-*.json", "val-*.json", "config.yaml",
                           "rejected.json", "report.html", "cost.json"),
            ),
            Command(
                name="training", module="training.fit",
                words=lambda out: [str(inputs / "tiny.yaml"), f"data.roots=[{inputs / 'dance'}]",
                                   f"runs={out}"],
                finished=_trained, rewritten=("*.ckpt", "scores.json", "config.yaml", "report.html",
                                              "*.png", "*.webp"),
            ),
            Command(
                name="evaluation", module="training.evaluate",
                words=lambda out: ["configs/eval/synthetic.yaml", "name=k",
                                   f"root={inputs / 'bench'}", f"out={out}",
                                   f"checkpoint={inputs / 'runs/tiny'}", "height=96", "width=64"],
                finished=lambda _: None,
                rewritten=("window.json", "metrics.json", "report.html"),
            ),
            Command(
                name="try-on", module="inference.tryon",
                words=lambda out: [f"video={bench / 'raw/bench_000.mp4'}",
                                   f"garment={bench / 'garments/bench_001.png'}",
                                   f"out={out / 'o.mp4'}", *model],
                finished=lambda _: None, rewritten=("o.mp4",), result="o.mp4",
            ),
            Command(
                name="JOBS", module="inference.tryon",
                words=lambda out: [f"jobs={inputs / 'jobs.csv'}", f"out={out}", *model],
                finished=_done_jobs, rewritten=("*.mp4", "jobs.json", "report.html"),
            ),
        )
    }  # fmt: skip


def _curated(out: Path) -> str | None:
    """How many sources the ledger of a killed run holds."""
    if not (out / "ledger.sqlite").is_file():
        return None
    aside = out.with_name(f"{out.name}-ledger")  # reading it where it lies would tidy it up
    aside.mkdir()
    for file in out.glob("ledger.sqlite*"):
        shutil.copy(file, aside)
    connection = sqlite3.connect(aside / "ledger.sqlite")
    try:
        (count,) = connection.execute("SELECT count(*) FROM sources").fetchone()
    except sqlite3.OperationalError:  # killed before it has tables
        count = 0
    finally:
        connection.close()
        shutil.rmtree(aside)
    return rf"decoded {5 - count} sources; {count} of 5 were done before"


def _trained(out: Path) -> str | None:
    steps = [
        int(re.findall(r"\d+", path.name)[0]) for path in out.glob("tiny/checkpoints/step-*.ckpt")
    ]
    return f"resuming from step {max(steps)} of 24" if steps else None


def _done_jobs(out: Path) -> str | None:
    record = out / "jobs.json"
    done = len(json.loads(record.read_text())) if record.is_file() else 0
    return f"3 jobs: 3 results, {done} of them from an earlier run, 0 failed"
