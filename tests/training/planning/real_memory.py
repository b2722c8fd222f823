"""Run as a program: train a few real steps on the CPU and print the memory they took.

``python real_memory.py CONFIG.yaml key=value ...`` prints, in bytes: the resident memory above
that of the program with everything imported, and the estimate of ``training.planning.memory``.
"""

import json
import sys
from pathlib import Path
from typing import Any


def resident(key: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (at most so far)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def main() -> None:
    import torch

    import training.fit as program
    from configs.loading import load_config
    from training.callbacks.progress import StepProgress
    from training.config import TrainConfig
    from training.planning.memory import estimate_memory

    peaks: list[int] = []

    class Measured(StepProgress):
        """Looks after every step: what saving a checkpoint takes is not a device's memory."""

        def on_train_batch_end(self, *given: Any, **named: Any) -> None:
            super().on_train_batch_end(*given, **named)
            peaks.append(resident("VmHWM"))

    program.StepProgress = Measured

    config = load_config(TrainConfig, Path(sys.argv[1]), sys.argv[2:])
    torch.set_num_threads(1)
    warm = torch.nn.Linear(64, 64)
    warm(torch.zeros(2, 64)).sum().backward()  # libraries that load at first use
    estimate = estimate_memory(config, on_gpu=False)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    program.fit(config, Path(sys.argv[1]))
    parts = {key: value for key, value in vars(estimate).items() if key != "moment"}
    print(json.dumps({"real": peaks[-1] - before, "estimate": estimate.total, "parts": parts}))


if __name__ == "__main__":
    main()
