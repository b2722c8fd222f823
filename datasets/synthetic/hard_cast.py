"""A harder set of dancers for training and evaluation, with what try-on finds difficult.

Compared with the demo's dancers (cast.py): arms that cross the chest, whole turns, props that pass
in front, a hand-held camera, fine patterns in five equally frequent classes, four sleeve lengths,
and hems from the waist to below the hips. Train, validation and test share no identity, no garment
and no dance: the split is part of every seed.
"""

from dataclasses import replace

import numpy as np

from datasets.synthetic.cast import (
    SPLITS,
    ClipSpec,
    draw_camera,
    draw_dancer,
    draw_light,
)
from datasets.synthetic.garments import SLEEVES, GarmentSpec, draw_garment
from datasets.synthetic.motion import Liveliness
from datasets.synthetic.render.props import PROP_KINDS, Prop

CLASSES = ("plain", "stripes", "checks", "dots", "print")
_PATTERNS = {
    "plain": ("plain",), "stripes": ("stripes_across", "stripes_down"), "checks": ("checks",),
    "dots": ("dots",), "print": ("figure",),
}  # fmt: skip
_LEAST_CONTRAST = 0.45  # sum over the channels, between a pattern's base and its accent


def draw_benchmark_clip(
    seed: int,
    split: str,
    index: int,
    *,
    height: int,
    width: int,
    num_frames: int,
    fps: float,
    framing: str = "whole",
) -> ClipSpec:
    """Draw clip ``index`` of a split; arguments as for ``cast.draw_clip``."""
    key = (seed, SPLITS.index(split), index, 1)
    rng = np.random.default_rng([*key, 0])
    dancer = draw_dancer(rng)
    garment = draw_benchmark_garment(rng)
    dancer = replace(dancer, figure=replace(dancer.figure, garment=garment))
    camera = draw_camera(rng, height, width, dancer.figure.body.height, framing=framing)
    return ClipSpec(
        seed=key,
        height=height,
        width=width,
        num_frames=num_frames,
        fps=fps,
        dancers=(dancer,),
        camera=camera,
        light=draw_light(rng),
        pan_m=(float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.03, 0.03))),
        zoom=float(rng.uniform(-0.05, 0.08)),
        energy=float(rng.uniform(0.7, 1.1)),
        liveliness=Liveliness(
            crossing=float(rng.uniform(0.1, 0.45)), turning=float(rng.choice([0.0, 0.15, 0.3]))
        ),
        sway_m=float(rng.choice([0.0, rng.uniform(0.01, 0.035)])),
        props=_draw_props(rng, num_frames / fps),
    )


def draw_benchmark_garment(rng: np.random.Generator, but: GarmentSpec | None = None) -> GarmentSpec:
    """Draw a garment with class, sleeve length and hem drawn uniformly.

    Args:
        rng: the source of the draws.
        but: a garment whose class and colours are excluded.
    """
    while True:
        drawn = draw_garment(rng)
        label = str(rng.choice([c for c in CLASSES if but is None or c != but.pattern_class]))
        garment = replace(
            drawn,
            pattern=str(rng.choice(_PATTERNS[label])),
            period_m=float(np.exp(rng.uniform(np.log(0.04), np.log(0.11)))),
            sleeves=str(rng.choice(list(SLEEVES))),
            length_m=float(rng.uniform(0.46, 0.72)),
        )
        if _apart(garment.base, garment.accent) < _LEAST_CONTRAST:
            continue
        if but is None or _apart(garment.base, but.base) > 0.5:
            return garment


def draw_benchmark_target(spec: ClipSpec) -> GarmentSpec:
    """The garment to try on the first dancer: of another class and other colours."""
    rng = np.random.default_rng([*spec.seed, 1])
    return draw_benchmark_garment(rng, but=spec.dancers[0].figure.garment)


def _draw_props(rng: np.random.Generator, duration_s: float) -> tuple[Prop, ...]:
    """About one prop per five seconds, in two of three clips; each passes in 1 to 3 seconds."""
    if rng.random() < 1 / 3:
        return ()
    count = max(1, round(duration_s / 5))
    return tuple(_draw_prop(rng, duration_s, number, count) for number in range(count))


def _draw_prop(rng: np.random.Generator, duration_s: float, number: int, count: int) -> Prop:
    kind = str(rng.choice(PROP_KINDS))
    side = float(rng.choice([-1.0, 1.0]))
    y = float(rng.uniform(0.95, 1.35))
    size = {
        "pole": (4.0, rng.uniform(0.05, 0.12)),
        "board": (rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.45)),
        "balloon": (rng.uniform(0.24, 0.36), rng.uniform(0.2, 0.3)),
        "plant": (rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.5)),
    }[kind]
    length = min(rng.uniform(1.0, 3.0) / duration_s, 1.0)
    begin = (number + rng.uniform(0.0, 1.0)) / count * (1 - length)
    return Prop(
        kind=kind,
        colour=tuple(rng.uniform(0.15, 0.9, 3)),
        size_m=(float(size[0]), float(size[1])),
        start=(side * 1.1, y if kind != "pole" else 1.2),
        end=(-side * 1.1, y + float(rng.uniform(-0.2, 0.2)) if kind != "pole" else 1.2),
        during=(float(begin), float(begin + length)),
        seed=int(rng.integers(2**31)),
    )


def _apart(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))
