"""A small benchmark of walking torsos, as curation writes one, and results on it."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np

from datasets.benchmarks.benchmark import Benchmark
from datasets.labels import DensePosePart, ParseLabel
from datasets.tracks import encode_labels, encode_rgb_lossless

HEIGHT, WIDTH, FRAMES, FPS = 96, 64, 12, 8.0
IDS = ["a", "b", "c", "d"]
COLOURS = {"a": (200, 60, 50), "b": (40, 90, 200), "c": (230, 200, 60), "d": (60, 160, 80)}


def dancer(phase: int, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A torso of one colour that walks over a textured ground, and where it is."""
    coarse = np.random.default_rng(phase).integers(60, 200, (6, 4, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    video = np.repeat(ground[None], FRAMES, axis=0)
    torso = np.zeros(video.shape[:3], dtype=bool)
    for frame in range(FRAMES):
        left = 16 + (frame + 3 * phase) % 10
        torso[frame, 30:70, left : left + 26] = True
    video[torso] = colour
    return video, torso


def garment_png(colour: tuple[int, int, int]) -> bytes:
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    image[20:70, 16:48] = colour
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def others(identity: str) -> tuple[int, int, int]:
    return COLOURS[IDS[(IDS.index(identity) + 1) % len(IDS)]]


def sample(identity: str, *, has_truth: bool) -> dict[str, bytes]:
    number = IDS.index(identity)
    video, torso = dancer(number, COLOURS[identity])
    mask = np.stack([cv2.dilate(frame.astype(np.uint8), np.ones((5, 5))) * 255 for frame in torso])
    parse = np.where(torso, ParseLabel.UPPER, ParseLabel.BACKGROUND).astype(np.uint8)
    iuv = np.full((FRAMES, 112, 112, 3), (DensePosePart.TORSO_FRONT, 128, 128), np.uint8)
    boxes = io.BytesIO()
    np.save(boxes, np.tile(np.array([16, 30, 52, 70], np.float32), (FRAMES, 1)))
    record = {
        "num_frames": FRAMES, "fps": FPS, "height": HEIGHT, "width": WIDTH, "category": "upper",
        "source": f"{identity}.mp4", "source_sha256": identity, "start_s": 0.0,
    }  # fmt: skip
    members = {
        "mp4": encode_rgb_lossless(video, FPS),
        "parse.mp4": encode_labels(parse, FPS),
        "mask.mp4": encode_labels(mask, FPS),
        "iuv.mp4": encode_rgb_lossless(iuv, FPS),
        "box.npy": boxes.getvalue(),
        "garment.png": garment_png(COLOURS[identity]),
        "target.png": garment_png(others(identity)),
        "json": json.dumps(record).encode(),
    }
    if has_truth:
        truth = dancer(number, others(identity))[0]
        members["truth.mp4"] = encode_rgb_lossless(truth, FPS)
    return members


def write_bench(root: Path, *, has_truth: bool = True) -> Path:
    (root / "shards").mkdir(parents=True)
    with tarfile.open(root / "shards" / "bench-000000.tar", "w") as archive:
        for identity in IDS:
            for name, content in sample(identity, has_truth=has_truth).items():
                info = tarfile.TarInfo(f"{identity}.{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return root


def write_results(root: Path, folder: Path, pairing: str) -> Path:
    """Perfect results, kept without loss: mp4 files, one of them a folder of frames."""
    bench = Benchmark(root, "synthetic")
    folder.mkdir(parents=True)
    for identity in IDS:
        truth = bench.load(identity, HEIGHT, WIDTH).truth(pairing)
        assert truth is not None
        if identity == "b":
            (folder / identity).mkdir()
            for number, frame in enumerate(truth):  # frame_2 sorts behind frame_10 as text
                cv2.imwrite(str(folder / identity / f"frame_{number}.png"), frame[..., ::-1])
        else:
            (folder / f"{identity}.mp4").write_bytes(encode_rgb_lossless(truth, FPS))
    return folder


def write_vvt(root: Path) -> Path:
    """A VVT folder of two people, each in the own garment and in the other's, as prepared."""
    (root / "shards").mkdir(parents=True)
    people = IDS[:2]
    lines: list[str] = []
    with tarfile.open(root / "shards" / "bench-000000.tar", "w") as archive:
        for person, other in (people, people[::-1]):
            video = dancer(IDS.index(person), COLOURS[person])[0]
            frames = root / "test_frames" / person
            frames.mkdir(parents=True)
            for number, frame in enumerate(video):
                cv2.imwrite(str(frames / f"{person}_frame_{number:03d}.png"), frame[..., ::-1])
            clothes = root / "lip_clothes_person" / person
            clothes.mkdir(parents=True)
            (clothes / "cloth_front.jpg").write_bytes(garment_png(COLOURS[person]))
            for garment in (person, other):
                lines.append(f"{person} {garment} {person}")
                members = sample(person, has_truth=False)
                members["target.png"] = garment_png(COLOURS[garment])
                record = json.loads(members["json"]) | {
                    "source": f"test_frames/{person}",
                    "paired": garment == person,
                    "bench_id": person if garment == person else f"{person}_{garment}",
                    "backends": {"densepose": {"name": "made by a test"}},
                }
                members["json"] = json.dumps(record).encode()
                for name, content in members.items():
                    info = tarfile.TarInfo(f"{person}_{garment}.{name}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    (root / "test_person_clothes_pose_tuple.txt").write_text("\n".join(lines))
    return root
