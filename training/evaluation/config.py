"""The settings of an evaluation."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from configs.checks import check_range
from configs.loading import load_config, split_arguments
from datasets.benchmarks.benchmark import PAIRINGS, not_prepared
from datasets.shards import list_shards
from training.checkpoints.files import find_checkpoint
from training.evaluation.predictions import CheckpointConfig
from training.metrics.protocols import get_protocol

USAGE = 'make eval BENCH=vvt [PRED=DIR] [ARGS="checkpoint=F name=N ..."]'


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is scored, on which benchmark, and how."""

    bench: str = MISSING
    root: str = MISSING  # the prepared benchmark: holds shards/bench-*.tar
    subset: str | None = None  # only videos with this name in their path: dresses, video_1, ...
    name: str = "run"  # names the output folder and the row of the table
    checkpoint: str | None = None  # a training checkpoint, or a run's folder
    pred: str | None = None  # or: a folder with any method's results; takes precedence
    segment_frames: int | None = None  # of pred: frames generated at once, for the seam metric
    painting: CheckpointConfig = field(default_factory=CheckpointConfig)
    protocol: str = "fixed"
    pairings: list[str] = field(default_factory=lambda: list(PAIRINGS))
    baselines: bool = True  # three trivial methods as rows of every table
    height: int | None = None  # resolution of results and metrics; None: as stored
    width: int | None = None
    max_items: int | None = None  # only the first N; None: all
    workers: int = 0  # scoring processes; 0: this one, or one per device
    devices: list[str] = field(default_factory=list)  # cuda:0, cuda:1, ...; empty: GPU or CPU
    shown_videos: int = 3  # number of best and of worst cases in the report
    out: str = "runs/eval"

    def __post_init__(self) -> None:
        get_protocol(self.protocol)
        for pairing in self.pairings:
            if pairing not in PAIRINGS:
                raise ValueError(f"pairings: {pairing!r}; accepted: {', '.join(PAIRINGS)}")
        if not self.pairings:
            raise ValueError(f"pairings is empty; accepted: {', '.join(PAIRINGS)}")
        if (self.height is None) != (self.width is None):
            raise ValueError("set both height and width, or neither")
        for key in ("height", "width"):
            side = getattr(self, key)
            if side is not None and (side < 64 or side % 2):
                raise ValueError(f"{key} is {side}; accepted: an even number of at least 64")
        check_range(self, "max_items", "segment_frames", least=1)
        check_range(self, "workers", "shown_videos", least=0)

    @property
    def folder(self) -> Path:
        """Where the output goes."""
        parts = (self.bench, self.subset, self.name)
        return Path(self.out) / "-".join(part for part in parts if part is not None)

    @property
    def cache(self) -> Path:
        """The folder of cached numbers and features, shared by all evaluations in ``out``."""
        return Path(self.out) / "cache"

    @property
    def num_processes(self) -> int:
        """Number of worker processes; 0: this process scores."""
        return max(self.workers, len(self.devices) if len(self.devices) > 1 else 0)


def read_arguments(argv: list[str]) -> EvaluationConfig:
    """The settings of ``CONFIG.yaml key=value ...``, if what they name is there.

    Raises:
        ConfigError: a file, key or value is refused.
        DataError: the benchmark is not there, or not prepared; of a published one, where to get it.
    """
    path, overrides = split_arguments(argv, USAGE)
    config = load_config(EvaluationConfig, path, overrides)
    if not list_shards(config.root, "bench"):
        raise not_prepared(Path(config.root), config.bench)
    if config.pred is None and config.checkpoint is not None:
        find_checkpoint(Path(config.checkpoint))
    return config
