"""Settings of rendering: number, size, length and difficulty of clips."""

from dataclasses import dataclass

from datasets.synthetic.cast import FRAMINGS, ClipSpec, draw_clip, draw_target_garment
from datasets.synthetic.garments import GarmentSpec
from datasets.synthetic.hard_cast import draw_benchmark_clip, draw_benchmark_target
from datasets.synthetic.rejects import REJECTS

DANCERS = ("demo", "benchmark")


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """What to render. Heights and widths are in pixels; ``workers`` 0 uses every core.

    ``num_bad`` adds that many videos that curation must reject or cut, so that its funnel has
    something to show. ``dancers`` is demo (a few easy patterns and cuts) or benchmark, the harder
    set of ``hard_cast.py``.
    """

    out: str = "raw/dancers"
    num_train: int = 60
    num_val: int = 4
    num_bench: int = 8
    num_bad: int = 6
    duration_s: float = 2.5
    fps: float = 12.0
    height: int = 512
    width: int = 384
    seed: int = 0
    workers: int = 0
    dancers: str = "demo"
    bench_duration_s: float | None = None  # of benchmark clips; None: duration_s
    cut_share: float = 0.0  # share of training videos with a cut in the middle to another dancer
    framing: str = "whole"  # or upper: from above the head to the thighs, garments twice as large

    def __post_init__(self) -> None:
        for name in ("num_train", "num_val", "num_bench", "num_bad", "workers", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; 0 or more is accepted")
        if self.num_bad > len(REJECTS):
            raise ValueError(f"num_bad is {self.num_bad}; at most {len(REJECTS)} kinds exist")
        if self.dancers not in DANCERS:
            raise ValueError(
                f"dancers is {self.dancers!r}; one of {', '.join(DANCERS)} is accepted"
            )
        if not 0 <= self.cut_share <= 1:
            raise ValueError(f"cut_share is {self.cut_share}; 0 to 1 is accepted")
        if self.framing not in FRAMINGS:
            raise ValueError(
                f"framing is {self.framing!r}; one of {', '.join(FRAMINGS)} is accepted"
            )
        for name in ("duration_s", "bench_duration_s"):
            value = getattr(self, name)
            if value is not None and not 0.5 <= value <= 600:
                raise ValueError(f"{name} is {value}; 0.5 to 600 is accepted")
        if not 1 <= self.fps <= 60:
            raise ValueError(f"fps is {self.fps}; 1 to 60 is accepted")
        if min(self.height, self.width) < 64 or self.height % 2 or self.width % 2:
            raise ValueError(
                f"height x width is {self.height}x{self.width}; even numbers from 64 are accepted"
            )

    def has_cut(self, split: str, index: int) -> bool:
        """Whether clip ``index`` cuts to another dancer; such clips are spread evenly."""
        share = self.cut_share if split == "train" else 0.0
        return int((index + 1) * share + 1e-9) > int(index * share + 1e-9)

    def num_frames(self, split: str) -> int:
        """Frames of a clip of a split."""
        longer = self.bench_duration_s if split == "bench" else None
        return round((longer or self.duration_s) * self.fps)

    def clip(self, split: str, index: int) -> ClipSpec:
        """The spec of clip ``index`` of a split."""
        draw = draw_benchmark_clip if self.dancers == "benchmark" else draw_clip
        return draw(
            self.seed,
            split,
            index,
            height=self.height,
            width=self.width,
            num_frames=self.num_frames(split),
            fps=self.fps,
            framing=self.framing,
        )

    def target(self, spec: ClipSpec) -> GarmentSpec:
        """The garment to try on the dancer of a clip."""
        benchmark = self.dancers == "benchmark"
        return draw_benchmark_target(spec) if benchmark else draw_target_garment(spec)
