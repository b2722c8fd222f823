"""What is no cut and may look like one: light that flashes, cameras that move, people who pass.

Each takes RGB frames of one take, (height, width, 3) uint8, and gives them disturbed.
"""

import cv2
import numpy as np

Frames = list[np.ndarray]


def flashes(frames: Frames, rng: np.random.Generator) -> Frames:
    """A camera's flash of one to three frames, three times."""
    out = list(frames)
    for at in np.linspace(8, len(frames) - 8, 3).astype(int):
        strength = float(rng.uniform(60, 160))
        for i in range(int(at), int(at) + int(rng.integers(1, 4))):
            out[i] = np.clip(frames[i] * 1.1 + strength, 0, 255).astype(np.uint8)
    return out


def strobe(frames: Frames, rng: np.random.Generator) -> Frames:
    """A second of light that goes on and off every few frames."""
    period, start = int(rng.integers(4, 9)), len(frames) // 3
    out = list(frames)
    for i in range(start, min(start + 25, len(frames))):
        if (i - start) % period < period // 2:
            out[i] = (frames[i] * 0.25).astype(np.uint8)
    return out


def coloured_lights(frames: Frames, rng: np.random.Generator) -> Frames:
    """A stage whose light changes its colour every half second, within two frames."""
    tints = rng.uniform(0.35, 1.1, (len(frames) // 12 + 2, 3))
    out = []
    for i, frame in enumerate(frames):
        step, inside = divmod(i, 12)
        share = min(inside / 2, 1.0) if step else 1.0
        tint = tints[max(step - 1, 0)] * (1 - share) + tints[step] * share
        out.append(np.clip(frame * tint, 0, 255).astype(np.uint8))
    return out


def whip_pan(frames: Frames, rng: np.random.Generator) -> Frames:
    """Half of the picture, seen by a camera that turns to the other half in six frames, twice."""
    height, whole = frames[0].shape[:2]
    width, out = whole // 2, []
    for i, frame in enumerate(frames):
        third = len(frames) // 3
        share = np.clip((i - third) / 6, 0, 1) - np.clip((i - 2 * third) / 6, 0, 1)
        left = round(share * (whole - width))
        shown = cv2.resize(frame[:, left : left + width], (whole, height))
        is_turning = 0 < share < 1
        out.append(cv2.blur(shown, (31, 1)) if is_turning else shown)
    return out


def hurried(frames: Frames, rng: np.random.Generator) -> Frames:
    """Every fourth frame: whoever moves is somewhere else in each."""
    return frames[::4]


def stretched(frames: Frames, rng: np.random.Generator) -> Frames:
    """Every third frame, shown three times."""
    return [frame for frame in frames[::3] for _ in range(3)]


def lossy(frames: Frames, rng: np.random.Generator) -> Frames:
    """One frame in three is lost; the one before it stays."""
    out = list(frames)
    for i in range(1, len(out)):
        if rng.random() < 1 / 3:
            out[i] = out[i - 1]
    return out


def shaken(frames: Frames, rng: np.random.Generator) -> Frames:
    """Held by a hand that walks: the picture jumps by up to a tenth of its width."""
    height, width = frames[0].shape[:2]
    out: Frames = []
    at = np.zeros(2)
    for frame in frames:
        at = 0.6 * at + rng.normal(0, (0.02 * height, 0.035 * width))
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 1.5)), 1.2)
        turn[:, 2] += at[::-1]
        out.append(cv2.warpAffine(frame, turn, (width, height), borderMode=cv2.BORDER_REFLECT))
    return out


def panned(frames: Frames, rng: np.random.Generator) -> Frames:
    """Two thirds of the picture, seen by a camera that turns to and fro, three pixels a frame."""
    height, width = frames[0].shape[:2]
    start, room = int(rng.integers(width)), width // 2
    out: Frames = []
    for i, frame in enumerate(frames):
        large = cv2.resize(frame, (width * 3 // 2, height * 3 // 2))
        left = abs((start + 3 * i) % (2 * room) - room)
        out.append(np.ascontiguousarray(large[height // 4 :, left : left + width][:height]))
    return out


def zoomed(frames: Frames, rng: np.random.Generator) -> Frames:
    """Twice as near within eight frames, and back."""
    height, width = frames[0].shape[:2]
    out, third = [], len(frames) // 3
    for i, frame in enumerate(frames):
        share = np.clip((i - third) / 8, 0, 1) - np.clip((i - 2 * third) / 8, 0, 1)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0, float(1 + share))
        out.append(cv2.warpAffine(frame, turn, (width, height)))
    return out


def passer_by(frames: Frames, rng: np.random.Generator) -> Frames:
    """A dark, blurred figure of a third of the width that crosses in ten frames."""
    out, start = list(frames), int(rng.integers(10, max(len(frames) - 20, 11)))
    colour = rng.uniform(10, 90, 3)
    height, width = frames[0].shape[:2]
    wide = width // 3
    for i in range(start, min(start + 10, len(frames))):
        cover = np.zeros((height, width), np.float32)
        left = round(-wide + (i - start) / 9 * (width + wide))
        cover[:, max(left, 0) : max(left + wide, 0)] = 1
        cover = cv2.blur(cover, (41, 1))[..., None]
        out[i] = (frames[i] * (1 - cover) + colour * cover).astype(np.uint8)
    return out


DISTURBANCES = (
    flashes, strobe, coloured_lights, whip_pan, zoomed, shaken, panned, passer_by, hurried,
    stretched, lossy,
)  # fmt: skip
