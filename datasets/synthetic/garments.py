"""Upper garments of the rendered dancers: their specs, and their painted cloth.

Cloth is painted once, in metres of its own surface (around the body, down from the collar), and
sampled by the renderer, so that a pattern moves with the body.
"""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

PATTERNS = (
    "plain", "stripes_across", "stripes_down", "checks", "dots", "figure", "halves",
)  # fmt: skip
MORE_PATTERNS = ("yoke", "panels")
"""Drawn by tests/bench/labels_cast.py alone: other shoulders and sleeves; other sides."""
PATTERN_CLASSES = {
    "plain": "plain", "stripes_across": "stripes", "stripes_down": "stripes", "checks": "checks",
    "dots": "dots", "figure": "print", "halves": "halves",
    "yoke": "halves", "panels": "halves",
}  # fmt: skip
"""Pattern -> the common name of its class."""
NECKLINES = ("crew", "v", "scoop")
SLEEVES = {"none": 0.0, "short": 0.225, "elbow": 0.335, "long": 0.575}
"""Where each sleeve ends, in metres along the arm's cloth."""
FIGURES = ("star", "heart", "bolt", "sun", "diamond", "rings")
TORSO_RADIUS_M = 0.142
SLEEVE_RADIUS_M = 0.056
TORSO_LENGTH_M = 0.74
SLEEVE_LENGTH_M = 0.66
PIXELS_PER_M = 620

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class GarmentSpec:
    """An upper garment. Colours are sRGB in [0, 1], lengths metres on the cloth."""

    pattern: str
    base: Colour
    accent: Colour
    third: Colour
    period_m: float
    figure: str
    sleeves: str  # of SLEEVES
    neckline: str
    fit: float
    length_m: float
    trim: bool

    @property
    def pattern_class(self) -> str:
        """One of the values of PATTERN_CLASSES."""
        return PATTERN_CLASSES[self.pattern]

    def to_plain(self) -> dict[str, Any]:
        """The spec as JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Cloth:
    """Painted cloth: ``torso`` and ``sleeve`` (rows, columns, 3) in [0, 1], sRGB.

    ``covers`` (rows, columns) is False where the neckline exposes the torso.
    """

    torso: np.ndarray
    covers: np.ndarray
    sleeve: np.ndarray


def draw_garment(rng: np.random.Generator) -> GarmentSpec:
    """Draw a garment; every combination of pattern, colours and cut is possible."""
    base, accent, third = _palette(rng)
    pattern = str(rng.choice(PATTERNS, p=[0.16, 0.18, 0.12, 0.15, 0.13, 0.18, 0.08]))
    return GarmentSpec(
        pattern=pattern,
        base=base,
        accent=accent,
        third=third,
        period_m=float(rng.uniform(0.055, 0.11)),
        figure=str(rng.choice(FIGURES)),
        sleeves="long" if rng.random() < 0.45 else "short",
        neckline=str(rng.choice(NECKLINES, p=[0.6, 0.2, 0.2])),
        fit=float(rng.uniform(0.0, 1.0)),
        length_m=float(rng.uniform(0.60, 0.66)),
        trim=bool(rng.random() < 0.35),
    )


def paint_cloth(spec: GarmentSpec) -> Cloth:
    """Cut the garment's cloth: pattern, collar band and seams."""
    torso_x, torso_y = _metres(2 * np.pi * TORSO_RADIUS_M, TORSO_LENGTH_M)
    sleeve_x, sleeve_y = _metres(2 * np.pi * SLEEVE_RADIUS_M, SLEEVE_LENGTH_M)
    torso = _pattern(spec, torso_x, torso_y, sleeve=False)
    sleeve = _pattern(spec, sleeve_x, sleeve_y, sleeve=True)
    if spec.pattern == "figure":
        _print_figure(torso, spec)
    below = torso_y - _opening(spec.neckline, torso_x / TORSO_RADIUS_M)
    band = np.asarray(spec.accent if spec.trim else _darker(spec.base, 0.82), np.float32)
    torso[(below >= 0) & (below < 0.017)] = band
    torso[(below >= 0.017) & (below < 0.0195)] *= 0.8
    torso[np.abs(torso_y - (spec.length_m - 0.022)) < 0.0014] *= 0.82
    end = SLEEVES[spec.sleeves]
    if spec.trim:
        sleeve[(sleeve_y > end - 0.03) & (sleeve_y < end + 0.03)] = band
    return Cloth(
        torso=_shrink(torso),
        covers=_shrink((below >= 0).astype(np.float32)) > 0.5,
        sleeve=_shrink(sleeve),
    )


def _metres(width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of a cloth's cells at twice its final resolution; x = 0 at the front."""
    columns, rows = int(width * PIXELS_PER_M) * 2, int(height * PIXELS_PER_M) * 2
    x = ((np.arange(columns) + 0.5) / columns - 0.5) * width
    y = (np.arange(rows) + 0.5) / rows * height
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return grid_x, grid_y


def _shrink(image: np.ndarray) -> np.ndarray:
    rows, columns = image.shape[:2]
    return cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)


def _opening(neckline: str, angle: np.ndarray) -> np.ndarray:
    """Distance from the collar down to the cloth, in metres, at an angle around the neck."""
    front = np.maximum(np.cos(angle), 0.0)
    back = np.maximum(-np.cos(angle), 0.0)
    if neckline == "v":
        return 0.012 + 0.135 * np.maximum(1.0 - np.abs(angle) / 0.75, 0.0) + 0.008 * front
    if neckline == "scoop":
        return 0.014 + 0.088 * front**1.4 + 0.012 * back
    return 0.012 + 0.050 * front**2 + 0.006 * back


def _pattern(spec: GarmentSpec, x: np.ndarray, y: np.ndarray, sleeve: bool) -> np.ndarray:
    base, accent, third = (np.asarray(c, np.float32) for c in (spec.base, spec.accent, spec.third))
    image = np.broadcast_to(base, (*x.shape, 3)).copy()
    period = spec.period_m
    if spec.pattern == "stripes_across":
        image[(y / period) % 1.0 < 0.45] = accent
    elif spec.pattern == "stripes_down":
        around = 2 * np.pi * (SLEEVE_RADIUS_M if sleeve else TORSO_RADIUS_M)
        count = max(round(around / period), 2)
        image[(x / around * count + 0.25) % 1.0 < 0.5] = accent
    elif spec.pattern == "checks":
        across, down = (x / period + 0.25) % 1.0 < 0.5, (y / period) % 1.0 < 0.5
        image[across ^ down] = 0.5 * (base + accent)
        image[across & down] = accent
    elif spec.pattern == "dots":
        row = np.floor(y / (period * 0.8))
        dx = (x / period + 0.5 * (row % 2)) % 1.0 - 0.5
        dy = (y / (period * 0.8)) % 1.0 - 0.5
        image[dx**2 + (0.8 * dy) ** 2 < 0.26**2] = accent
    elif spec.pattern == "halves":
        if sleeve:
            image[:] = accent
        else:
            image[y > 0.34] = third
            image[(y > 0.30) & (y <= 0.34)] = accent
    elif spec.pattern == "yoke":
        image[y < (1.0 if sleeve else 0.17)] = accent
    elif spec.pattern == "panels" and not sleeve:
        image[np.abs(np.abs(x / TORSO_RADIUS_M) - np.pi / 2) < 0.75] = accent
    return image


def _print_figure(torso: np.ndarray, spec: GarmentSpec) -> None:
    """Print the spec's figure on the chest."""
    columns = torso.shape[1]
    unit = columns / (2 * np.pi * TORSO_RADIUS_M)  # cells per metre
    middle, size = (columns / 2, 0.255 * unit), 0.088 * unit
    accent, third = spec.accent, spec.third

    def polygon(points: np.ndarray, colour: Colour) -> None:
        cells = np.round(points * size + middle).astype(np.int32)
        cv2.fillPoly(torso, [cells], colour)

    def disc(radius: float, colour: Colour) -> None:
        cv2.circle(torso, (round(middle[0]), round(middle[1])), round(radius * size), colour, -1)

    angle = np.linspace(0, 2 * np.pi, 97)
    if spec.figure == "star":
        turns = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        polygon(np.stack([radius * np.cos(turns), radius * np.sin(turns)], 1), accent)
    elif spec.figure == "heart":
        x = np.sin(angle) ** 3
        y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
        polygon(np.stack([x, -y / 16], 1), accent)
    elif spec.figure == "bolt":
        bolt = [(0.15, -1.1), (-0.55, 0.15), (-0.05, 0.15), (-0.25, 1.1), (0.6, -0.3), (0.08, -0.3)]
        polygon(np.array(bolt), accent)
    elif spec.figure == "sun":
        for turn in np.arange(12) * np.pi / 6:
            tip, near, far = 1.1, turn - 0.16, turn + 0.16
            ray = [(tip * np.cos(turn), tip * np.sin(turn))]
            ray += [(0.7 * np.cos(a), 0.7 * np.sin(a)) for a in (near, far)]
            polygon(np.array(ray), accent)
        disc(0.58, accent)
        disc(0.40, third)
    elif spec.figure == "diamond":
        polygon(np.array([(0, -1.1), (0.8, 0), (0, 1.1), (-0.8, 0)]), accent)
        polygon(np.array([(0, -0.6), (0.44, 0), (0, 0.6), (-0.44, 0)]), third)
    else:
        for radius, colour in ((1.0, accent), (0.72, spec.base), (0.46, third)):
            disc(radius, colour)


def _palette(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Three distinct colours: a base, an accent and a third."""
    hue = rng.uniform(0, 1)
    kind = rng.random()
    if kind < 0.14:
        base = _hsv(hue, rng.uniform(0.0, 0.08), rng.uniform(0.86, 0.96))
    elif kind < 0.24:
        base = _hsv(hue, rng.uniform(0.1, 0.4), rng.uniform(0.14, 0.26))
    else:
        base = _hsv(hue, rng.uniform(0.42, 0.85), rng.uniform(0.42, 0.9))
    light = float(np.dot(base, (0.299, 0.587, 0.114)))
    other = (hue + rng.choice([0.08, 0.33, 0.5, 0.58])) % 1.0
    if light > 0.55:
        accent = _hsv(other, rng.uniform(0.5, 0.9), rng.uniform(0.2, 0.5))
    else:
        accent = _hsv(other, rng.uniform(0.0, 0.55), rng.uniform(0.86, 0.98))
    third = _hsv((hue + 0.45) % 1.0, rng.uniform(0.5, 0.85), rng.uniform(0.55, 0.92))
    return base, accent, third


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    pixel = np.array([[[hue * 360.0, saturation, value]]], np.float32)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return float(red), float(green), float(blue)


def _darker(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
