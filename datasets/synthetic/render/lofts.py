"""Lofts: limbs, torsos, sleeves and skirts, as elliptic cross-sections along an axis."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from datasets.synthetic.render.camera import Camera, SurfaceBuffer

PROFILE_STEPS = 256
"""Samples of a profile; about the number of pixels of the longest solid."""
_STEPS = np.linspace(0.0, 1.0, PROFILE_STEPS, dtype=np.float32)
_HEM_CURVE = 0.16
"""Bulge of a hem, in half widths: a ring seen from slightly above."""


@dataclass(frozen=True, kw_only=True)
class Loft:
    """A body of elliptic cross-sections along a straight axis from ``start`` to ``end``.

    Half widths and depths are sampled evenly along the axis, in metres. ``turn`` is the yaw of the
    cross-sections in radians, at the start and at the end, measured against the camera. ``bow_m``
    shifts the middle sideways; ``lift_m`` moves the end towards the camera, so that cloth covers
    what is under it. An open end is cut like a sleeve's hem, a closed end is rounded. A loft whose
    half widths and depths are the same array is round, and is drawn faster.
    On the surface u is the angle around the axis (0 = its front) and v the metres along it.
    """

    start: np.ndarray
    end: np.ndarray
    half_width: np.ndarray
    half_depth: np.ndarray
    material: int
    turn: tuple[float, float] = (0.0, 0.0)
    bow_m: float = 0.0
    open_start: bool = False
    open_end: bool = False
    v_start_m: float = 0.0
    v_end_m: float | None = None
    lift_m: float = 0.0
    blend_m: float = 0.0


def draw_loft(buffer: SurfaceBuffer, loft: Loft, camera: Camera) -> None:
    """Draw a loft; parts outside the buffer are clipped."""
    axis = _axis(loft, camera)
    pixels = _cover(buffer, loft, axis, camera)
    if pixels is None:
        return
    round_one = loft.half_width is loft.half_depth
    table = None if round_one else _profile_table(loft)
    index, across, front = pixels.index, pixels.across, pixels.front
    if table is None:
        depth = front * pixels.half_m
        normal_side, normal_front = across, front
    else:
        depth = front * table["depth_front"][index]
        depth += across * table["depth_across"][index]
        normal_side = across * table["side_across"][index] + front * table["side_front"][index]
        normal_front = front * table["front"][index]
    # a leaning cylinder is thicker along the line of sight; its round ends are not
    depth *= np.where(pixels.over == 0, np.float32(1.0 / max(axis.upright, 0.5)), np.float32(1.0))
    depth += pixels.place * np.float32(loft.end[2] - loft.start[2])
    depth += np.float32(loft.start[2])
    if loft.lift_m:
        depth += pixels.place**2 * np.float32(loft.lift_m)
    taper = np.gradient(_resampled(loft.half_depth)) * np.float32(
        (PROFILE_STEPS - 1) / axis.length_m
    )
    normal_along = pixels.beyond - np.clip(taper, -0.8, 0.8)[index]
    # basis: along the axis, across it in the image, and the direction towards the camera
    ex, ey = np.float32(axis.along[0]), np.float32(axis.along[1])
    lying, upright = np.float32(axis.slope), np.float32(axis.upright)
    lean = normal_along * upright - normal_front * lying
    normal = (
        normal_side * ey + lean * ex,
        normal_side * ex - lean * ey,
        normal_front * upright + normal_along * lying,
    )
    v_end = axis.length_m if loft.v_end_m is None else loft.v_end_m
    v = pixels.place * np.float32(v_end - loft.v_start_m) + np.float32(loft.v_start_m)
    if loft.v_end_m is not None:
        v += pixels.over * np.float32(axis.length_m / axis.length)
    u = np.arctan2(across, front)
    u -= np.float32(loft.turn[0]) if table is None else table["phase"][index]
    buffer.write(pixels.where, depth, normal, u, v, loft.material, loft.blend_m)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """A loft's axis in the image: start and direction in pixels, slope towards the camera."""

    start: tuple[float, float]
    end: tuple[float, float]
    along: tuple[float, float]
    length: float
    length_m: float
    slope: float
    upright: float


def _axis(loft: Loft, camera: Camera) -> _Axis:
    start, end = camera.project(loft.start), camera.project(loft.end)
    reach = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    length_m = max(float(np.linalg.norm(loft.end - loft.start)), 1e-4)
    slope = float(np.clip((loft.end[2] - loft.start[2]) / length_m, -0.98, 0.98))
    along = (0.0, 1.0)
    if reach > 1.0:
        along = ((end[0] - start[0]) / reach, (end[1] - start[1]) / reach)
    return _Axis(
        start=start,
        end=end,
        along=along,
        length=max(reach, 1.0),
        length_m=length_m,
        slope=slope,
        upright=float(np.sqrt(1.0 - slope * slope)),
    )


@dataclass(frozen=True, kw_only=True)
class _Pixels:
    """The pixels that a loft covers, one entry each.

    ``index`` and ``place`` are the position along the axis (as a profile sample and in 0..1),
    ``across`` and ``beyond`` the positions in the cross-section and past the ends, in half widths,
    ``over`` the position past the ends in pixels, ``front`` the remaining component of the unit
    sphere towards the camera.
    """

    where: np.ndarray
    index: np.ndarray
    place: np.ndarray
    across: np.ndarray
    beyond: np.ndarray
    over: np.ndarray
    front: np.ndarray
    half_m: np.ndarray


def _cover(buffer: SurfaceBuffer, loft: Loft, axis: _Axis, camera: Camera) -> _Pixels | None:
    scales = camera.scale(float(loft.start[2])), camera.scale(float(loft.end[2]))
    half_m = _visible_half(loft)
    radius = half_m * (np.float32(scales[0]) + np.float32(scales[1] - scales[0]) * _STEPS)
    bow = loft.bow_m * scales[0]
    reach = float(radius.max()) + abs(bow) + 1.0
    box = buffer.box(
        min(axis.start[0], axis.end[0]) - reach,
        max(axis.start[0], axis.end[0]) + reach,
        min(axis.start[1], axis.end[1]) - reach,
        max(axis.start[1], axis.end[1]) + reach,
    )
    if box is None:
        return None
    top, bottom, left, right = box
    x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - axis.start[0])
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - axis.start[1])
    distance = x * np.float32(axis.along[0]) + y * np.float32(axis.along[1])
    side = x * np.float32(axis.along[1]) - y * np.float32(axis.along[0])
    inner = np.clip(distance, np.float32(0.0), np.float32(axis.length))
    steps = np.float32((PROFILE_STEPS - 1) / axis.length)
    index = (inner * steps + np.float32(0.5)).astype(np.int32)
    if bow:
        side -= (np.float32(4.0 * bow) * _STEPS * (1.0 - _STEPS))[index]
    half = radius[index]
    over = distance - inner
    square = side * side
    inside = square + over * over < half * half
    if loft.open_start or loft.open_end:
        curve = np.sqrt(np.maximum(half * half - square, np.float32(0.0)))
        curve *= np.float32(_HEM_CURVE - np.clip(axis.slope, -0.4, 0.4))
        if loft.open_end:
            hemmed = (square < half * half) & (distance < np.float32(axis.length) + curve)
            inside = hemmed & ((distance >= 0) | inside)
        if loft.open_start:
            inside &= distance > curve
    picked = np.flatnonzero(inside)
    if picked.size == 0:
        return None
    half, over, index = half.ravel()[picked], over.ravel()[picked], index.ravel()[picked]
    across = side.ravel()[picked] / half
    beyond = over / half
    if loft.open_end:
        np.minimum(beyond, np.float32(0.0), out=beyond)
    rest = np.float32(1.0) - across * across - beyond * beyond
    return _Pixels(
        where=buffer.places(picked, box),
        index=index,
        place=inner.ravel()[picked] * np.float32(1.0 / axis.length),
        across=across,
        beyond=beyond,
        over=over,
        front=np.sqrt(np.maximum(rest, np.float32(0.0))),
        half_m=half_m[index],
    )


def _resampled(profile: np.ndarray) -> np.ndarray:
    own = np.linspace(0.0, 1.0, len(profile))
    return np.interp(_STEPS, own, profile).astype(np.float32)


def _visible_half(loft: Loft) -> np.ndarray:
    """Half widths as seen by the camera after the turn, in metres."""
    a = _resampled(loft.half_width)
    if loft.half_width is loft.half_depth:
        return a
    turn = np.float32(loft.turn[0]) + np.float32(loft.turn[1] - loft.turn[0]) * _STEPS
    return np.hypot(a * np.cos(turn), _resampled(loft.half_depth) * np.sin(turn))


def _profile_table(loft: Loft) -> dict[str, np.ndarray]:
    """What a pixel of an elliptic loft needs, as functions of the position along the axis.

    A point at body angle p of the cross-section is (a sin p, b cos p); turned by the yaw q its
    column is w sin(p + phase), with w = hypot(a cos q, b sin q). Depth and normal are therefore
    linear in s, the column over w, and in sqrt(1 - s^2).
    """
    a, b = _resampled(loft.half_width), _resampled(loft.half_depth)
    turn = np.float32(loft.turn[0]) + np.float32(loft.turn[1] - loft.turn[0]) * _STEPS
    cos, sin = np.cos(turn), np.sin(turn)
    half = np.hypot(a * cos, b * sin)
    phase = np.arctan2(b * sin, a * cos)
    cos_phase, sin_phase = np.cos(phase), np.sin(phase)
    return {
        "phase": phase,
        "depth_front": a * sin * sin_phase + b * cos * cos_phase,
        "depth_across": b * cos * sin_phase - a * sin * cos_phase,
        "side_across": half * (cos_phase * cos / a + sin_phase * sin / b),
        "side_front": half * (cos_phase * sin / b - sin_phase * cos / a),
        "front": half * (sin_phase * sin / a + cos_phase * cos / b),
    }


def smooth_profile(knots: list[tuple[float, float]], samples: int = 48) -> np.ndarray:
    """A monotone cubic through (place, value) knots, sampled evenly from first to last place.

    Fritsch and Carlson 1980, with the harmonic mean of the neighbouring slopes.
    """
    return _smooth_profile(tuple(knots), samples)


@lru_cache(maxsize=512)
def _smooth_profile(knots: tuple[tuple[float, float], ...], samples: int) -> np.ndarray:
    places = np.array([place for place, _ in knots])
    values = np.array([value for _, value in knots])
    widths = np.diff(places)
    slopes = np.diff(values) / widths
    tangents = np.concatenate([slopes[:1], np.zeros(len(values) - 2), slopes[-1:]])
    for i in range(1, len(values) - 1):
        if slopes[i - 1] * slopes[i] > 0:
            tangents[i] = 2.0 / (1.0 / slopes[i - 1] + 1.0 / slopes[i])
    x = np.linspace(places[0], places[-1], samples)
    i = np.clip(np.searchsorted(places, x, side="right") - 1, 0, len(widths) - 1)
    t = (x - places[i]) / widths[i]
    return (
        (1 + 2 * t) * (1 - t) ** 2 * values[i]
        + t * (1 - t) ** 2 * widths[i] * tangents[i]
        + t**2 * (3 - 2 * t) * values[i + 1]
        + t**2 * (t - 1) * widths[i] * tangents[i + 1]
    )
