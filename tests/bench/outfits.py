"""How often ``outfit_change`` rejects one outfit, and finds another, on rendered dancers.

    python -m tests.bench.outfits --seed 7            # 40 dancers who turn, in changing light

Each dancer is measured in one outfit and in two, the second from the middle on, with true labels.
Exposure and white balance drift by up to ``LIGHT`` over the clip. The last lines are the rates at
the limit of configs/curate.yaml, and the largest and smallest value of both kinds.
"""

import argparse
import sys
from dataclasses import replace

import cv2
import numpy as np

from curation.stages.outfits import outfit_change
from curation.stages.parsing import ParsingConfig
from datasets.labels import ParseLabel
from datasets.synthetic.clips import render_frames
from datasets.synthetic.hard_cast import draw_benchmark_clip, draw_benchmark_target
from datasets.synthetic.motion import Liveliness

FPS = 2.5  # outfits are sampled no more often
FRAMES = 16
LIGHT = 0.35  # of the exposure, and of red against blue


def in_changing_light(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames (t, h, w, 3) uint8 whose exposure and white balance drift, and wander a little."""
    steps = np.linspace(-0.5, 0.5, len(frames)) + rng.normal(0, 0.08, len(frames))
    exposure, warmth = rng.uniform(-LIGHT, LIGHT, 2)
    gains = np.exp(steps[:, None] * (exposure + warmth * np.array([0.5, 0.0, -0.5])))
    return np.clip(frames * gains[:, None, None] + 0.5, 0, 255).astype(np.uint8)


def measured(seed: int, index: int, is_changed: bool) -> float | None:
    """``outfit_change`` of dancer ``index``."""
    spec = draw_benchmark_clip(
        seed, "train", index, height=256, width=192, num_frames=FRAMES, fps=FPS
    )
    spec = replace(spec, liveliness=Liveliness(crossing=0.3, turning=0.3))
    shown = list(render_frames(spec))
    if is_changed:
        other = list(render_frames(spec.wearing(draw_benchmark_target(spec))))
        shown = shown[: FRAMES // 2] + other[FRAMES // 2 :]
    frames, labels = (np.stack(each) for each in zip(*shown, strict=True))
    frames = in_changing_light(frames, np.random.default_rng([seed, index, 9]))
    return outfit_change(frames, labels == ParseLabel.UPPER, FPS)


def main(argv: list[str]) -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="one that nothing was tuned on")
    parser.add_argument("--dancers", type=int, default=40)
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    limit = ParsingConfig().max_outfit_change
    for name, is_changed in (("one outfit", False), ("another outfit", True)):
        found = [measured(arguments.seed, i, is_changed) for i in range(arguments.dancers)]
        values = np.sort([value for value in found if value is not None])
        print(
            f"{name}: {(values > limit).sum()} of {len(values)} above {limit}; "
            f"smallest {np.round(values[:5], 3)}, largest {np.round(values[-5:], 3)}", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
