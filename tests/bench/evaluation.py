"""How long an evaluation takes, by part, beside a plain one that works as public scripts do.

    python -m tests.bench.evaluation [--videos 100] [--frames 64] [--stand-ins] [--baselines]

Plain: every metric opens both videos, converts all frames and measures, one metric after the other;
both VFID networks decode and resize for themselves. It computes the same metrics of the same files,
SSIM by torchmetrics. Ours: ``training.evaluate``'s engine, first method, then a second one on the
same benchmark. Weights are random: they cost what real ones cost. ``--stand-ins`` replaces the
three networks by tiny ones, to time everything else in minutes; the table says so.
"""

import argparse
import functools
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from einops import rearrange
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from datasets.benchmarks.benchmark import Benchmark
from datasets.labels import DensePosePart, ParseLabel
from datasets.tracks import encode_labels, encode_rgb_lossless, encode_video
from training.evaluation.config import EvaluationConfig
from training.evaluation.results import read_result
from training.evaluation.suite import MetricSuite
from training.evaluation.summary import summarise
from training.evaluation.timing import EvaluationTimes
from training.evaluation.workers import ItemScorer
from training.metrics.catalogue import METRICS
from training.metrics.i3d import InceptionI3d
from training.metrics.lpips import Lpips
from training.metrics.metric import VideoInputs
from training.metrics.protocols import get_protocol
from training.metrics.resnext3d import ResNeXt3d101

HEIGHT, WIDTH, FPS = 256, 192, 24.0
NETWORK_PARTS = ("network i3d", "network resnext", "metric lpips", "metric lpips_masked")
KINDS = {
    "frames": "decoding, converting, hashing",
    "ssim": "the same and SSIM (public scripts do no more beside their networks)",
    "all": "all metrics but the networks (most is the new metrics' own arithmetic, equal in both)",
}
BY_HAND = ("ssim", "ssim_masked", "lpips", "lpips_masked")


class StandIn(nn.Module):
    """Features of the right width for next to nothing."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.project = nn.Linear(3 * 4 * 4, num_features)

    def forward(self, clips: Tensor) -> Tensor:
        small = nn.functional.adaptive_avg_pool3d(clips, (1, 4, 4))
        return self.project(rearrange(small, "b c t h w -> b (t c h w)"))


class StandInLpips(Lpips):
    """Mean squared differences in the place of a backbone's."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)  # pyright: ignore[reportAttributeAccessIssue]

    def _layer_maps(self, first: Tensor, second: Tensor) -> list[Tensor]:
        return [nn.functional.avg_pool2d((first - second).square().mean(1, keepdim=True), 4)]


def make_suite(*, stand_ins: bool) -> MetricSuite:
    """All networks with random weights."""
    torch.manual_seed(0)
    names = ("i3d", "resnext", "alex")
    if stand_ins:
        lpips: Lpips = StandInLpips()
        networks: dict[str, nn.Module] = {"i3d": StandIn(1024), "resnext": StandIn(2048)}
    else:
        lpips = Lpips("alex", torchvision.models.alexnet(weights=None).state_dict())
        networks = {"i3d": InceptionI3d().eval(), "resnext": ResNeXt3d101().eval()}
    return MetricSuite(
        protocol=get_protocol("fixed"),
        lpips=lpips,
        networks=networks,
        sha256=dict.fromkeys(names, f"random, stand-ins {stand_ins}"),
        files=dict.fromkeys(names, "random weights"),
    )


def walker(number: int, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy room with a torso that walks, and where the torso is."""
    draw = np.random.default_rng(number)
    coarse = draw.integers(40, 220, (16, 12, 3)).astype(np.uint8)
    video = np.repeat(cv2.resize(coarse, (WIDTH, HEIGHT))[None], num_frames, axis=0)
    cloth = cv2.resize(draw.integers(0, 256, (12, 9, 3)).astype(np.uint8), (70, 100))
    torso = np.zeros(video.shape[:3], dtype=bool)
    for frame in range(num_frames):
        left = 40 + int(20 * np.sin(frame / 9 + number))
        video[frame, 80:180, left : left + 70] = cloth
        torso[frame, 80:180, left : left + 70] = True
    noise = draw.integers(-3, 4, video.shape, dtype=np.int16)
    return np.clip(video + noise, 0, 255).astype(np.uint8), torso


def garment_picture() -> np.ndarray:
    """One garment on white."""
    garment = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    garment[60:200, 40:150] = (180, 60, 40)
    return garment


def write_everything(root: Path, num_videos: int, num_frames: int) -> None:
    """A prepared benchmark, two methods' results, and the same videos as loose files."""
    for folder in ("bench/shards", "one", "two", "plain"):
        (root / folder).mkdir(parents=True)
    picture = cv2.imencode(".png", garment_picture()[..., ::-1])[1].tobytes()
    with tarfile.open(root / "bench" / "shards" / "bench-000000.tar", "w") as archive:
        for number in range(num_videos):
            name = f"v{number:03d}"
            video, torso = walker(number, num_frames)
            mask = np.stack([cv2.dilate(f.astype(np.uint8) * 255, np.ones((9, 9))) for f in torso])
            boxes = io.BytesIO()
            np.save(boxes, np.tile(np.array([20, 40, 170, 230], np.float32), (num_frames, 1)))
            parse = np.where(torso, ParseLabel.UPPER, ParseLabel.BACKGROUND).astype(np.uint8)
            iuv = np.full((num_frames, 112, 112, 3), (DensePosePart.TORSO_FRONT, 99, 99), np.uint8)
            record = {
                "num_frames": num_frames, "fps": FPS, "height": HEIGHT, "width": WIDTH,
                "category": "upper", "source": f"{name}.mp4", "source_sha256": name, "start_s": 0.0,
            }  # fmt: skip
            members = {
                "mp4": encode_video(video, FPS), "mask.mp4": encode_labels(mask, FPS),
                "parse.mp4": encode_labels(parse, FPS), "iuv.mp4": encode_rgb_lossless(iuv, FPS),
                "box.npy": boxes.getvalue(), "garment.png": picture,
                "json": json.dumps(record).encode(),
            }  # fmt: skip
            for extension, content in members.items():
                info = tarfile.TarInfo(f"{name}.{extension}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            (root / "plain" / f"{name}.mp4").write_bytes(members["mp4"])
            (root / "plain" / f"{name}.mask.mp4").write_bytes(members["mask.mp4"])
            for method, strength in (("one", 18), ("two", 9)):
                draw = np.random.default_rng(1000 * strength + number)
                fault = draw.integers(-strength, strength + 1, video.shape, dtype=np.int16)
                painted = np.where(mask[..., None] > 0, np.clip(video + fault, 0, 255), video)
                content = encode_video(painted.astype(np.uint8), FPS)
                (root / method / f"{name}.mp4").write_bytes(content)


def ours(root: Path, method: str, suite: MetricSuite, baselines: bool) -> dict[str, float]:
    """Seconds by part of one method's evaluation; the second finds what the first computed."""
    config = EvaluationConfig(
        bench="synthetic", root=str(root / "bench"), name=method, pred=str(root / method),
        pairings=["paired"], baselines=baselines, out=str(root / "eval"),
    )  # fmt: skip
    chosen = {"paired": Benchmark(root / "bench", "synthetic").ids("paired")}
    scorer = ItemScorer(config, chosen, suite=suite)
    watch = EvaluationTimes()
    items = [scorer.score("paired", index) for index in range(len(chosen["paired"]))]
    for item in items:
        watch.add(item.seconds)
    with watch.part("set distances and intervals"):
        summarise(method, items, suite)
    return dict(watch.seconds)


def plain(root: Path, method: str, suite: MetricSuite) -> dict[str, float]:
    """Seconds by part of one metric after the other, each from the files on."""
    watch = EvaluationTimes()
    names = sorted(path.stem for path in (root / method).iterdir())

    def read(path: Path) -> np.ndarray:
        with watch.part("decoding"):
            return read_result(path)

    def convert(frames: np.ndarray) -> Tensor:
        with watch.part("converting"):
            return torch.stack([torchvision.transforms.functional.to_tensor(f) for f in frames])

    assert suite.lpips is not None
    masked = {"ssim": False, "ssim_masked": True, "lpips": False, "lpips_masked": True}
    for key, needs_mask in masked.items():
        for name in names:
            result, truth = (
                read(root / method / f"{name}.mp4"),
                read(root / "plain" / f"{name}.mp4"),
            )
            where = read(root / "plain" / f"{name}.mask.mp4")[..., 0] > 127 if needs_mask else None
            first, second = convert(result), convert(truth)
            with watch.part(f"metric {key}"), torch.no_grad():
                if key.startswith("ssim"):
                    for one, other in zip(first, second, strict=True):
                        structural_similarity_index_measure(
                            one[None], other[None], data_range=1.0, return_full_image=needs_mask
                        )
                else:
                    everywhere = np.ones(result.shape[:3], dtype=bool)
                    suite.lpips.per_frame(result, truth, everywhere if where is None else where)
    for network, module in suite.networks.items():
        for side in (root / "plain", root / method):
            for name in names:
                frames = read(side / f"{name}.mp4")
                with watch.part("converting"):
                    resized = np.stack([cv2.resize(frame, (224, 224)) for frame in frames])
                tensor = convert(resized) * 2 - 1
                for start in range(0, len(tensor) - 9, 10):
                    clip = rearrange(tensor[start : start + 10], "t c h w -> 1 c t h w")
                    with watch.part(f"network {network}"), torch.no_grad():
                        module(clip)
    for metric in METRICS:
        if metric.compute is None or metric.key in BY_HAND:
            continue
        for name in names:
            result = read(root / method / f"{name}.mp4")
            truth = read(root / "plain" / f"{name}.mp4")
            mask = np.ascontiguousarray(read(root / "plain" / f"{name}.mask.mp4")[..., 0])
            inputs = VideoInputs(
                prediction=result, source=truth, truth=truth, mask=mask, garment_region=mask > 127,
                garment=garment_picture(), pairing="paired", protocol=suite.protocol,
            )  # fmt: skip
            with watch.part(f"metric {metric.key}"):
                metric.compute(inputs)
    return dict(watch.seconds)


def timed(work: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Wall-clock seconds, and those by part."""
    start = time.perf_counter()
    parts = work()
    return time.perf_counter() - start, parts


def seconds_of(parts: dict[str, float], kind: str) -> float:
    """Seconds of the parts of one kind, see KINDS."""
    if kind == "all":
        return sum(spent for name, spent in parts.items() if name not in NETWORK_PARTS)
    computing = ("network", "metric", "set distances")
    chosen = sum(spent for name, spent in parts.items() if not name.startswith(computing))
    if kind == "ssim":
        chosen += sum(spent for name, spent in parts.items() if name.startswith("metric ssim"))
    return chosen


def main() -> None:
    """Make the videos, evaluate thrice, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--stand-ins", action="store_true", help="tiny networks in place of three")
    parser.add_argument(
        "--baselines", action="store_true", help="ours scores the three baselines too, as make eval"
    )
    given = parser.parse_args()
    suite = make_suite(stand_ins=given.stand_ins)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_everything(root, given.videos, given.frames)
        runs = {
            "plain": timed(functools.partial(plain, root, "one", suite)),
            "ours": timed(functools.partial(ours, root, "one", suite, given.baselines)),
            "ours, second method": timed(
                functools.partial(ours, root, "two", suite, given.baselines)
            ),
        }
    networks = "tiny stand-ins for I3D, ResNeXt and AlexNet" if given.stand_ins else "real ones"
    table = Table(
        title=f"{given.videos} videos of {given.frames} frames at {HEIGHT}x{WIDTH}, paired; "
        f"networks: {networks}, random weights; {torch.get_num_threads()} threads on "
        f"{os.cpu_count()} cores, seconds"
    )
    table.add_column("part")
    for name in runs:
        table.add_column(name, justify="right")
    for part in sorted({part for _, parts in runs.values() for part in parts}):
        cells = [f"{parts[part]:.1f}" if part in parts else "" for _, parts in runs.values()]
        table.add_row(part, *cells)
    table.add_row("total", *[f"{total:.1f}" for total, _ in runs.values()])
    for kind, meaning in KINDS.items():
        spent = [seconds_of(parts, kind) for _, parts in runs.values()]
        table.add_row(meaning.partition(" (")[0], *[f"{seconds:.1f}" for seconds in spent])
    console = Console(width=120)
    console.print(table)
    for kind, meaning in KINDS.items():
        first, second = (seconds_of(runs[name][1], kind) for name in ("plain", "ours"))
        console.print(f"{meaning}: {first / second:.1f} times faster than plain")
    share = runs["ours, second method"][0] / runs["ours"][0]
    note = "; stand-ins cost nothing, so this says nothing" if given.stand_ins else ""
    rows = "with" if given.baselines else "without"
    console.print(f"a second method costs {share:.0%} of the first, {rows} baselines{note}")


if __name__ == "__main__":
    main()
