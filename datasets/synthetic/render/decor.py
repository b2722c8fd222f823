"""Decoration in the rooms of rendered dancers: posters, windows, shelves, lamps, plants."""

import cv2
import numpy as np

from datasets.synthetic.render.camera import Camera


def linear_colour(
    rng: np.random.Generator, light: tuple[float, float], saturation: float
) -> np.ndarray:
    """A random linear colour, with a range of lightness and a maximum saturation."""
    hue = rng.uniform(0, 360)
    pixel = np.array([[[hue, rng.uniform(0, saturation), rng.uniform(*light)]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0] ** 2


def decorate_wall(
    rng: np.random.Generator, image: np.ndarray, camera: Camera, wall_z: float
) -> None:
    """Hang something on the wall on either side of the dancer; paints into ``image``."""
    plane = _Plane(image, camera, wall_z)
    makers = (None, _poster, _window, _shelf, _lamp)
    for side in (-1.0, 1.0):
        make = makers[int(rng.choice(5, p=[0.2, 0.3, 0.25, 0.15, 0.1]))]
        x, y = float(side * rng.uniform(0.58, 0.98)), float(rng.uniform(1.5, 1.85))
        if make is not None:
            make(rng, plane, x, y)


def put_plant(rng: np.random.Generator, image: np.ndarray, camera: Camera, z: float) -> None:
    """Put a potted plant on the floor next to the dancer; paints into ``image``."""
    plane = _Plane(image, camera, z)
    x = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.75, 1.0))
    pot, leaf = linear_colour(rng, (0.4, 0.85), 0.5), np.array([0.07, 0.20, 0.06])
    leaf = leaf * rng.uniform(0.6, 1.8)
    for _ in range(26):
        lean, reach = rng.uniform(-1.25, 1.25), rng.uniform(0.3, 0.62)
        tip = np.array([x + np.sin(lean) * reach, 0.28 + np.cos(lean) * reach])
        root = np.array([x + 0.05 * np.sin(lean), 0.28])
        bulge = 0.055 * np.array([np.cos(lean), -np.sin(lean)])
        middle = 0.45 * root + 0.55 * tip
        blade = np.stack([root, middle + bulge, tip, middle - bulge])
        plane.polygon(blade, leaf * rng.uniform(0.55, 1.35))
    for row in range(8):  # the pot, lit from the left
        left = x - 0.14 + 0.035 * row
        shade = 1.0 - 0.09 * row
        taper = 0.02 * np.array([-1.0, 1.0]) * (row - 3.5) / 3.5
        right = left + 0.035
        corners = [(left, 0.30), (right, 0.30), (right - taper[1], 0.0), (left - taper[1], 0.0)]
        plane.polygon(np.array(corners), pot * shade)


class _Plane:
    """A plane z = constant of the room, in metres (x right, y up)."""

    def __init__(self, image: np.ndarray, camera: Camera, z: float):
        self.image, self.camera, self.z = image, camera, z

    def polygon(self, points: np.ndarray, colour: np.ndarray) -> None:
        cells = [self.camera.project(np.array([x, y, self.z])) for x, y in points]
        corners = np.round(np.array(cells) * 16).astype(np.int32)
        cv2.fillPoly(self.image, [corners], _scalar(colour), lineType=cv2.LINE_AA, shift=4)

    def rectangle(
        self, left: float, bottom: float, right: float, top: float, colour: np.ndarray
    ) -> None:
        corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
        self.polygon(np.array(corners), colour)

    def disc(self, x: float, y: float, radius: float, colour: np.ndarray) -> None:
        angle = np.linspace(0, 2 * np.pi, 33)[:-1]
        ring = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)
        self.polygon(ring, colour)


def _scalar(colour: np.ndarray) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def _poster(rng: np.random.Generator, plane: _Plane, x: float, y: float) -> None:
    wide, high = rng.uniform(0.16, 0.28), rng.uniform(0.2, 0.34)
    rim = 0.03
    plane.rectangle(x - wide + 0.02, y - high - 0.06, x + wide + 0.06, y + high, np.full(3, 0.12))
    frame = linear_colour(rng, (0.1, 0.5), 0.3)
    plane.rectangle(x - wide - rim, y - high - rim, x + wide + rim, y + high + rim, frame)
    plane.rectangle(x - wide, y - high, x + wide, y + high, linear_colour(rng, (0.8, 0.97), 0.3))
    for _ in range(5):
        at_x, at_y = x + rng.uniform(-0.55, 0.55) * wide, y + rng.uniform(-0.6, 0.6) * high
        half = rng.uniform(0.1, 0.38) * wide
        colour = linear_colour(rng, (0.4, 0.95), 0.8)
        if rng.random() < 0.5:
            plane.disc(at_x, at_y, half, colour)
        else:
            plane.rectangle(at_x - half, at_y - half / 2, at_x + half, at_y + half / 2, colour)


def _window(rng: np.random.Generator, plane: _Plane, x: float, y: float) -> None:
    wide, high = rng.uniform(0.28, 0.42), rng.uniform(0.4, 0.55)
    frame = np.full(3, 0.8) * rng.uniform(0.45, 1.0)
    edge = 0.04
    plane.rectangle(x - wide - edge, y - high - edge, x + wide + edge, y + high + edge, frame)
    high_sky, low_sky = np.array([0.42, 0.62, 0.92]), np.array([0.86, 0.92, 0.97])
    bands = 14
    for band in range(bands):
        bottom = y - high + 2 * high * band / bands
        share = band / (bands - 1)
        sky = low_sky + (high_sky - low_sky) * share
        plane.rectangle(x - wide, bottom, x + wide, bottom + 2 * high / bands + 0.002, sky)
    ground = np.array([0.22, 0.38, 0.16]) * rng.uniform(0.6, 1.3)
    level = rng.uniform(0.2, 0.75)
    for layer in range(3):  # hills, the far ones paler
        across = np.linspace(-1, 1, 25)
        swell = 0.12 * np.sin(across * rng.uniform(2, 5) + rng.uniform(0, 6))
        top = y - high + high * (level - 0.18 * layer + swell)
        hill = [(x + wide * a, t) for a, t in zip(across, np.maximum(top, y - high), strict=True)]
        outline = [*hill, (x + wide, y - high), (x - wide, y - high)]
        pale = 0.35 * (2 - layer) / 2
        plane.polygon(np.array(outline), ground * (1 - pale) + pale * low_sky)
    plane.rectangle(x - 0.014, y - high, x + 0.014, y + high, frame)
    plane.rectangle(x - wide, y - 0.014, x + wide, y + 0.014, frame)
    plane.rectangle(x - wide - 0.09, y - high - 0.09, x + wide + 0.09, y - high - 0.03, frame * 0.9)
    if rng.random() < 0.5:
        cloth = linear_colour(rng, (0.5, 0.95), 0.5)
        for side in (-1.0, 1.0):
            for fold in range(6):
                left = x + side * (wide + 0.05) - 0.09 + 0.03 * fold
                tone = 0.75 + 0.25 * np.cos(fold * 2.1)
                plane.rectangle(left, y - high - 0.2, left + 0.031, y + high + 0.12, cloth * tone)


def _shelf(rng: np.random.Generator, plane: _Plane, x: float, y: float) -> None:
    board = linear_colour(rng, (0.3, 0.6), 0.4)
    for level in (y - 0.15, y + 0.23):
        at = x - 0.3
        while at < x + 0.26:
            wide, high = rng.uniform(0.025, 0.06), rng.uniform(0.16, 0.27)
            spine = linear_colour(rng, (0.25, 0.85), 0.7)
            plane.rectangle(at, level, at + wide, level + high, spine)
            at += wide + (0.004 if rng.random() < 0.85 else 0.07)
        plane.rectangle(x - 0.36, level - 0.06, x + 0.36, level - 0.03, board * 0.35)
        plane.rectangle(x - 0.36, level - 0.03, x + 0.36, level, board)


def _lamp(rng: np.random.Generator, plane: _Plane, x: float, y: float) -> None:
    rows, columns = np.mgrid[: plane.image.shape[0], : plane.image.shape[1]].astype(np.float32)
    column, row = plane.camera.project(np.array([x, y + 0.1, plane.z]))
    radius = 0.5 * plane.camera.scale(plane.z)
    glow = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / radius**2)
    plane.image += glow[..., None] * np.array([0.45, 0.34, 0.18], np.float32)
    plane.disc(x, y + 0.1, 0.1, np.array([1.0, 0.93, 0.78]))
