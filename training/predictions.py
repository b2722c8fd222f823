"""Results of a checkpoint on a benchmark, painted once and kept without loss."""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from configs.errors import ConfigError
from datasets.benchmarks import BenchmarkItem
from datasets.tracks import encode_rgb_lossless
from inference.long_video import LongVideoConfig
from inference.pipeline import TryOnPipeline
from inference.solvers import SamplerConfig
from training.metrics.results import read_result

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """How a checkpoint paints."""

    seed: int = 0
    weights: str = "ema"  # their running average, or raw
    device: str = "auto"
    precision: str = "auto"
    paste_back: bool = False  # outside the mask keep the source: raises whole-frame numbers
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    long_video: LongVideoConfig = field(default_factory=LongVideoConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; 0 or more is accepted")
        if self.weights not in ("ema", "raw"):
            raise ValueError(f"weights is {self.weights!r}; ema or raw is accepted")


class CheckpointResults:
    """Paints benchmark items with a checkpoint; the network is loaded when first needed."""

    def __init__(self, checkpoint: Path, config: CheckpointConfig, folder: Path) -> None:
        """Look at what was painted before.

        Args:
            checkpoint: a training checkpoint.
            config: seed and sampler.
            folder: keeps ``<pairing>/<id>.mp4``; results of another checkpoint or of other settings
                are painted anew.

        Raises:
            ConfigError: there is no such checkpoint.
        """
        if not checkpoint.is_file():
            raise ConfigError(
                f"checkpoint {checkpoint} does not exist; train it, or give checkpoint=FILE or "
                "pred=FOLDER"
            )
        self.checkpoint, self.config, self.folder = checkpoint, config, folder
        with checkpoint.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.made_by: dict[str, Any] = {
            "checkpoint": str(checkpoint),
            "sha256": digest,
            "painting": asdict(config),
        }
        self._pipeline: TryOnPipeline | None = None
        self._forget_others()

    def paint(self, item: BenchmarkItem, pairing: str) -> UInt8[np.ndarray, "t h w 3"]:
        """The item with its garment put on: read back where it was painted before."""
        path = self.folder / pairing / f"{item.id}.mp4"
        if path.is_file():
            frames = read_result(path)
            if frames.shape == item.video.shape:
                return frames
        frames = self._load().paint(
            item.video,
            item.mask,
            item.densepose,
            item.garment(pairing),
            seed=self.config.seed,
            paste_back=self.config.paste_back,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_bytes(encode_rgb_lossless(frames, item.fps))
        partial.replace(path)
        return frames

    def _load(self) -> TryOnPipeline:
        if self._pipeline is None:
            self._pipeline = TryOnPipeline.from_checkpoint(
                self.checkpoint,
                device=self.config.device,
                weights=self.config.weights,
                sampler=self.config.sampler,
                long_video=self.config.long_video,
                precision=self.config.precision,
            )
        return self._pipeline

    def _forget_others(self) -> None:
        """Remove predictions that another checkpoint or other settings made."""
        record = self.folder / "made_by.json"
        identity = {key: self.made_by[key] for key in ("sha256", "painting")}
        if record.is_file() and json.loads(record.read_text(encoding="utf-8")) == identity:
            return
        stale = sorted(self.folder.glob("*/*.mp4"))
        if stale:
            logger.warning(
                "%s holds %d results of another checkpoint or settings; painting them anew",
                self.folder,
                len(stale),
            )
        for path in stale:
            path.unlink()
        self.folder.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(identity, indent=1), encoding="utf-8")
