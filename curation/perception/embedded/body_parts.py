"""33 landmarks -> the body part at each pixel of a person, and the position on that part.

Limbs are capsules, the torso is a tapered strip, the head a capsule along the neck. A pixel
belongs to its nearest part, measured in radii of that part; limbs in front of others come first.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class BodyPart(IntEnum):
    """Parts of the geometric body; left and right are the person's own."""

    TORSO = 0
    HEAD = 1
    NECK = 2
    UPPER_ARM_LEFT = 3
    UPPER_ARM_RIGHT = 4
    LOWER_ARM_LEFT = 5
    LOWER_ARM_RIGHT = 6
    HAND_LEFT = 7
    HAND_RIGHT = 8
    UPPER_LEG_LEFT = 9
    UPPER_LEG_RIGHT = 10
    LOWER_LEG_LEFT = 11
    LOWER_LEG_RIGHT = 12
    FOOT_LEFT = 13
    FOOT_RIGHT = 14


NUM_PARTS = len(BodyPart)

NOSE, EAR_LEFT, EAR_RIGHT, MOUTH_LEFT, MOUTH_RIGHT = 0, 7, 8, 9, 10
SHOULDER_LEFT, SHOULDER_RIGHT, ELBOW_LEFT, ELBOW_RIGHT = 11, 12, 13, 14
WRIST_LEFT, WRIST_RIGHT, HIP_LEFT, HIP_RIGHT = 15, 16, 23, 24
KNEE_LEFT, KNEE_RIGHT, ANKLE_LEFT, ANKLE_RIGHT = 25, 26, 27, 28

# part, landmarks at both ends, radii at both ends in units of the body's scale
LIMBS = (
    (BodyPart.UPPER_ARM_LEFT, SHOULDER_LEFT, ELBOW_LEFT, 0.14, 0.11),
    (BodyPart.UPPER_ARM_RIGHT, SHOULDER_RIGHT, ELBOW_RIGHT, 0.14, 0.11),
    (BodyPart.LOWER_ARM_LEFT, ELBOW_LEFT, WRIST_LEFT, 0.11, 0.075),
    (BodyPart.LOWER_ARM_RIGHT, ELBOW_RIGHT, WRIST_RIGHT, 0.11, 0.075),
    (BodyPart.UPPER_LEG_LEFT, HIP_LEFT, KNEE_LEFT, 0.19, 0.13),
    (BodyPart.UPPER_LEG_RIGHT, HIP_RIGHT, KNEE_RIGHT, 0.19, 0.13),
    (BodyPart.LOWER_LEG_LEFT, KNEE_LEFT, ANKLE_LEFT, 0.13, 0.08),
    (BodyPart.LOWER_LEG_RIGHT, KNEE_RIGHT, ANKLE_RIGHT, 0.13, 0.08),
)
HANDS = ((BodyPart.HAND_LEFT, (15, 17, 19)), (BodyPart.HAND_RIGHT, (16, 18, 20)))
FEET = ((BodyPart.FOOT_LEFT, (27, 29, 31)), (BodyPart.FOOT_RIGHT, (28, 30, 32)))
HAND_RADIUS, FOOT_RADIUS, NECK_RADIUS = 0.135, 0.09, 0.11
BEYOND = 0.15  # of the scale: so far from the torso's outline counts as far as a limb's radius
CHIN = 1.35  # of the mouth-derived depth: a beard or its shadow counts as face rather than neck
MOUTH = 0.6  # of the way from the ears down to the chin: there the jaw is as wide as the head
JAW_WIDTH, CHIN_WIDTH = 1.15, 0.5  # radii of the head
MAX_RADII = 3.0  # pixels further from every part are not body (a ball, a bag)
VISIBLE = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyShape:
    """The geometric body of one person in one frame; all lengths in pixels."""

    start: np.ndarray  # (parts, 2): shoulder, crown, ... each part's near end
    end: np.ndarray  # (parts, 2)
    start_radius: np.ndarray  # (parts,)
    end_radius: np.ndarray  # (parts,)
    layer: np.ndarray  # (parts,): below 0 it hides parts behind it; above 0 it yields to parts
    # that are nearer than so many of their radii
    scale: float  # approximate length of the torso
    is_facing: bool  # the chest is visible, not the back
    ears: np.ndarray  # (2,): the middle between them
    chin_depth: float  # of its tip below the ears, along the head; a beard is longer


@dataclass(frozen=True, kw_only=True, eq=False)
class PartPixels:
    """Positions of pixels on the body."""

    part: np.ndarray  # (n,) int8: BodyPart, -1 if none is near
    along: np.ndarray  # (n,) float32 in 0..1 from the part's start to its end
    across: np.ndarray  # (n,) float32, -1..1 between the outlines; positive on the
    # image's right if the part hangs down
    radii: np.ndarray  # (n,) float32: distance in radii of the part


def body_scale(landmarks: np.ndarray) -> float:
    """Approximate torso length in pixels, from whichever limb is least foreshortened."""
    points = landmarks[:, :2]
    shoulders, hips = _middle(points, 11, 12), _middle(points, 23, 24)
    lengths = [
        _length(shoulders - hips),
        1.3 * _length(points[SHOULDER_LEFT] - points[SHOULDER_RIGHT]),
        1.9 * _length(_middle(points, EAR_LEFT, EAR_RIGHT) - shoulders),
    ]
    return float(max(*lengths, 4.0))


def is_facing_camera(landmarks: np.ndarray) -> bool:
    """By the order of the shoulders; in profile, by the face."""
    spread = landmarks[SHOULDER_LEFT, 0] - landmarks[SHOULDER_RIGHT, 0]
    if abs(spread) > 0.15 * body_scale(landmarks):
        return bool(spread > 0)
    ears = landmarks[[EAR_LEFT, EAR_RIGHT], 2].mean()
    return bool(landmarks[NOSE, 2] <= ears)


def build_body(landmarks: np.ndarray) -> BodyShape:
    """Place the parts.

    Args:
        landmarks: (33, 5): x, y, z in pixels, visibility and presence in 0..1.
    """
    points = landmarks[:, :2].astype(np.float64)
    scale = body_scale(landmarks)
    start, end = np.zeros((NUM_PARTS, 2)), np.zeros((NUM_PARTS, 2))
    radii = np.full((NUM_PARTS, 2), 1.0)
    layer = np.zeros(NUM_PARTS)

    shoulders, hips = _middle(points, 11, 12), _middle(points, 23, 24)
    ears = _middle(points, EAR_LEFT, EAR_RIGHT)
    up = _unit(ears - shoulders, fallback=_unit(shoulders - hips, np.array([0.0, -1.0])))
    head_radius = float(np.clip(0.5 * _length(ears - shoulders), 0.17 * scale, 0.27 * scale))
    down = _unit(hips - shoulders, fallback=np.array([0.0, 1.0]))
    start[BodyPart.TORSO], end[BodyPart.TORSO] = shoulders - 0.04 * scale * down, hips
    radii[BodyPart.TORSO] = (
        max(0.55 * _length(points[11] - points[12]), 0.2 * scale),
        max(0.75 * _length(points[23] - points[24]), 0.2 * scale),
    )
    mouth = _middle(points, MOUTH_LEFT, MOUTH_RIGHT)
    tip_depth = float(np.dot(ears - (2 * mouth - points[NOSE]), up))  # below the ears
    chin_depth = float(np.clip(CHIN * tip_depth, 0.9 * head_radius, 1.6 * head_radius))
    start[BodyPart.HEAD] = ears + 0.5 * head_radius * up
    end[BodyPart.HEAD] = ears - (chin_depth - 0.75 * head_radius) * up
    radii[BodyPart.HEAD] = 0.9 * head_radius, 0.8 * head_radius
    neck_top = chin_depth + 0.8 * NECK_RADIUS * scale  # its round end reaches up to the chin
    start[BodyPart.NECK] = ears - min(neck_top, _length(ears - shoulders)) * up
    end[BodyPart.NECK] = shoulders
    radii[BodyPart.NECK] = NECK_RADIUS * scale
    for part, near, far, near_radius, far_radius in LIMBS:
        start[part], end[part] = points[near], points[far]
        radii[part] = near_radius * scale, far_radius * scale
    for part, (wrist, pinky, index) in HANDS:
        knuckles = _middle(points, pinky, index)
        start[part] = points[wrist] + 0.05 * (knuckles - points[wrist])
        end[part] = points[wrist] + 1.5 * (knuckles - points[wrist])
        radii[part] = HAND_RADIUS * scale
    for part, (ankle, heel, toe) in FEET:
        start[part], end[part] = _middle(points, ankle, heel), points[toe]
        radii[part] = FOOT_RADIUS * scale

    for part, ends in _arm_ends():
        if landmarks[ends, 3].min() > VISIBLE:  # a visible arm hides what is behind it
            layer[part] = -2 + 0.9 * np.tanh(0.5 * landmarks[ends, 2].mean() / scale)
            if part in (BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT):
                layer[part] -= 0.4  # at the wrist the hand is in front of its arm
        else:
            layer[part] = 1.0  # an arm behind the back gets only pixels outside the trunk
    for part, near, far, *_ in LIMBS[4:]:
        layer[part] = np.clip(0.2 * landmarks[[near, far], 2].mean() / scale, -0.3, 0.3)
    return BodyShape(
        start=start, end=end, start_radius=radii[:, 0], end_radius=radii[:, 1], layer=layer,
        scale=scale, is_facing=is_facing_camera(landmarks),
        ears=ears, chin_depth=float(np.clip(tip_depth, 0.8 * head_radius, chin_depth)),
    )  # fmt: skip


def is_below_jaw(points: np.ndarray, body: BodyShape) -> np.ndarray:
    """Which points (n, 2), x and y, are lower than the outline of the face, (n,) bool."""
    down = _unit(body.end[BodyPart.HEAD] - body.start[BodyPart.HEAD], np.array([0.0, 1.0]))
    from_ears = points - body.ears
    radius = body.start_radius[BodyPart.HEAD]
    beside = np.abs(from_ears @ np.array([-down[1], down[0]])) / radius
    slope = np.clip((JAW_WIDTH - beside) / (JAW_WIDTH - CHIN_WIDTH), 0, 1)
    return from_ears @ down > body.chin_depth * (MOUTH + (1 - MOUTH) * slope)


def locate_on_body(points: np.ndarray, body: BodyShape) -> PartPixels:
    """Assign pixels to parts.

    Args:
        points: (n, 2) x, y in frame pixels, all on the person.
        body: the parts.
    """
    places = points.T.astype(np.float32)
    count = len(points)
    least = np.full(count, np.inf, np.float32)
    best = np.zeros(count, np.int8)
    found = np.zeros((3, count), np.float32)  # along, across and radii of the best part so far
    for part in range(NUM_PARTS):  # one after the other: what is compared stays in the cache
        along, across, radii, cost = _on_part(places, body, part)
        layer = np.float32(body.layer[part])
        if layer > 0:
            cost = np.maximum(cost, layer)
        elif layer < 0:
            cost = np.where(radii < 1, layer, cost)
        is_best = cost < least
        np.copyto(least, cost, where=is_best)
        np.copyto(best, np.int8(part), where=is_best)
        for kept, values in zip(found, (along, across, radii), strict=True):
            np.copyto(kept, values, where=is_best)
    along, across, radii = found
    return PartPixels(
        part=np.where(radii <= MAX_RADII, best, np.int8(-1)),
        along=along,
        across=np.clip(across, -1, 1),
        radii=radii,
    )


def on_trunk(points: np.ndarray, body: BodyShape) -> PartPixels:
    """Where points (n, 2) lie on the trunk, whatever is in front of it; part -1 beside it."""
    along, across, radii, _ = _on_part(points.T.astype(np.float32), body, BodyPart.TORSO)
    part = np.where(radii < 1, np.int8(BodyPart.TORSO), np.int8(-1))
    return PartPixels(part=part, along=along, across=np.clip(across, -1, 1), radii=radii)


def _on_part(
    places: np.ndarray, body: BodyShape, part: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Along, across, radii and cost, (n,) each, of points (2, n) float32 on one part."""
    start, axis = (ends.astype(np.float32) for ends in
                   (body.start[part], body.end[part] - body.start[part]))  # fmt: skip
    length = np.hypot(axis[0], axis[1])
    is_point = length < 1e-3  # seen end-on: a disc
    length = np.maximum(length, np.float32(1e-3))
    direction = np.array([0, 1], np.float32) if is_point else axis / length
    x, y = places[0] - start[0], places[1] - start[1]
    axial = x * direction[0] + y * direction[1]
    lateral = x * direction[1] - y * direction[0]
    along = np.clip(axial / length, 0, 1)
    overshoot = axial - along * length
    near, far = np.float32(body.start_radius[part]), np.float32(body.end_radius[part])
    radius = near + (far - near) * along
    across = lateral / radius
    if part == BodyPart.TORSO:  # a strip with straight ends: no bulge over the neck
        beyond = np.abs(overshoot)
        beyond = np.where(beyond > 0.1, 1 + beyond / (BEYOND * body.scale), 0)
        # a torso is wide: its own radii would claim arms that hang beside it
        beside = np.abs(across)
        apart = 1 + (beside - 1) * radius / (BEYOND * body.scale)
        cost = np.maximum(np.where(beside > 1, apart, beside), beyond)
        return along, across, np.maximum(beside, beyond), cost
    radii = np.sqrt(lateral**2 + overshoot**2) / radius
    return along, across, radii, radii


def _arm_ends() -> list[tuple[int, list[int]]]:
    ends: list[tuple[int, list[int]]] = [(part, [near, far]) for part, near, far, *_ in LIMBS[:4]]
    return ends + [(part, list(points)) for part, points in HANDS]


def _middle(points: np.ndarray, first: int, second: int) -> np.ndarray:
    return (points[first] + points[second]) / 2


def _length(way: np.ndarray) -> float:
    return float(np.hypot(way[0], way[1]))


def _unit(vector: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    length = _length(vector)
    return vector / length if length > 1e-6 else fallback
