"""A small software renderer: a camera, and buffers of depth, normal and surface coordinates.

Solids (lofts.py, ellipsoids.py) are drawn one by one inside their bounding boxes; the nearest wins
each pixel, and solids of one group blend into each other so that joints show no crease. Shading
follows, once per pixel (shading.py). World axes: x right, y up, z towards the camera, metres.
Buffers have the supersampled resolution of their camera.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera at (0, eye_height_m, distance_m) that looks along -z.

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


class SurfaceBuffer:
    """The nearest surface in every pixel: depth, normal (y up), material, surface coordinates."""

    def __init__(self, height: int, width: int, groups: np.ndarray):
        self.height, self.width = height, width
        self.groups = groups
        size = height * width
        self.depth = np.full(size, -1e9, np.float32)
        self.material = np.zeros(size, np.uint8)
        self.normal = np.zeros((3, size), np.float32)
        self.surface = np.zeros((2, size), np.float32)

    def box(
        self, left: float, right: float, top: float, bottom: float
    ) -> tuple[int, int, int, int] | None:
        """Integer (top, bottom, left, right) around an extent in pixels; None if out of view."""
        box = (
            max(int(top), 0),
            min(int(bottom) + 2, self.height),
            max(int(left), 0),
            min(int(right) + 2, self.width),
        )
        return box if box[0] < box[1] and box[2] < box[3] else None

    def places(self, picked: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        """Flat positions in a box -> flat positions in the buffer."""
        top, _, left, right = box
        span = right - left
        return picked + (picked // span) * (self.width - span) + (top * self.width + left)

    def write(
        self,
        where: np.ndarray,
        depth: np.ndarray,
        normal: tuple[np.ndarray, ...],
        u: np.ndarray,
        v: np.ndarray,
        material: int | np.ndarray,
        blend_m: float,
    ) -> None:
        """Write a solid's pixels where they are nearest.

        Args:
            where: flat positions, each at most once.
            depth: z in metres; changed in place where the solid blends into its group.
            normal: x, y, z, about unit length; also changed in place.
            u: surface coordinate around.
            v: surface coordinate along.
            material: one for all, or one per pixel (all of one group).
            blend_m: distance in depth within which solids of one group blend.
        """
        old = self.depth[where]
        nearer = depth - old
        if blend_m > 0:
            group = self.groups[material if isinstance(material, int) else material[0]]
            melting = (np.abs(nearer) < blend_m) & (self.groups[self.material[where]] == group)
            spots = np.flatnonzero(melting)
            if spots.size:
                places = where[spots]
                share = 0.5 + np.float32(0.5 / blend_m) * nearer[spots]
                rest = 1.0 - share
                depth[spots] = (
                    depth[spots] * share + old[spots] * rest + 0.3 * blend_m * share * rest
                )
                for axis, part in enumerate(normal):
                    mixed = part[spots] * share + self.normal[axis][places] * rest
                    part[spots] = mixed
                    self.normal[axis][places] = mixed
                self.depth[places] = depth[spots]
        won = np.flatnonzero(nearer > 0)
        places = where[won]
        self.depth[places] = depth[won]
        for axis, part in enumerate(normal):
            self.normal[axis][places] = part[won]
        self.surface[0][places] = u[won]
        self.surface[1][places] = v[won]
        self.material[places] = material if isinstance(material, int) else material[won]
