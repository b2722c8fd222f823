"""Data settings: which clips, how windows are drawn, how many bad clips stop the run."""

from dataclasses import dataclass, field

from configs.checks import check_choices, check_range
from datasets.loading.swapping import SwapConfig

LATENT_DTYPES = ("float16", "float32")
SIDE_MULTIPLE = 8
"""Pixels per latent; a network's patches may need a larger multiple."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the clips are and how windows are drawn from them."""

    roots: list[str] = field(default_factory=lambda: ["data/dance"])  # curated folders
    weights: list[float] = field(default_factory=list)  # per root; empty: all clips equally often
    num_frames: int = 16  # 1: single frames (stages 1 and 2)
    strides: list[int] = field(default_factory=lambda: [1])
    batch_size: int = 1  # windows (or images_per_window frames) per device and micro-batch
    image_share: float = 0.0  # share of steps with single frames, if num_frames is above 1
    images_per_window: int = 1  # single frames of one clip that replace one window
    buckets: list[list[int]] = field(default_factory=list)  # [height, width]; empty: system's
    flip: float = 0.0  # share of windows that are mirrored, prints on garments included
    recolour: float = 0.0  # share of windows whose garment gets another colour (recolour.py)
    swapping: SwapConfig = field(default_factory=SwapConfig)
    latents: str | None = None  # auto or a folder: cache of `make latents`; null: encode each step
    latent_dtype: str = "float16"  # of that cache, or float32
    num_workers: int = 2
    cache_mb: int = 0  # decoded clips kept in memory up to this size (small data sets)
    read_timeout_s: float = 60.0  # a clip that takes longer counts as bad; 0: no limit
    max_bad_share: float = 0.05  # share of clips that may be unreadable before the run stops
    max_bad_in_a_row: int = 200
    num_validation_clips: int = 4  # 0: val shards are not needed

    def __post_init__(self) -> None:
        counts = ("num_frames", "batch_size", "images_per_window", "max_bad_in_a_row")
        check_range(self, *counts, least=1)
        limits = ("num_workers", "cache_mb", "read_timeout_s", "num_validation_clips")
        check_range(self, *limits, least=0)
        check_range(self, "recolour", "flip", "image_share", "max_bad_share", least=0, most=1)
        check_choices(self, latent_dtype=LATENT_DTYPES)
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"strides = {list(self.strides)} must be one or more numbers >= 1")
        if self.num_frames == 1 and self.image_share:
            raise ValueError(
                f"image_share = {self.image_share:g} has no effect: with num_frames = 1 all steps"
                " use single frames"
            )
        self._check_sources()
        self._check_latents()

    def _check_sources(self) -> None:
        if not self.roots:
            raise ValueError("roots is empty; name at least one curated folder")
        if self.weights and len(self.weights) != len(self.roots):
            raise ValueError(
                f"weights has {len(self.weights)} numbers for {len(self.roots)} roots; one each"
            )
        if self.weights and (min(self.weights) < 0 or not sum(self.weights)):
            raise ValueError(f"weights = {list(self.weights)} must not be negative, nor all 0")
        for bucket in self.buckets:
            if len(bucket) != 2 or any(side < 1 or side % SIDE_MULTIPLE for side in bucket):
                raise ValueError(
                    f"bucket {list(bucket)} is not [height, width] in multiples of {SIDE_MULTIPLE}"
                )

    def _check_latents(self) -> None:
        for name in ("recolour", "flip"):
            if self.latents is not None and getattr(self, name):
                raise ValueError(
                    f"{name} = {getattr(self, name):g} changes pixels, but latents = {self.latents}"
                    f" has none: set {name}=0, or latents=null"
                )

    @property
    def needed_frames(self) -> int:
        """Frames that a clip needs for a window at the smallest stride."""
        return (self.num_frames - 1) * min(self.strides) + 1

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """The buckets as (height, width); the system's own size if there are none."""
        return [(int(h), int(w)) for h, w in self.buckets] or [(height, width)]
