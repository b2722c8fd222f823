"""Ellipsoids with their own axes: heads, ears, shoes, curls."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from datasets.synthetic.render.camera import Camera, SurfaceBuffer


@dataclass(frozen=True, kw_only=True)
class Ellipsoid:
    """An ellipsoid with its own axes: ``rotation`` maps its coordinates to the world's.

    ``origin`` is the origin of surface coordinates, in the ellipsoid's axes (u = x and v = y in
    metres); ``keep`` may reject points by those coordinates (x, y, z) in metres.
    """

    center: np.ndarray
    radii: tuple[float, float, float]
    rotation: np.ndarray
    material: int
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    back_material: int | None = None
    keep: Callable[[np.ndarray], np.ndarray] | None = None
    blend_m: float = 0.0


def draw_ellipsoid(buffer: SurfaceBuffer, shape: Ellipsoid, camera: Camera) -> None:
    """Draw an ellipsoid as an orthographic solid at its centre's scale."""
    scale = camera.scale(float(shape.center[2]))
    column, row = camera.project(shape.center)
    radii = np.asarray(shape.radii, np.float64)
    extent = np.sqrt((shape.rotation**2) @ (radii**2)) * scale + 1.0
    box = buffer.box(column - extent[0], column + extent[0], row - extent[1], row + extent[1])
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
    picked = np.flatnonzero(discriminant > 0)
    if picked.size == 0:
        return
    rows, columns = np.divmod(picked, right - left)
    x, y = x[0][columns], y[:, 0][rows]
    z = (np.sqrt(discriminant.ravel()[picked]) - b.ravel()[picked]) / a
    own = shape.rotation.T.astype(np.float32) @ np.stack([x, y, z])
    own += shape.origin.astype(np.float32)[:, None]
    normal = matrix.astype(np.float32) @ np.stack([x, y, z])
    normal /= np.sqrt((normal * normal).sum(0)) + 1e-9
    where = buffer.places(picked, box)
    depth = z + np.float32(shape.center[2])
    if shape.keep is not None:
        kept = shape.keep(own)
        where, depth, own, normal = where[kept], depth[kept], own[:, kept], normal[:, kept]
    material: int | np.ndarray = shape.material
    if shape.back_material is not None:
        material = np.where(own[2] > 0.02, shape.material, shape.back_material).astype(np.uint8)
    buffer.write(
        where, depth, (normal[0], normal[1], normal[2]), own[0], own[1], material, shape.blend_m
    )
