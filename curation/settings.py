"""Every setting of ``python -m curation.run``; sections are defined next to what they configure."""

from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any

from configs.checks import check_choices, check_range
from configs.errors import ConfigError
from curation.first_pass.first_pass import FirstPassConfig
from curation.perception.config import PerceptionConfig
from curation.perception.protocols import Perception
from curation.perception.torchvision_people import NAME as TORCHVISION
from curation.selection.candidates import SelectionConfig
from curation.selection.probe import ProbeConfig
from curation.shards.duplicates import DuplicatesConfig
from curation.shards.shards import ShardsConfig
from curation.shards.takes import TakesConfig
from curation.stages.agnostic import AgnosticConfig
from curation.stages.check_labels import LabelsConfig
from curation.stages.colours import HeldOutConfig
from curation.stages.densepose import DensePoseConfig
from curation.stages.garments import GarmentConfig
from curation.stages.parsing import ParsingConfig
from curation.video.canonical import CanonicalConfig
from curation.video.sources import SourcesConfig
from curation.workers.executor import LimitsConfig
from curation.workers.parts import parse_part
from curation.workers.ray_executor import RayConfig

EXECUTORS = ("local", "ray")
NO_STAGES = (
    "perception", "weights", "limits", "ray", "sources", "probe", "first_pass", "selection",
    "canonical", "duplicates", "takes", "held_out", "shards",
)  # fmt: skip
"""Sections of the settings that are no stage's; all others are."""


@dataclass(frozen=True, kw_only=True)
class CurateConfig:
    """One run: where from, where to, which models, which thresholds."""

    src: str | None = None
    out: str = "data/dance"
    cache: str = ".cache/sources"  # where videos of an src that is a URL are kept
    send: str | None = None  # URL or folder that finished shards are sent to
    bench: str | None = None  # a number: clips to hold out; vvt, vivid_s, eevee: prepare that
    bench_root: str | None = None  # its folder; null: root of configs/eval/<bench>.yaml
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    weights: PerceptionConfig | None = None  # the name of perception's keys before; taken over
    executor: str = "local"  # processes on this machine; or "ray"
    workers: int = 0  # 0: one a core (of the cluster)
    job_part: str | None = None  # I/N: process only this part of the sources, and pack nothing
    shard: str | None = None  # the name of job_part before; rejected
    strict: bool = False  # exit with 1 when anything was rejected
    dry_run: bool = False  # say what would be done, and write nothing
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    first_pass: FirstPassConfig = field(default_factory=FirstPassConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    canonical: CanonicalConfig = field(default_factory=CanonicalConfig)
    densepose: DensePoseConfig = field(default_factory=DensePoseConfig)
    parsing: ParsingConfig = field(default_factory=ParsingConfig)
    agnostic: AgnosticConfig = field(default_factory=AgnosticConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    garments: GarmentConfig = field(default_factory=GarmentConfig)
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    takes: TakesConfig = field(default_factory=TakesConfig)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)

    def __post_init__(self) -> None:
        if self.weights is not None:
            taken = replace(self.weights, kind=self.perception.kind)
            if self.perception not in (taken, PerceptionConfig(kind=self.perception.kind)):
                raise ConfigError("weights.* is now called perception.*; give only the latter")
            object.__setattr__(self, "perception", taken)
            object.__setattr__(self, "weights", None)
        if self.agnostic.category != self.garments.category:
            raise ConfigError(
                f"agnostic.category is {self.agnostic.category!r} and garments.category "
                f"{self.garments.category!r}; the garment that is masked is the one that is kept"
            )
        check_choices(self, executor=EXECUTORS)
        check_range(self, "workers", least=0)
        if self.shard is not None:
            raise ConfigError(f"shard={self.shard} is now called job_part={self.shard}")
        if self.job_part is not None:
            parse_part(self.job_part)
            if self.benchmark is not None:
                raise ConfigError("job_part=I/N and bench= are both given; a benchmark is one run")
        if "://" in self.out:
            raise ConfigError(f"out is {self.out}; give a local folder, and send={self.out}")
        if self.dry_run and "://" in (self.src or ""):
            raise ConfigError(f"dry_run=true needs local videos, and src is {self.src}")
        if self.dry_run and (self.benchmark is not None or self.sources.layout != "videos"):
            raise ConfigError(
                "dry_run=true is for videos; this run makes "
                f"{self.benchmark or self.sources.layout}"
            )

    @property
    def num_held_out(self) -> int:
        """How many clips are to be held out for `make eval`."""
        return int(self.bench) if self.bench is not None and self.bench.isdecimal() else 0

    @property
    def benchmark(self) -> str | None:
        """The published benchmark that is prepared in place of videos."""
        return None if self.num_held_out else self.bench

    def time_limit_s(self, duration_s: float, perception: Perception) -> float:
        """Seconds a source of this length may take with these models."""
        is_heavy = not perception.densepose.info.is_approximate
        is_heavy |= perception.detector.info.name == TORCHVISION
        is_slow = is_heavy and self.perception.device == "cpu"
        limits = self.limits
        per_second = limits.per_second_densepose_cpu_s if is_slow else limits.per_second_s
        return limits.base_s + per_second * duration_s

    def stage_settings(self) -> dict[str, Any]:
        """What the stages on the canonical clip depend on."""
        sections: dict[str, Any] = {
            name: value for name, value in vars(self).items() if is_dataclass(value)
        }
        return {name: asdict(s) for name, s in sections.items() if name not in NO_STAGES}

    def deciding(self) -> dict[str, Any]:
        """All settings that decide what becomes of a source."""
        return {
            "probe": asdict(self.probe),
            "first_pass": asdict(self.first_pass),
            "selection": asdict(self.selection),
            "canonical": asdict(self.canonical),
            "stages": self.stage_settings(),
        }
