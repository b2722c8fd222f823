"""Run as a program by ``test_ranks.py``: one rank of two, several runs one after the other.

``python two_ranks.py CONFIG.yaml RUN RUN ...``, a RUN being words ``key=value ...``; the word
``poison=N`` makes sample N of that run's latents NaN, ``kill=N`` kills this rank after step N.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any


def main() -> None:
    import torch

    import training.fit as program
    import training.module as module
    from configs.loading import load_config
    from training.callbacks.progress import StepProgress
    from training.config import TrainConfig

    encode = module.encode_batch
    faults: dict[str, int] = {}

    def encode_with_faults(system: Any, batch: Any, *rest: Any) -> Any:
        encoded = encode(system, batch, *rest)
        bad = batch.numbers == faults.get("poison", -1)
        latents = encoded.latents.masked_fill(bad[:, None, None, None, None], float("nan"))
        return replace(encoded, latents=latents)

    class Killed(StepProgress):
        def on_step(self, trainer: Any, pl_module: Any) -> None:
            super().on_step(trainer, pl_module)
            if trainer.global_step == faults.get("kill"):
                os.kill(os.getpid(), signal.SIGKILL)

    module.encode_batch = encode_with_faults
    program.StepProgress = Killed
    program.write_report = lambda folder, *_: folder  # nobody looks at it, and it takes long
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    for run in sys.argv[2:]:
        words = run.split()
        faults.clear()
        for word in [word for word in words if word.startswith(("poison=", "kill="))]:
            words.remove(word)
            name, _, value = word.partition("=")
            faults[name] = int(value)
        program.fit(load_config(TrainConfig, path, words), path)


if __name__ == "__main__":
    main()
