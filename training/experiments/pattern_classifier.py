"""A small network that classifies a worn garment: plain, stripes, checks, dots or print.

It judges generated garments, so it learns only from true renders, made blurred and noisy as results
may be, and its accuracy on held-out dancers is reported with every number it is used for.

    python -m training.experiments.pattern_classifier [key=value ...]
"""

import hashlib
import itertools
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from configs.command import run_command
from configs.loading import load_config
from datasets.locks import one_at_a_time
from datasets.storage import add_files, sweep, write_file
from datasets.synthetic.hard_cast import CLASSES
from training.experiments import pattern_crops
from training.experiments.pattern_crops import SIDE, CropSet, CropSetConfig, make_crops, to_input

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Data and training. ``width`` is the first layer's channels."""

    cache: str = "runs/experiments/classifier"
    train: CropSetConfig = field(
        default_factory=lambda: CropSetConfig(split="train", num_clips=400)
    )
    test: CropSetConfig = field(default_factory=lambda: CropSetConfig(split="bench", num_clips=100))
    width: int = 24
    epochs: int = 14
    batch_size: int = 32
    lr: float = 2e-3
    seed: int = 0
    workers: int = 0


class PatternClassifier(nn.Module):
    """Four strided convolutions, the mean over the garment, one linear layer."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        channels = [4, width, 2 * width, 4 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in itertools.pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, after) for after in channels[1:])
        self.head = nn.Linear(channels[-1], len(CLASSES))

    def forward(self, crops: Float[Tensor, "n 4 side side"]) -> Float[Tensor, "n classes"]:
        """Logits of ``CLASSES`` from crops of ``to_input``."""
        hidden = crops
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = functional.silu(norm(convolution(hidden)))
        inside = functional.adaptive_avg_pool2d(crops[:, 3:], (hidden.shape[2], hidden.shape[3]))
        pooled = (hidden * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp(min=1e-3)
        return self.head(pooled)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedClassifier:
    """A classifier and its accuracy."""

    network: PatternClassifier
    accuracy: dict[str, Any]

    @torch.no_grad()
    def log_probabilities(self, crops: np.ndarray) -> np.ndarray:
        """(n, classes) of crops (n, SIDE, SIDE, 4) uint8."""
        return torch.log_softmax(self.network(to_input(crops)), dim=1).numpy()

    def clip_class(self, crops: np.ndarray) -> str:
        """The class of a clip, by the mean over its frames; "unseen" without crops."""
        if not len(crops):
            return "unseen"
        return CLASSES[int(self.log_probabilities(crops).mean(axis=0).argmax())]


def train_classifier(config: ClassifierConfig) -> TrainedClassifier:
    """Train, resume, or load: files are named by a hash of everything they depend on."""
    with one_at_a_time(Path(config.cache) / ".lock", "the classifier of patterns"):
        return _train_classifier(config, Path(config.cache))


def _train_classifier(config: ClassifierConfig, cache: Path) -> TrainedClassifier:
    train = make_crops(config.train, cache, config.workers)
    test = make_crops(config.test, cache, config.workers)
    folder = cache / _fingerprint(config, train)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    torch.manual_seed(config.seed)
    network = PatternClassifier(config.width)
    seconds = _fit(network, train, config, folder / "state.pt")
    network.eval()
    made = TrainedClassifier(network=network, accuracy={})
    accuracy = {
        "train_crops": len(train.labels), "test_crops": len(test.labels),
        "test_clips": len(np.unique(test.clips)), "train_seconds": round(seconds, 1),
        **measure(made, test),
    }  # fmt: skip
    write_file(folder / "accuracy.json", (json.dumps(accuracy, indent=1) + "\n").encode())
    return TrainedClassifier(network=network, accuracy=accuracy)


def measure(classifier: TrainedClassifier, test: CropSet) -> dict[str, Any]:
    """Accuracy by frame, clip and class, and the confused clips."""
    right = classifier.log_probabilities(test.pictures).argmax(axis=1) == test.labels
    pairs = [
        (CLASSES[test.labels[test.clips == clip][0]],
         classifier.clip_class(test.pictures[test.clips == clip]))
        for clip in np.unique(test.clips)
    ]  # fmt: skip
    wrong = sorted(f"{true} taken for {said}" for true, said in pairs if true != said)
    return {
        "by_frame": float(right.mean()),
        "by_clip": 1 - len(wrong) / len(pairs),
        "by_class": {
            name: float(right[test.labels == number].mean())
            for number, name in enumerate(CLASSES)
            if (test.labels == number).any()
        },
        "wrong_clips": wrong,
    }


def _fit(network: PatternClassifier, crops: CropSet, config: ClassifierConfig, path: Path) -> float:
    """Train to the end from the stored state; returns the seconds of all runs."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=1e-2)
    steps = config.epochs * -(-len(crops.labels) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps + 1)
    first, seconds = 0, 0.0
    if path.is_file():
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first, seconds = state["epoch"], state["seconds"]
    for epoch in range(first, config.epochs):
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(1_000_003 * config.seed + epoch)
        order = torch.randperm(len(crops.labels), generator=generator)
        for rows in order.split(config.batch_size):
            inputs, labels = _augmented(crops, rows, generator)
            loss = functional.cross_entropy(network(inputs), labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds += time.perf_counter() - start
        state = {
            "network": network.state_dict(), "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(), "epoch": epoch + 1, "seconds": seconds,
        }  # fmt: skip
        write_file(path, partial(torch.save, state))
    return seconds


def _augmented(
    crops: CropSet, rows: Int[Tensor, " n"], generator: torch.Generator
) -> tuple[Float[Tensor, "n 4 side side"], Int[Tensor, " n"]]:
    """Crops mirrored, blurred and made noisy at random, as results may be."""
    inputs = to_input(crops.pictures[rows.numpy()])
    mirror = torch.rand(len(rows), generator=generator) < 0.5
    inputs[mirror] = inputs[mirror].flip(-1)
    coarse = float(torch.rand((), generator=generator)) * 0.4 + 0.6
    if torch.rand((), generator=generator) < 0.5:
        side = round(SIDE * coarse)
        small = functional.interpolate(inputs[:, :3], size=(side, side), mode="area")
        inputs[:, :3] = functional.interpolate(small, size=(SIDE, SIDE), mode="bilinear")
    noise = torch.randn(inputs[:, :3].shape, generator=generator)
    inputs[:, :3] += 0.15 * torch.rand((), generator=generator) * noise * inputs[:, 3:]
    return inputs, torch.from_numpy(crops.labels[rows.numpy()])


def _fingerprint(config: ClassifierConfig, crops: CropSet) -> str:
    settings = asdict(config)
    for name in ("cache", "workers", "test"):
        settings.pop(name)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(crops.pictures.tobytes())
    add_files(digest, Path(__file__), Path(pattern_crops.__file__))  # network and data
    return digest.hexdigest()[:16]


def main(argv: list[str]) -> None:
    """Train and print the accuracy."""
    trained = train_classifier(load_config(ClassifierConfig, None, argv))
    sys.stdout.write(json.dumps(trained.accuracy, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
