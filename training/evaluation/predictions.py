"""Results that are scored: painted by a checkpoint, kept without loss, or given by anybody."""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import DataError
from datasets.benchmarks.benchmark import BenchmarkItem
from datasets.storage import sweep, write_file
from datasets.tracks import encode_rgb_lossless
from inference.pipeline import TryOnPipeline
from inference.sampling.long_video import LongVideoConfig, plan_windows
from inference.sampling.solvers import SamplerConfig
from models.checkpoints import checkpoint_sha256
from training.checkpoints.files import find_checkpoint
from training.evaluation.results import check_result, find_result, read_result
from training.evaluation.scoring import Result
from training.metrics.seams import borders_of

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

    def __init__(
        self, checkpoint: Path, config: CheckpointConfig, folder: Path, device: str | None = None
    ) -> None:
        """Name the checkpoint and the folder of its results.

        Args:
            checkpoint: a training checkpoint, or a run's folder.
            config: seed and sampler.
            folder: keeps ``<pairing>/<id>.mp4``.
            device: where to paint, in place of ``config.device``; it is no part of the record.

        Raises:
            ConfigError: there is no such checkpoint.
        """
        self.checkpoint, self.config, self.folder = find_checkpoint(checkpoint), config, folder
        self.device = device or config.device
        self._pipeline: TryOnPipeline | None = None

    def start(self) -> dict[str, Any]:
        """Remove what another checkpoint or other settings painted; say what paints now.

        To be called once, before any process paints.
        """
        identity = {"sha256": checkpoint_sha256(self.checkpoint), "painting": asdict(self.config)}
        for folder in self.folder.glob("*/"):
            sweep(folder)
        if self._record() != identity:
            self._forget_others()
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "made_by.json").write_text(json.dumps(identity, indent=1), "utf-8")
        return {"checkpoint": str(self.checkpoint), **identity}

    def paint(self, item: BenchmarkItem, pairing: str) -> Result:
        """The item with its garment put on: read back where it was painted before."""
        path = self.folder / pairing / f"{item.id}.mp4"
        if path.is_file():
            frames = read_result(path)
            if frames.shape == item.video.shape:
                return Result(frames=frames, segment_borders=self._borders(len(frames)))
        frames = self._load().paint(
            item.video,
            item.mask,
            item.densepose,
            item.garment(pairing),
            seed=self.config.seed,
            paste_back=self.config.paste_back,
        )
        write_file(path, encode_rgb_lossless(frames, item.fps))
        return Result(frames=frames, segment_borders=self._borders(len(frames)))

    def _load(self) -> TryOnPipeline:
        if self._pipeline is None:
            self._pipeline = TryOnPipeline.from_checkpoint(
                self.checkpoint,
                device=self.device,
                weights=self.config.weights,
                sampler=self.config.sampler,
                long_video=self.config.long_video,
                precision=self.config.precision,
            )
            window = (
                self.config.long_video.window or self._pipeline.painter.system.config.num_frames
            )
            (self.folder / "window.json").write_text(json.dumps({"frames": window}), "utf-8")
        return self._pipeline

    def _borders(self, num_frames: int) -> list[int] | None:
        """Frames that another window painted than the frame before them."""
        record = self.folder / "window.json"
        if not record.is_file():
            return None
        window = int(json.loads(record.read_text("utf-8"))["frames"])
        return list(borders_of(plan_windows(num_frames, window, self.config.long_video)))

    def _record(self) -> dict[str, Any] | None:
        record = self.folder / "made_by.json"
        return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None

    def _forget_others(self) -> None:
        stale = sorted(self.folder.glob("*/*.mp4"))
        if stale:
            logger.warning(
                "%s holds %d results of another checkpoint or settings; painting them anew",
                self.folder,
                len(stale),
            )
        for path in [*stale, self.folder / "window.json"]:
            path.unlink(missing_ok=True)


class GivenResults:
    """Any method's results in a folder, matched by id."""

    def __init__(self, root: Path, pairings: list[str], segment_frames: int | None = None) -> None:
        """Look which pairings the folder holds.

        Args:
            root: holds ``<pairing>/<id>.mp4``, or flat the first pairing's results.
            pairings: that are scored.
            segment_frames: frames that the method painted at once, where that is known.

        Raises:
            DataError: there is no such folder.
        """
        if not root.is_dir():
            raise DataError(f"pred={root} is no folder")
        self.segment_frames = segment_frames
        nested = {pairing: root / pairing for pairing in pairings if (root / pairing).is_dir()}
        self.folders = nested or {pairings[0]: root}
        if not nested and len(pairings) > 1:
            logger.info(
                "%s is flat: taken as %s results (pairings=[...] says else)", root, pairings[0]
            )

    def check(self, chosen: dict[str, list[str]]) -> None:
        """Every result is there, before any work; DataError names the first that is not."""
        for pairing, folder in self.folders.items():
            for identity in chosen[pairing]:
                find_result(folder, identity)

    def read(self, item: BenchmarkItem, pairing: str) -> Result:
        """The frames that were given for an item.

        Raises:
            DataError: they are not readable, or of another size or number than the item's.
        """
        path = find_result(self.folders[pairing], item.id)
        frames = check_result(read_result(path), item.video, item.id, path)
        step = self.segment_frames
        borders = None if step is None else list(range(step, len(frames), step))
        return Result(frames=frames, segment_borders=borders)
