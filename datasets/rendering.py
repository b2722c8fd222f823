"""A small software renderer: solid limbs and ellipsoids into buffers of depth, normal and surface.

Shapes are drawn one after the other inside their own bounding box; the nearest wins each pixel,
and shapes of the same group melt into each other so that joints show no crease. Shading happens
later, once a pixel. World axes: x right, y up, z towards the camera, metres. Buffers carry the
supersampled resolution the camera was given.
"""

from dataclasses import dataclass, field

import numpy as np

PROFILE_STEPS = 256
"""Samples of a loft's profile; finer than any limb is long in pixels."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole at (0, eye_height_m, distance_m) that looks along -z.

    ``pixels_per_m`` is the scale at z = 0; ``center`` is (row, column) of the optical axis.
    """

    pixels_per_m: float
    center: tuple[float, float]
    eye_height_m: float = 1.15
    distance_m: float = 5.5

    def scale(self, z: float) -> float:
        """Pixels per metre at depth z."""
        return self.pixels_per_m * self.distance_m / (self.distance_m - z)

    def project(self, point: np.ndarray) -> tuple[float, float]:
        """Column and row of a world point."""
        scale = self.scale(float(point[2]))
        return (
            self.center[1] + float(point[0]) * scale,
            self.center[0] - (float(point[1]) - self.eye_height_m) * scale,
        )


@dataclass(frozen=True, kw_only=True)
class Loft:
    """A body of elliptic cross-sections along a straight axis from ``start`` to ``end``.

    Half widths and depths are sampled evenly along the axis, in metres. ``turn`` is the yaw of the
    cross-sections in radians, at the start and at the end, measured against the camera. ``bow_m``
    shifts the middle sideways, ``lift_m`` brings the end nearer to the camera than it is (cloth over
    what it hides). An open end is cut like a sleeve's hem, a closed one is rounded.
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


@dataclass(frozen=True, kw_only=True)
class Ellipsoid:
    """An ellipsoid with its own axes: ``rotation`` takes its coordinates to the world's.

    ``origin`` is what surface coordinates are measured from, in the ellipsoid's axes (u = x and
    v = y in metres); ``keep`` may refuse points by those coordinates (x, y, z) in metres.
    """

    center: np.ndarray
    radii: tuple[float, float, float]
    rotation: np.ndarray
    material: int
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    back_material: int | None = None
    keep: object | None = None
    blend_m: float = 0.0


class SurfaceBuffer:
    """What is nearest in every pixel: depth, normal (y up), material and surface coordinates."""

    def __init__(self, height: int, width: int, groups: np.ndarray):
        self.height, self.width = height, width
        self.groups = groups
        size = height * width
        self.depth = np.full(size, -1e9, np.float32)
        self.material = np.zeros(size, np.uint8)
        self.normal = np.zeros((3, size), np.float32)
        self.surface = np.zeros((2, size), np.float32)

    def draw_loft(self, loft: Loft, camera: Camera) -> None:
        """Draw a loft; parts outside the buffer are clipped."""
        start, end = camera.project(loft.start), camera.project(loft.end)
        scale_start, scale_end = camera.scale(loft.start[2]), camera.scale(loft.end[2])
        length = max(float(np.hypot(end[0] - start[0], end[1] - start[1])), 1.0)
        along = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
        if length == 1.0:
            along = (0.0, 1.0)
        length_m = max(float(np.linalg.norm(loft.end - loft.start)), 1e-4)
        slope = float(np.clip((loft.end[2] - loft.start[2]) / length_m, -0.98, 0.98))
        upright = float(np.sqrt(1.0 - slope * slope))
        table = _profile_table(loft, length_m)
        steps = np.linspace(0.0, 1.0, PROFILE_STEPS, dtype=np.float32)
        radius = table["half"] * (scale_start + (scale_end - scale_start) * steps)
        lift = np.float32(loft.lift_m) * steps * steps
        bow = np.float32(loft.bow_m * scale_start) * 4.0 * steps * (1.0 - steps)

        reach = float(radius.max()) + abs(loft.bow_m) * scale_start + 1.0
        box = self._box(
            min(start[0], end[0]) - reach,
            max(start[0], end[0]) + reach,
            min(start[1], end[1]) - reach,
            max(start[1], end[1]) + reach,
        )
        if box is None:
            return
        top, bottom, left, right = box
        x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - start[0])
        y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - start[1])
        distance = x * np.float32(along[0]) + y * np.float32(along[1])
        side = x * np.float32(along[1]) - y * np.float32(along[0])
        inner = np.clip(distance, 0.0, length)
        index = (inner * np.float32((PROFILE_STEPS - 1) / length) + np.float32(0.5)).astype(np.intp)
        if loft.bow_m:
            side = side - bow[index]
        half = radius[index]
        over = distance - inner
        square = side * side + over * over
        inside = square < half * half
        if loft.open_start or loft.open_end:
            rim = np.float32(0.16 - np.clip(slope, -0.4, 0.4))
            curve = np.sqrt(np.maximum(half * half - side * side, 0.0))
            if loft.open_end:
                inside = (
                    (side * side < half * half)
                    & (distance < length + rim * curve)
                    & ((distance >= 0) | inside)
                )
            if loft.open_start:
                inside &= distance > rim * curve
        rows, columns = np.nonzero(inside)
        if rows.size == 0:
            return
        index, half = index[rows, columns], half[rows, columns]
        across = side[rows, columns] / half
        beyond = over[rows, columns] / half
        if loft.open_end:
            beyond[beyond > 0] = 0.0
        front = np.sqrt(np.maximum(1.0 - across * across - beyond * beyond, 0.0))
        normal_side = across * table["side_across"][index] + front * table["side_front"][index]
        normal_front = front * table["front"][index]
        normal_along = beyond - table["taper"][index]
        depth = (
            np.float32(loft.start[2])
            + (np.float32(loft.end[2] - loft.start[2]) * steps + lift)[index]
            + (front * table["depth_front"][index] + across * table["depth_across"][index])
            * np.float32(upright)
        )
        # basis: along the axis, across it in the image, and what faces the camera between both
        normal = (
            normal_side * along[1]
            + normal_along * (along[0] * upright)
            - normal_front * (slope * along[0]),
            normal_side * along[0]
            - normal_along * (along[1] * upright)
            + normal_front * (slope * along[1]),
            normal_front * upright + normal_along * slope,
        )
        v_end = length_m if loft.v_end_m is None else loft.v_end_m
        u = np.arctan2(across, front) - table["phase"][index]
        v = loft.v_start_m + (v_end - loft.v_start_m) * (steps[index])
        if loft.v_end_m is not None:
            v = v + over[rows, columns] * np.float32(length_m / length)
        where = (rows + top) * self.width + (columns + left)
        self._write(where, depth, normal, u, v, loft.material, loft.blend_m)

    def draw_ellipsoid(self, shape: Ellipsoid, camera: Camera) -> None:
        """Draw an ellipsoid as an orthographic solid at its centre's scale."""
        scale = camera.scale(float(shape.center[2]))
        column, row = camera.project(shape.center)
        radii = np.asarray(shape.radii, np.float64)
        extent = np.sqrt((shape.rotation**2) @ (radii**2)) * scale + 1.0
        box = self._box(column - extent[0], column + extent[0], row - extent[1], row + extent[1])
        if box is None:
            return
        top, bottom, left, right = box
        matrix = (shape.rotation / radii**2) @ shape.rotation.T
        x = (np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - column)) / scale
        y = -(np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - row)) / scale
        a = np.float32(matrix[2, 2])
        b = np.float32(matrix[0, 2]) * x + np.float32(matrix[1, 2]) * y
        c = (
            np.float32(matrix[0, 0]) * x * x
            + np.float32(2 * matrix[0, 1]) * x * y
            + np.float32(matrix[1, 1]) * y * y
            - 1.0
        )
        discriminant = b * b - a * c
        rows, columns = np.nonzero(discriminant > 0)
        if rows.size == 0:
            return
        x, y = x[0, columns], y[rows, 0]
        z = (-b[rows, columns] + np.sqrt(discriminant[rows, columns])) / a
        own = shape.rotation.T.astype(np.float32) @ np.stack([x, y, z])
        own += shape.origin.astype(np.float32)[:, None]
        normal = matrix.astype(np.float32) @ np.stack([x, y, z])
        normal /= np.sqrt((normal * normal).sum(0)) + 1e-9
        where = (rows + top) * self.width + (columns + left)
        depth = z + np.float32(shape.center[2])
        if callable(shape.keep):
            kept = shape.keep(own)
            where, depth, own, normal = where[kept], depth[kept], own[:, kept], normal[:, kept]
        material: int | np.ndarray = shape.material
        if shape.back_material is not None:
            material = np.where(own[2] > 0.02, shape.material, shape.back_material).astype(np.uint8)
        self._write(where, depth, tuple(normal), own[0], own[1], material, shape.blend_m)

    def _box(
        self, left: float, right: float, top: float, bottom: float
    ) -> tuple[int, int, int, int] | None:
        box = (
            max(int(top), 0),
            min(int(bottom) + 2, self.height),
            max(int(left), 0),
            min(int(right) + 2, self.width),
        )
        return box if box[0] < box[1] and box[2] < box[3] else None

    def _write(
        self,
        where: np.ndarray,
        depth: np.ndarray,
        normal: tuple[np.ndarray, ...],
        u: np.ndarray,
        v: np.ndarray,
        material: int | np.ndarray,
        blend_m: float,
    ) -> None:
        old = self.depth[where]
        if blend_m <= 0:
            won = depth > old
            self._store(where, won, won, depth, normal, u, v, material)
            return
        group = self.groups[material if isinstance(material, int) else material[0]]
        same = self.groups[self.material[where]] == group
        share = np.clip(0.5 + 0.5 * (depth - old) / np.float32(blend_m), 0.0, 1.0)
        share = np.where(same, share, depth > old).astype(np.float32)
        rest = 1.0 - share
        mixed = np.where(same, depth * share + old * rest + 0.3 * blend_m * share * rest, depth)
        blended = tuple(
            part * share + self.normal[axis][where] * rest for axis, part in enumerate(normal)
        )
        self._store(where, share > 0.0, share > 0.5, mixed, blended, u, v, material)

    def _store(
        self,
        where: np.ndarray,
        touched: np.ndarray,
        won: np.ndarray,
        depth: np.ndarray,
        normal: tuple[np.ndarray, ...],
        u: np.ndarray,
        v: np.ndarray,
        material: int | np.ndarray,
    ) -> None:
        places = where[touched]
        self.depth[places] = depth[touched]
        for axis, part in enumerate(normal):
            self.normal[axis][places] = part[touched]
        places = places if won is touched else where[won]
        self.surface[0][places] = u[won]
        self.surface[1][places] = v[won]
        self.material[places] = material if isinstance(material, int) else material[won]


def _profile_table(loft: Loft, length_m: float) -> dict[str, np.ndarray]:
    """What a pixel of the loft needs, as functions of the place along the axis.

    A point at body angle p of the cross-section is (a sin p, b cos p); turned by the yaw q its
    column is w sin(p + phase), with w = hypot(a cos q, b sin q). So depth and normal are linear in
    the column's share of w and in the root of what is left.
    """
    steps = np.linspace(0.0, 1.0, PROFILE_STEPS)
    own = np.linspace(0.0, 1.0, len(loft.half_width))
    a = np.interp(steps, own, loft.half_width)
    b = np.interp(steps, own, loft.half_depth)
    turn = loft.turn[0] + (loft.turn[1] - loft.turn[0]) * steps
    cos, sin = np.cos(turn), np.sin(turn)
    half = np.hypot(a * cos, b * sin)
    phase = np.arctan2(b * sin, a * cos)
    cos_phase, sin_phase = np.cos(phase), np.sin(phase)
    taper = np.gradient(b) / np.gradient(steps) / length_m
    table = {
        "half": half,
        "phase": phase,
        "depth_front": a * sin * sin_phase + b * cos * cos_phase,
        "depth_across": b * cos * sin_phase - a * sin * cos_phase,
        "side_across": half * (cos_phase * cos / a + sin_phase * sin / b),
        "side_front": half * (cos_phase * sin / b - sin_phase * cos / a),
        "front": half * (sin_phase * sin / a + cos_phase * cos / b),
        "taper": np.clip(taper, -0.8, 0.8),
    }
    return {name: values.astype(np.float32) for name, values in table.items()}


def smooth_profile(knots: list[tuple[float, float]], samples: int = 48) -> np.ndarray:
    """A monotone cubic through (place in 0..1, value) knots, sampled evenly.

    Fritsch and Carlson 1980, with the harmonic mean of the neighbouring slopes.
    """
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
