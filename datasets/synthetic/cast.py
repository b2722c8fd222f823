"""Dancer, clothes, camera and light of a rendered clip, all drawn from its seed."""

from dataclasses import dataclass, replace

import numpy as np

from datasets.synthetic.garments import GarmentSpec, draw_garment
from datasets.synthetic.motion import Body, Liveliness
from datasets.synthetic.render.camera import Camera
from datasets.synthetic.render.face import FaceSpec
from datasets.synthetic.render.limbs import HAIR_STYLES, LOWER_STYLES, Figure
from datasets.synthetic.render.props import Prop
from datasets.synthetic.render.shading import Light

SPLITS = ("train", "val", "bench", "bad")
"""Splits share no identity and no garment: the split is part of every seed."""

FRAMINGS = ("whole", "upper")
"""What the camera shows: mostly the whole dancer, or from above the head to the thighs."""

_SKINS = ("#f3d9c8", "#f0cfb8", "#eac3a6", "#d9ab88", "#c39068", "#a1714e", "#7c5238", "#5e402d")
_FIRST_DARK = 4
_HAIRS = ("#1b1512", "#2f211a", "#4b3022", "#7a4a28", "#a9743c", "#d0a760", "#8c3a22", "#59554f")
_LOWERS = (
    "#2b3a55", "#3d5a80", "#22252b", "#6b6f76", "#b59f7e", "#4d5a3c", "#71414a", "#d8d5cc",
    "#54433a",
)  # fmt: skip
_SHOES = ("#e9e7e2", "#25262a", "#a33a34", "#33507a", "#c9a36a", "#5f6f5a")


@dataclass(frozen=True, kw_only=True)
class Dancer:
    """An identity: body, face, hair and the clothes below the waist. Colours are sRGB."""

    figure: Figure
    face: FaceSpec
    hair: tuple[float, float, float]
    lower: tuple[float, float, float]
    shoe: tuple[float, float, float]
    denim: bool
    belt: tuple[float, float, float] = (0.2, 0.13, 0.08)
    bag: tuple[float, float, float] = (0.45, 0.2, 0.12)


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """A clip to render; the same spec always renders to the same bytes.

    ``seed`` is (run, split, index, part); dance, scenery and grain draw from it. ``energy`` near 0
    makes the dancer stand still; ``shifts_m`` moves each dancer sideways. Only the benchmark sets
    the last three fields (hard_cast.py).
    """

    seed: tuple[int, ...]
    height: int
    width: int
    num_frames: int
    fps: float
    dancers: tuple[Dancer, ...]
    camera: Camera
    light: Light
    pan_m: tuple[float, float]
    zoom: float
    energy: float = 1.0
    shifts_m: tuple[float, ...] = (0.0,)
    liveliness: Liveliness | None = None
    sway_m: float = 0.0  # how far a hand-held camera sways, at the dancer's depth
    props: tuple[Prop, ...] = ()

    def wearing(self, garment: GarmentSpec) -> "ClipSpec":
        """The same clip with the first dancer wearing another upper garment."""
        first = self.dancers[0]
        dressed = replace(first, figure=replace(first.figure, garment=garment))
        return replace(self, dancers=(dressed, *self.dancers[1:]))


def draw_clip(
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
    """Draw clip ``index`` of a split: identity, garment, dance, camera and light."""
    key = (seed, SPLITS.index(split), index)
    rng = np.random.default_rng([*key, 0])
    dancer = draw_dancer(rng)
    return ClipSpec(
        seed=key,
        height=height,
        width=width,
        num_frames=num_frames,
        fps=fps,
        dancers=(dancer,),
        camera=draw_camera(rng, height, width, dancer.figure.body.height, framing=framing),
        light=draw_light(rng),
        pan_m=(float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.03, 0.03))),
        zoom=float(rng.uniform(-0.04, 0.07)),
    )


def draw_target_garment(spec: ClipSpec) -> GarmentSpec:
    """Another garment for the same clip: another pattern or cut, and other colours."""
    rng = np.random.default_rng([*spec.seed, 1])
    worn = spec.dancers[0].figure.garment
    while True:
        garment = draw_garment(rng)
        apart = sum(abs(a - b) for a, b in zip(garment.base, worn.base, strict=True))
        if apart > 0.5 and garment.pattern != worn.pattern:
            return garment


def draw_dancer(rng: np.random.Generator) -> Dancer:
    """Draw an identity and its clothes."""
    slight = rng.random() < 0.55
    tone = int(rng.integers(len(_SKINS)))
    skin = _near(rng, _SKINS[tone], 0.015)
    hair = _near(rng, str(rng.choice(_HAIRS[:3] if tone >= _FIRST_DARK else _HAIRS)), 0.02)
    hair_style = str(rng.choice(HAIR_STYLES[1:] if slight else ("short", "short", "curly")))
    body = Body(
        height=float(rng.uniform(1.60, 1.74) if slight else rng.uniform(1.70, 1.86)),
        shoulder_half=float(rng.uniform(0.152, 0.168) if slight else rng.uniform(0.175, 0.196)),
        hip_half=float(rng.uniform(0.085, 0.098) if slight else rng.uniform(0.080, 0.090)),
        girth=float(rng.uniform(0.84, 1.02) if slight else rng.uniform(0.94, 1.14)),
        waist=float(rng.uniform(0.90, 1.0) if slight else rng.uniform(1.0, 1.10)),
        chest=float(rng.uniform(1.02, 1.14) if slight else rng.uniform(0.98, 1.08)),
        head=float(rng.uniform(0.99, 1.07)),
    )
    lower = str(rng.choice(LOWER_STYLES if slight else LOWER_STYLES[:4]))
    dark = 0.55 if sum(hair) > 1.2 else 0.8
    face = FaceSpec(
        skin=skin,
        iris=_near(rng, str(rng.choice(["#4a2e1b", "#3b5d4a", "#4a6f94", "#2c1d14"])), 0.02),
        brows=(hair[0] * dark, hair[1] * dark, hair[2] * dark),
        lips=_mixed(skin, (0.72, 0.18, 0.22), float(rng.uniform(0.35, 0.7) if slight else 0.25)),
        eye_gap=float(rng.uniform(0.95, 1.06)),
        brow_lift=float(rng.uniform(-0.002, 0.003)),
        smile=float(rng.uniform(0.2, 1.0)),
        beard=0.0 if slight or rng.random() < 0.6 else float(rng.uniform(0.3, 0.75)),
    )
    colour = str(rng.choice(_LOWERS))
    return Dancer(
        figure=Figure(body=body, hair=hair_style, lower=lower, garment=draw_garment(rng)),
        face=face,
        hair=hair,
        lower=_near(rng, colour, 0.03),
        shoe=_near(rng, str(rng.choice(_SHOES)), 0.02),
        denim=colour in _LOWERS[:2] and lower not in {"skirt"},
    )


def draw_camera(
    rng: np.random.Generator,
    height: int,
    width: int,
    stature_m: float,
    room: float = 1.0,
    framing: str = "whole",
) -> Camera:
    """Draw a camera on the whole dancer, mostly with room for raised arms, or the upper body."""
    whole = rng.random() < 0.72
    if framing == "upper":
        filled = rng.uniform(1.50, 1.66)  # height of the whole dancer over that of the picture
        feet = filled + 0.10
    else:
        filled = rng.uniform(0.70, 0.78) if whole else rng.uniform(0.88, 1.02)
        feet = 0.93 if whole else filled + 0.19
    scale = filled * height / stature_m / room
    eye = float(rng.uniform(1.0, 1.25))
    return Camera(
        pixels_per_m=float(scale),
        center=(feet * height - eye * scale, 0.5 * width),
        eye_height_m=eye,
        distance_m=float(rng.uniform(4.2, 6.0)),
    )


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a key light from one side, warm or cold."""
    warm = rng.uniform(-0.05, 0.06)
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.25, 0.6)
    return Light(
        direction=(float(side), float(rng.uniform(0.45, 0.75)), float(rng.uniform(0.55, 0.8))),
        key=(0.86 + warm, 0.83, 0.78 - warm),
        rim=float(rng.uniform(0.12, 0.3)),
    )


def _near(rng: np.random.Generator, colour: str, spread: float) -> tuple[float, float, float]:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    values = np.clip(np.array(values) + rng.normal(0, spread, 3), 0.02, 0.98)
    return float(values[0]), float(values[1]), float(values[2])


def _mixed(
    first: tuple[float, float, float], second: tuple[float, float, float], share: float
) -> tuple[float, float, float]:
    mixed = [a + (b - a) * share for a, b in zip(first, second, strict=True)]
    return mixed[0], mixed[1], mixed[2]
