"""A tiny curated folder, written with the real track encoders: moving figures in plain garments."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np

from datasets.labels import DensePosePart, ParseLabel
from datasets.tracks import encode_labels, encode_rgb_lossless, encode_video

HEIGHT, WIDTH, FPS = 128, 96, 8.0
NUM_FRAMES = 12


def write_shards(
    root: Path, clips: dict[str, int], num_frames: int = NUM_FRAMES, seed: int = 0
) -> Path:
    """Write ``root/shards/SPLIT-000000.tar`` with so many clips for each split."""
    folder = root / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for split, count in clips.items():
        with tarfile.open(folder / f"{split}-000000.tar", "w") as archive:
            for number in range(count):
                key = f"{split}-{number:03d}"
                for member, content in sample_members(key, num_frames, random).items():
                    info = tarfile.TarInfo(f"{key}.{member}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return root


def sample_members(key: str, num_frames: int, random: np.random.Generator) -> dict[str, bytes]:
    """The members of one sample: a torso of one colour that walks over a textured ground."""
    colour = random.integers(0, 256, 3)
    coarse = random.integers(40, 216, (6, 5, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    phase = random.uniform(0, 6.28)
    video = np.repeat(ground[None], num_frames, axis=0)
    parse = np.zeros((num_frames, HEIGHT, WIDTH), np.uint8)
    mask = np.zeros_like(parse)
    iuv = np.zeros((num_frames, 112, 112, 3), np.uint8)
    boxes = np.zeros((num_frames, 4), np.float32)
    for frame in range(num_frames):
        x = int(WIDTH / 2 + 10 * np.sin(phase + frame / 3))
        torso = (x - 12, HEIGHT // 3, x + 12, 2 * HEIGHT // 3)
        _fill(video[frame], (x - 6, HEIGHT // 8, x + 6, HEIGHT // 3), (220, 180, 150))
        _fill(video[frame], torso, colour)
        _fill(parse[frame], torso, ParseLabel.UPPER)
        _fill(mask[frame], (torso[0] - 3, torso[1] - 2, torso[2] + 3, torso[3] + 3), 255)
        iuv[frame, :, :] = (DensePosePart.TORSO_FRONT, 128, 128)
        boxes[frame] = torso
    garment = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    _fill(garment, (26, 24, 70, 100), colour)
    garment_mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    _fill(garment_mask, (26, 24, 70, 100), 255)
    record = {
        "schema": 1, "clip_id": key, "fps": FPS, "num_frames": num_frames, "height": HEIGHT,
        "width": WIDTH, "category": "upper", "garment_frame": 0, "backends": {},
    }  # fmt: skip
    agnostic = np.where(mask[..., None] > 0, 128, video).astype(np.uint8)
    return {
        "mp4": encode_video(video, FPS),
        "parse.mp4": encode_labels(parse, FPS),
        "mask.mp4": encode_labels(mask, FPS),
        "iuv.mp4": encode_rgb_lossless(iuv, FPS),
        "box.npy": _npy(boxes),
        "agnostic.mp4": encode_video(agnostic, FPS),
        "garment.png": _png(garment),
        "garment_mask.png": _png(garment_mask),
        "json": json.dumps(record).encode(),
    }


def _fill(image: np.ndarray, box: tuple[int, int, int, int], value: object) -> None:
    left, top, right, bottom = (max(0, side) for side in box)
    image[top:bottom, left:right] = value


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _png(image: np.ndarray) -> bytes:
    written, content = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    assert written
    return content.tobytes()
