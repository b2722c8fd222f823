"""Killing a try-on at random moments: in masks, key frames, sub-videos and writing.

Each moment is drawn from a seed as a step of the job (the chunk, the batch or the share of the file
that is done) and a delay behind it, so that most kills fall into the middle of something.
"""

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.storage import TEMPORARY
from inference.conditions.stored import CHUNK
from inference.out_path import work_path
from inference.sampling.long_video import LongVideoConfig, plan_windows

PHASES = ("making masks", "painting key frames", "filling sub-videos", "writing")
_LONGEST_DELAY_S = 0.4  # about one batch of the demo's model
_POLL_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When to kill: behind ``step`` of a phase, and a delay."""

    phase: str
    step: int  # chunks, batches or bytes that are done
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How many steps a job of some length has in each phase."""

    chunks: int
    key_batches: int
    batches: int  # key frames and sub-videos
    num_bytes: int  # of the result

    @classmethod
    def of(cls, num_frames: int, window: int, config: LongVideoConfig, result: Path) -> "Steps":
        """Counted as ``inference.sampling.latent_video`` walks; ``result`` is the unbroken one."""
        stride = config.sub_video_length or window // 2
        rounds = plan_windows(num_frames, window, config)
        counts = [-(-len(step) // config.batch_size) for step in rounds]
        is_key = [all(f % stride == 0 for w in step for f in w.painted) for step in rounds]
        return cls(
            chunks=-(-num_frames // CHUNK),
            key_batches=sum(n for n, key in zip(counts, is_key, strict=True) if key),
            batches=sum(counts),
            num_bytes=result.stat().st_size,
        )

    def span(self, phase: str) -> tuple[int, int]:
        """First and last step of a phase behind which a kill still falls into it."""
        return {
            "making masks": (1, self.chunks - 1),
            "painting key frames": (1, self.key_batches - 1),
            "filling sub-videos": (self.key_batches, self.batches - 1),
            "writing": (self.num_bytes // 20, self.num_bytes * 3 // 4),
        }[phase]


def draw_moments(steps: Steps, kills: int, seed: int) -> list[Moment]:
    """So many moments, in the order in which a job meets them; every phase in turn."""
    draw = random.Random(seed)
    chosen = sorted(i % len(PHASES) for i in range(kills))
    moments = [
        Moment(
            phase=PHASES[number],
            step=draw.randint(*steps.span(PHASES[number])),
            delay_s=draw.uniform(0, _LONGEST_DELAY_S),
        )
        for number in chosen
    ]
    return sorted(moments, key=lambda m: (PHASES.index(m.phase), m.step))


def steps_done(phase: str, work: Path, out: Path, since: float = 0.0) -> int:
    """How far a job is, by what lies on the disk; half a result of before ``since`` is none."""
    if phase == "making masks":
        return len(list((work / "conditions").glob("*.npz")))
    if phase == "writing":
        found = [path.stat() for path in out.parent.glob(f"{TEMPORARY}*")]
        return max((stat.st_size for stat in found if stat.st_mtime > since), default=0)
    journal = work / "painting" / "journal.txt"
    return int(journal.read_text() or 0) if journal.is_file() else 0


def kill_at(moment: Moment, words: Sequence[str], out: Path) -> bool:
    """Start a job and kill -9 it at a moment; False if it ended before.

    Raises:
        SystemExit: the job failed.
    """
    work, start = work_path(out), time.time()
    step = max(moment.step, steps_done(moment.phase, work, out, start) + 1)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        if steps_done(moment.phase, work, out, start) >= step:
            time.sleep(moment.delay_s)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return process.returncode == -signal.SIGKILL
        time.sleep(_POLL_S)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(f"try-on ended by itself: {process.stderr.read()[-2000:]}")
    return False
