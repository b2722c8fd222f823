"""The settings of ``make tryon``: a YAML file and ``key=value`` arguments; paths are verbatim."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from configs.errors import ConfigError
from configs.loading import load_config, split_optional
from curation.perception.config import PerceptionConfig
from datasets.labels import CATEGORIES
from datasets.masks import check_margin
from inference.conditions.garment import KINDS
from inference.conditions.given import FORMATS, GivenConditions
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.painter import PRECISIONS, WEIGHTS
from inference.sampling.sampler_choice import SamplerChoice
from inference.video.source import VideoLimits

USAGE = "make tryon VIDEO=v.mp4 GARMENT=g.png OUT=o.mp4, or make tryon JOBS=jobs.csv OUT=folder"
DEFAULT_CONFIG = Path("configs/tryon.yaml")
_PATHS = ("video", "garment", "out", "jobs", "preview", "checkpoint", "lora", "mask",
          "densepose")  # fmt: skip
CHOICES = {
    "category": CATEGORIES, "garment_kind": KINDS, "weights": WEIGHTS, "precision": PRECISIONS,
    "densepose_format": FORMATS,
}  # fmt: skip
"""Settings that are one of a few words."""


@dataclass(frozen=True, kw_only=True)
class AgnosticChoice:
    """How far around the garment is painted; the same key as in configs/curate.yaml."""

    margin: str | None = None  # tight or wide; None: tight for upper, wide for lower and overall

    def __post_init__(self) -> None:
        check_margin(self.margin)


@dataclass(frozen=True, kw_only=True)
class TryOnConfig:
    """One job, or the common settings of a list's jobs.

    Attributes:
        jobs: a CSV with one job per line, instead of video and garment; see ``jobs.py``.
        video: file with a person.
        garment: image file, or video.mp4@3.2: what is worn 3.2 s into a video.
        garment_kind: auto, product (the garment alone) or worn (by somebody).
        out: the MP4 to write; for a list, the folder.
        preview: a picture to write instead of painting: people by number, mask, DensePose.
        checkpoint: of stage 3, its run folder, or an exported model; None: the newest
            ``runs/*stage3*``, or else the model that ships.
        lora: an adapter trained on that checkpoint, to be added to it: a run's folder, or one made
            by ``export`` with ``lora=adapter``; None: none.
        runs: folder of the runs.
        weights: ema or raw.
        category: what the garment replaces: upper, lower or overall.
        agnostic: how far around it is painted.
        person: number of the person who gets the garment; None or 1: the main person.
        mask: a video, bright = to be painted, instead of perception; with densepose.
        densepose: a video, likewise.
        densepose_format: rendered or iuv; see ``GivenConditions``.
        seed: a different seed gives a different result.
        paste_back: keep the source's own pixels outside the mask.
        label: text drawn into every frame; empty: none.
        max_seconds: longer videos are rejected; None: none.
        max_unseen: largest share of frames, 0 to 1, in which the person may not be found.
        device: auto, cpu, cuda, ...
        precision: auto, float32 or bfloat16.
        compile: compile the blocks at first use: pays for long videos on a GPU.
        perception: the models that look at people; see ``PerceptionConfig``.
        sampler: solver, steps, guidance, where they differ from the checkpoint's.
        long_video: windows of videos longer than the network's window.
    """

    jobs: str = ""
    video: str = ""
    garment: str = ""
    garment_kind: str = "auto"
    out: str = ""
    preview: str = ""
    checkpoint: str | None = None
    lora: str | None = None
    runs: str = "runs"
    weights: str = "ema"
    category: str = "upper"
    agnostic: AgnosticChoice = field(default_factory=AgnosticChoice)
    person: int | None = None
    mask: str | None = None
    densepose: str | None = None
    densepose_format: str = "rendered"
    seed: int = 0
    paste_back: bool = True
    label: str = ""
    max_seconds: float | None = None
    max_unseen: float = 0.5
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    sampler: SamplerChoice = field(default_factory=SamplerChoice)
    long_video: LongVideoConfig = field(default_factory=LongVideoConfig)

    def __post_init__(self) -> None:
        for name, accepted in CHOICES.items():
            check_choice(name, getattr(self, name), accepted)
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; 0 or more is expected")
        if not 0 <= self.max_unseen <= 1:
            raise ValueError(f"max_unseen is {self.max_unseen}; 0 to 1 is expected")
        if (self.mask is None) != (self.densepose is None):
            raise ConfigError("mask and densepose: give both or neither")
        if self.mask is not None and self.agnostic.margin is not None:
            raise ConfigError(
                f"agnostic.margin={self.agnostic.margin} is for masks that are made here, and mask "
                f"is {self.mask}; leave out one of them"
            )

    @property
    def limits(self) -> VideoLimits:
        """Which videos are rejected."""
        return VideoLimits(max_seconds=self.max_seconds, max_unseen_share=self.max_unseen)

    @property
    def given(self) -> GivenConditions | None:
        """Conditions as files; None: perception makes them."""
        if self.mask is None or self.densepose is None:
            return None
        return GivenConditions(
            mask=Path(self.mask),
            densepose=Path(self.densepose),
            densepose_format=self.densepose_format,
        )


def check_choice(name: str, value: str, accepted: Sequence[str], where: str = "") -> None:
    """Reject a word that a setting does not accept.

    Args:
        name: of the setting.
        value: what was given.
        accepted: see ``CHOICES``.
        where: it was given, to begin the sentence with.

    Raises:
        ConfigError: it is none of them.
    """
    if value not in accepted:
        raise ConfigError(f"{where}{name}={value!r}; one of {', '.join(accepted)} is expected")


def read_job(argv: list[str]) -> TryOnConfig:
    """Settings from an optional YAML file and ``key=value`` arguments; paths are taken verbatim.

    Raises:
        ConfigError: an argument that is neither, or a setting that does not exist.
    """
    path, words = split_optional(argv, USAGE, DEFAULT_CONFIG)
    overrides: list[str] = []
    paths: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key in _PATHS:
            paths[key] = value  # a file's name is not YAML: it may contain ": " or "#"
        else:
            overrides.append(word)
    return replace(load_config(TryOnConfig, path, overrides), **paths)
