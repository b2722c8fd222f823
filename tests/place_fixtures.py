"""Clips whose places are known: a patterned torso that moves sideways, and its picture cut out."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np

from curation.stages.garments import lay_out
from datasets.labels import DensePosePart, ParseLabel
from datasets.tracks import encode_labels, encode_rgb_lossless
from tests.shard_fixtures import FPS, HEIGHT, WIDTH, sample_members

TOP, HIGH, WIDE = 32, 64, 48  # px: the torso
GARMENT_FRAME = 1


def write_place_shards(
    root: Path, clips: dict[str, int], num_frames: int = 8, seed: int = 0
) -> Path:
    """Like ``shard_fixtures.write_shards``, with clips of ``place_members``."""
    folder = root / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for split, count in clips.items():
        with tarfile.open(folder / f"{split}-000000.tar", "w") as archive:
            for number in range(count):
                key = f"{split}-{number:03d}"
                for member, content in place_members(key, num_frames, random).items():
                    info = tarfile.TarInfo(f"{key}.{member}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return root


def lefts(num_frames: int) -> list[int]:
    """The torso's left side in each frame, px."""
    return [24 + round(10 * np.sin(frame / 2)) for frame in range(num_frames)]


def place_members(key: str, num_frames: int, random: np.random.Generator) -> dict[str, bytes]:
    """The members of one sample; U runs down the torso, V across it."""
    coarse = random.integers(30, 226, (11, 8, 3)).astype(np.uint8)
    cloth = cv2.resize(coarse, (WIDE, HIGH), interpolation=cv2.INTER_CUBIC)
    video = np.full((num_frames, HEIGHT, WIDTH, 3), 90, np.uint8)
    parse, mask = (np.zeros((num_frames, HEIGHT, WIDTH), np.uint8) for _ in range(2))
    boxes = np.zeros((num_frames, 4), np.float32)
    for frame, left in enumerate(lefts(num_frames)):
        video[frame, TOP : TOP + HIGH, left : left + WIDE] = cloth
        parse[frame, TOP : TOP + HIGH, left : left + WIDE] = ParseLabel.UPPER
        mask[frame, TOP - 2 : TOP + HIGH + 2, left - 2 : left + WIDE + 2] = 255
        boxes[frame] = left, TOP, left + WIDE, TOP + HIGH
    down, across = np.mgrid[:112, :112] * 255 // 111
    grid = np.stack([np.full_like(down, DensePosePart.TORSO_FRONT), down, across], axis=-1)
    laid = lay_out(video[GARMENT_FRAME], parse[GARMENT_FRAME] > 0, 0.08)
    members = sample_members(key, num_frames, random)
    record = json.loads(members["json"]) | {
        "garment_frame": GARMENT_FRAME, "garment_affine": laid.affine.flatten().tolist(),
    }  # fmt: skip
    stored = io.BytesIO()
    np.save(stored, boxes)
    return members | {
        "mp4": encode_rgb_lossless(video, FPS),
        "parse.mp4": encode_labels(parse, FPS),
        "mask.mp4": encode_labels(mask, FPS),
        "iuv.mp4": encode_rgb_lossless(np.repeat(grid[None].astype(np.uint8), num_frames, 0), FPS),
        "box.npy": stored.getvalue(),
        "garment.png": cv2.imencode(".png", laid.picture[..., ::-1])[1].tobytes(),
        "garment_mask.png": cv2.imencode(".png", laid.mask)[1].tobytes(),
        "json": json.dumps(record).encode(),
    }


def true_points(num_frames: int, affine: np.ndarray, cell: int = 8) -> np.ndarray:
    """x, y in [0, 1] of the picture for the centre of each cell, (t, y, x, 2)."""
    rows, columns = (np.arange(side // cell) * cell + cell / 2 for side in (HEIGHT, WIDTH))
    moves = np.array(lefts(num_frames)) - lefts(GARMENT_FRAME + 1)[-1]
    x = columns[None, None, :] - moves[:, None, None] + 0 * rows[None, :, None]
    y = rows[None, :, None] + 0 * x
    points = np.stack([x - 0.5, y - 0.5, np.ones_like(x)], axis=-1) @ affine.T + 0.5
    return points / (WIDTH, HEIGHT)
