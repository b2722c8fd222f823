"""How a rendered dancer moves: seeded key poses on a beat, feet on the floor, joints in 3-D.

Axes and joints: skeleton.py.
"""

from dataclasses import dataclass

import numpy as np

from datasets.synthetic.skeleton import Body, Pose, rotation, turned

ARM_POSES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "hanging": ((0.22, -0.93, 0.08), (0.6, -0.2, -0.9)),
    "low_diagonal": ((0.62, -0.72, 0.12), (0.4, -0.3, -0.9)),
    "on_hip": ((0.02, -0.66, 0.16), (1.0, -0.1, -0.5)),
    "side": ((0.94, 0.02, 0.10), (0.1, -0.9, -0.5)),
    "high": ((0.30, 0.90, 0.08), (1.0, 0.0, -0.2)),
    "high_diagonal": ((0.68, 0.66, 0.08), (0.6, -0.6, -0.4)),
    "bent_up": ((0.52, 0.36, 0.22), (0.7, -0.9, -0.1)),
    "wave": ((0.62, -0.10, 0.36), (0.5, -0.9, -0.4)),
    "chest": ((-0.28, -0.26, 0.46), (0.9, -0.6, 0.1)),
    "front_low": ((0.10, -0.62, 0.46), (0.7, -0.4, -0.6)),
    "behind_head": ((-0.02, 0.44, -0.04), (1.0, 0.3, 0.2)),
    "back_low": ((0.42, -0.78, -0.28), (0.6, -0.1, -0.9)),
}
"""Wrist (outwards, up, forwards; in arm lengths from the shoulder) and the elbow's direction."""

CROSSING_POSES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "folded": ((-0.62, -0.38, 0.40), (0.8, -0.6, 0.3)),
    "hugging": ((-0.56, -0.16, 0.42), (0.9, -0.4, 0.3)),
    "belly": ((-0.34, -0.52, 0.42), (0.8, -0.3, -0.2)),
    "chin": ((-0.20, 0.06, 0.46), (0.8, -0.8, 0.1)),
    "reaching_across": ((-0.70, 0.10, 0.48), (0.7, -0.7, 0.2)),
}
"""The same, for arms that cross the chest and hide it."""


@dataclass(frozen=True, kw_only=True)
class Liveliness:
    """Additions to steps and swinging arms; shares of beats, 0..1."""

    crossing: float = 0.0  # beats on which an arm crosses the chest
    turning: float = 0.0  # beats within whole turns about the vertical


def dance(
    body: Body,
    seed: list[int],
    num_frames: int,
    fps: float,
    energy: float = 1.0,
    liveliness: Liveliness | None = None,
) -> list[Pose]:
    """A dance as a pure function of its seed.

    Args:
        body: gives the lengths between joints.
        seed: entropy of the choreography.
        num_frames: number of poses.
        fps: poses per second.
        energy: 1 = lively; near 0 the dancer almost stands still.
        liveliness: crossing arms and whole turns; neither if None.

    Returns:
        A pose per frame.
    """
    rng = np.random.default_rng(seed)
    steps = _Choreography(body, rng, num_frames / fps, energy)
    if liveliness is None:
        return [steps.pose(frame / fps) for frame in range(num_frames)]
    steps.cross_arms(rng, liveliness.crossing)
    turns = _turn_keys(rng, len(steps.yaw), liveliness.turning)
    poses = [steps.pose(frame / fps) for frame in range(num_frames)]
    return [turned(pose, float(_between(turns, pose.beat))) for pose in poses]


def standing(body: Body, arm: tuple[float, float, float] = (0.62, -0.74, 0.02)) -> Pose:
    """The canonical pose of product pictures: upright, frontal, arms held slightly out."""
    steps = _Choreography(body, np.random.default_rng(0), 1.0, 0.0)
    return steps.pose(0.0, arms=np.array([arm, arm]), elbows=np.array([(0.3, -0.2, -1.0)] * 2))


class _Choreography:
    """Key values on the beats, and the curves between them."""

    def __init__(self, body: Body, rng: np.random.Generator, duration_s: float, energy: float):
        self.body, self.energy = body, energy
        self.beats_per_s = rng.uniform(1.45, 2.0)
        count = int(duration_s * self.beats_per_s) + 4
        self.phase = rng.uniform(0, 1)
        self.arms, self.elbows = _arm_keys(rng, count)
        stance = rng.uniform(0.10, 0.15) * body.unit
        lateral = np.cumsum(rng.choice([-1, 0, 1], count) * rng.uniform(0.05, 0.16))
        lateral = np.clip(lateral - lateral.mean(), -0.2, 0.2) * min(energy, 1.0)
        self.feet = np.zeros((count, 2, 2))  # beat, side (left, right), (x, z)
        place = [np.array([stance, 0.0]), np.array([-stance, 0.0])]
        for beat in range(count):
            side = beat % 2
            sign = 1.0 if side == 0 else -1.0
            wide = stance * rng.uniform(0.9, 1.9) if energy > 0 else stance
            depth = rng.uniform(-0.10, 0.12) * min(energy, 1.0)
            place[side] = np.array([lateral[beat] + sign * wide, depth])
            self.feet[beat] = np.stack(place)
        self.lift = rng.uniform(0.05, 0.14, count) * min(energy, 1.0)
        turn = rng.uniform(0.15, 0.62)
        self.yaw = rng.uniform(-turn, turn, count) * min(energy, 1.0)
        self.yaw[1::2] = 0.5 * (self.yaw[:-1:2][: len(self.yaw[1::2])] + self.yaw[1::2])
        self.twist = rng.uniform(-0.32, 0.32, count) * energy
        self.sway = rng.uniform(0.02, 0.055) * energy
        self.bounce = rng.uniform(0.015, 0.04) * energy
        self.lean = rng.uniform(-0.05, 0.07, count) * energy
        self.tilt = rng.uniform(-0.16, 0.16, count) * energy
        self.look = rng.uniform(-0.35, 0.35, count) * energy
        self.nod = rng.uniform(-0.10, 0.14, count) * energy

    def cross_arms(self, rng: np.random.Generator, share: float) -> None:
        """Make one or both arms cross the chest on a share of the beats."""
        names = list(CROSSING_POSES)
        for beat in range(len(self.arms)):
            if rng.random() >= share:
                continue
            name = names[rng.integers(len(names))]
            sides = [0, 1] if rng.random() < 0.5 else [int(rng.integers(2))]
            for side in sides:
                self.arms[beat, side] = CROSSING_POSES[name][0] + rng.normal(0, 0.03, 3)
                self.elbows[beat, side] = CROSSING_POSES[name][1]

    def pose(
        self, time_s: float, arms: np.ndarray | None = None, elbows: np.ndarray | None = None
    ) -> Pose:
        """The pose at a time; ``arms`` and ``elbows``, (side, 3), override the choreography."""
        body, unit = self.body, self.body.unit
        beat = time_s * self.beats_per_s + self.phase
        swing = np.sin(np.pi * beat)
        feet = _between(self.feet, beat)
        ankles = np.zeros((2, 3))
        ankles[:, 0], ankles[:, 2] = feet[:, 0], feet[:, 1]
        ankles[:, 1] = 0.085 * unit
        moving, share = (int(beat) + 1) % 2, beat - int(beat)
        ankles[moving, 1] += self.lift[int(beat) % len(self.lift)] * np.sin(np.pi * share) ** 2
        pelvis_yaw = float(_between(self.yaw, beat))
        chest_yaw = pelvis_yaw + float(_between(self.twist, beat))
        turn = rotation(pelvis_yaw)

        pelvis = np.array([feet[:, 0].mean() + self.sway * swing, 0.0, feet[:, 1].mean()])
        hips = np.array([[body.hip_half, -0.035 * unit, 0], [-body.hip_half, -0.035 * unit, 0]])
        hips[:, 1] += np.array([1, -1]) * 0.25 * self.sway * swing
        hips = hips @ turn.T
        reach = (body.thigh + body.shin) * 0.992
        flat = ankles - (pelvis + hips)
        height = ankles[:, 1] + np.sqrt(
            np.maximum(reach**2 - flat[:, 0] ** 2 - flat[:, 2] ** 2, 0.01)
        )
        pelvis[1] = (height - hips[:, 1]).min() - self.bounce * np.sin(np.pi * beat) ** 2
        hips = hips + pelvis

        lean = float(_between(self.lean, beat))
        side_lean = -0.6 * self.sway * swing
        spine = np.array([side_lean, 0.515 * unit, lean])
        neck = pelvis + spine / np.linalg.norm(spine) * 0.515 * unit
        chest = rotation(chest_yaw, lean, 1.2 * side_lean)
        joints = {"pelvis": pelvis, "neck": neck}
        wrists = _between(self.arms, beat) if arms is None else arms
        poles = _between(self.elbows, beat) if elbows is None else elbows
        for i, (name, sign) in enumerate((("left", 1.0), ("right", -1.0))):
            mirror = np.array([sign, 1.0, 1.0])
            raised = max(float(wrists[i][1]), 0.0)
            shoulder = np.array(
                [
                    sign * (body.shoulder_half - 0.012 - 0.02 * raised),
                    (-0.086 + 0.056 * raised) * unit,
                    0,
                ]
            )
            shoulder = neck + chest @ shoulder
            target = chest @ (wrists[i] * mirror) * (body.upper_arm + body.forearm)
            elbow, wrist = _two_bones(
                shoulder,
                shoulder + target,
                body.upper_arm,
                body.forearm,
                chest @ (poles[i] * mirror),
            )
            joints |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": wrist}
            onward = (wrist - elbow) / np.linalg.norm(wrist - elbow)
            joints[f"{name}_fingers"] = wrist + onward * 0.15 * unit
            outward = turn @ np.array([0.35 * sign, 0.0, 1.0])
            knee, ankle = _two_bones(hips[i], ankles[i], body.thigh, body.shin, outward)
            foot = rotation(pelvis_yaw + sign * 0.30) @ np.array([0.0, 0.0, 0.17 * unit])
            drop = np.array([0.0, -0.055 * unit - 0.25 * max(ankle[1] - 0.085 * unit, 0), 0.0])
            joints |= {f"{name}_hip": hips[i], f"{name}_knee": knee, f"{name}_ankle": ankle}
            joints[f"{name}_toes"] = ankle + foot + drop
        head_rotation = rotation(
            chest_yaw * 0.55 + float(_between(self.look, beat)) + 0.0,
            float(_between(self.nod, beat)),
            float(_between(self.tilt, beat)),
        )
        joints["head"] = (
            neck
            + chest @ np.array([0.0, 0.040 * unit, 0.0])
            + head_rotation @ (np.array([0.0, 0.112, 0.022]) * unit)
        )
        return Pose(
            joints=joints,
            pelvis_yaw=pelvis_yaw,
            chest_yaw=chest_yaw,
            spine_bow_m=float(0.35 * self.sway * swing),
            head_rotation=head_rotation,
            beat=float(beat),
        )


def _arm_keys(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Wrist targets and elbow directions on the beats: often mirrored, sometimes held."""
    names = list(ARM_POSES)
    chosen: list[tuple[str, str]] = []
    for _ in range(count):
        left = names[rng.integers(len(names))]
        right = left if rng.random() < 0.45 else names[rng.integers(len(names))]
        if chosen and rng.random() < 0.18:
            left, right = chosen[-1]
        chosen.append((left, right))
    arms = np.array([[ARM_POSES[name][0] for name in pair] for pair in chosen])
    elbows = np.array([[ARM_POSES[name][1] for name in pair] for pair in chosen])
    return arms + rng.normal(0, 0.035, arms.shape), elbows


def _turn_keys(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Angles on the beats: occasionally a whole turn over two to four beats."""
    angles, angle, beat = np.zeros(count), 0.0, 1
    while beat < count:
        length = int(rng.integers(2, 5))  # three on average
        if rng.random() < share / (3 - 2 * share):
            way = rng.choice([-1.0, 1.0]) * 2 * np.pi
            for step in range(length):
                if beat < count:
                    angles[beat] = angle + way * (step + 1) / length
                    beat += 1
            angle += way
        else:
            angles[beat] = angle
            beat += 1
    return angles


def _between(keys: np.ndarray, beat: float) -> np.ndarray:
    """The eased value between the keys of two beats."""
    first = int(beat) % len(keys)
    second = min(first + 1, len(keys) - 1)
    share = beat - int(beat)
    eased = share * share * (3.0 - 2.0 * share)
    return np.asarray(keys[first] * (1.0 - eased) + keys[second] * eased)


def _two_bones(
    root: np.ndarray, target: np.ndarray, first: float, second: float, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle joint and end of two bones that reach for a target, bent towards the pole."""
    offset = target - root
    distance = float(np.linalg.norm(offset))
    forward = offset / max(distance, 1e-6)
    distance = float(np.clip(distance, abs(first - second) + 0.02, (first + second) * 0.995))
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    aside = np.sqrt(max(first**2 - along**2, 0.0))
    bend = pole - forward * float(pole @ forward)
    norm = float(np.linalg.norm(bend))
    bend = bend / norm if norm > 1e-6 else np.array([0.0, 0.0, 1.0])
    return root + forward * along + bend * aside, root + forward * distance
