"""Try-on of whole videos: memory and resume of a long one; speed against the plain reading.

    python -m tests.bench.tryon memory --checkpoint C [--seconds 10 60] [--steps 2] [--out FOLDER]
    python -m tests.bench.tryon kills --checkpoint C [--seconds 60] [--kills 8] [--seed 0]
    python -m tests.bench.tryon speed --checkpoint C [--seconds 10] [--plain-steps 100] [--steps 20]

``memory`` renders dancers with sound, dresses them by ``python -m inference.tryon`` and looks at
each process's peak, and at length, rate and sound of what comes out. ``kills`` kills such a job at
random moments, goes on each time, and compares the bytes with an unbroken one. ``speed`` paints the
latents of one video: plain (100 ancestral steps, everything anew in every call, windows one by
one), ours at equal steps of the same solver, and our defaults. What is compared, and how to read
it: docs/performance.md.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from datasets.synthetic.cast import draw_clip, draw_target_garment
from datasets.synthetic.clips import render_frames, render_garment
from inference.out_path import work_path
from inference.sampling.long_video import LongVideoConfig
from tests.bench.tryon_kills import Steps, draw_moments, kill_at

FPS = 12


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.tryon",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=("memory", "kills", "speed"))
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--seconds", type=float, nargs="+", help="of video")
    parser.add_argument("--steps", type=int, help="of ours; speed: 20, others: 2")
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--plain-steps", type=int, default=100)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 192), help="height width")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/tryon"))
    given = parser.parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"memory": run_memory, "kills": run_kills, "speed": run_speed}[given.part](given)
    path = given.out / f"{given.part}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


# --- memory and resume -------------------------------------------------------------------------


def run_memory(given: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a short and a long video, and what became of length, rate and sound."""
    lengths = sorted(given.seconds or (10.0, 60.0))
    garment = given.out / "garment.png"
    write_garment(garment, tuple(given.size))
    rows = []
    for seconds in lengths:
        video = given.out / f"dancer-{seconds:g}s.mp4"
        if not video.is_file():
            render_dancer(video, seconds, tuple(given.size))
        result = given.out / f"result-{seconds:g}s.mp4"
        forget(result)
        start = time.perf_counter()
        peak = dress(video, garment, result, given.checkpoint, given.steps or 2)
        taken = time.perf_counter() - start
        rows.append({
            "video_s": seconds, "peak_mib": round(peak / 1024, 1), "seconds": round(taken, 1),
            **compare(video, result),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return {
        "videos": rows,
        "peak_ratio": rows[-1]["peak_mib"] / rows[0]["peak_mib"],
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }


def run_kills(given: argparse.Namespace) -> dict[str, Any]:
    """A job that is killed again and again at random moments, against the unbroken one."""
    seconds = (given.seconds or [60.0])[0]
    garment, video = given.out / "garment.png", given.out / f"dancer-{seconds:g}s.mp4"
    write_garment(garment, tuple(given.size))
    if not video.is_file():
        render_dancer(video, seconds, tuple(given.size))
    whole, broken = given.out / f"result-{seconds:g}s.mp4", given.out / "broken.mp4"
    for result in (whole, broken):
        forget(result)
    dress(video, garment, whole, given.checkpoint, given.steps or 2)
    window = window_of(given.checkpoint)
    steps = Steps.of(round(seconds * FPS), window, LongVideoConfig(), whole)
    words = command(video, garment, broken, given.checkpoint, given.steps or 2)
    killed = []
    for moment in draw_moments(steps, given.kills, given.seed):
        killed.append({**asdict(moment), "killed": kill_at(moment, words, broken)})
        print(killed[-1], flush=True)
    dress(video, garment, broken, given.checkpoint, given.steps or 2)
    return {
        "video_s": seconds, "steps": asdict(steps), "kills": killed, "seed": given.seed,
        "same_bytes_after_kills": digest(broken) == digest(whole), **compare(video, broken),
    }  # fmt: skip


def window_of(checkpoint: Path) -> int:
    """Frames that a checkpoint's network sees at once."""
    import torch

    stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return int(stored["system"]["num_frames"])


def render_dancer(path: Path, seconds: float, size: tuple[int, int]) -> None:
    """A dancer of the benchmark with a tone for sound, frame by frame."""
    import av

    spec = draw_clip(
        7, "bench", 0, height=size[0], width=size[1], num_frames=round(seconds * FPS), fps=FPS
    )
    with av.open(str(path.with_suffix(".part.mp4")), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "14"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        for frame, _ in render_frames(spec):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        total = round(seconds * 44_100)
        for start in range(0, total, 1024):
            times = np.arange(start, min(start + 1024, total)) / 44_100
            tone = (0.2 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[None]
            block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            block.sample_rate, block.pts = 44_100, start
            block.time_base = Fraction(1, 44_100)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    path.with_suffix(".part.mp4").replace(path)


def write_garment(path: Path, size: tuple[int, int]) -> None:
    import cv2

    spec = draw_clip(7, "bench", 0, height=size[0], width=size[1], num_frames=2, fps=FPS)
    picture = render_garment(draw_target_garment(spec), *size)
    cv2.imwrite(str(path), picture[..., ::-1])


def command(video: Path, garment: Path, out: Path, checkpoint: Path, steps: int) -> list[str]:
    return [
        sys.executable, "-m", "inference.tryon", "configs/demo/tryon.yaml",
        f"checkpoint={checkpoint}", f"video={video}", f"garment={garment}", f"out={out}",
        f"sampler.num_steps={steps}",
    ]  # fmt: skip


def dress(video: Path, garment: Path, out: Path, checkpoint: Path, steps: int) -> int:
    """Run try-on; the process's peak resident memory in KiB."""
    words = command(video, garment, out, checkpoint, steps)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with exit code {process.returncode}")
    return usage.ru_maxrss


def forget(result: Path) -> None:
    result.unlink(missing_ok=True)
    shutil.rmtree(work_path(result), ignore_errors=True)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compare(source: Path, result: Path) -> dict[str, Any]:
    """Frames, rate and sound of both."""
    shown = [describe(path) for path in (source, result)]
    return {"frames": shown[1]["frames"], "rate": shown[1]["rate"], "same": shown[0] == shown[1]}


def describe(path: Path) -> dict[str, Any]:
    import av

    with av.open(str(path)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        stamps, packets = [], []
        for packet in container.demux(picture, sound):
            if packet.dts is None or packet.pts is None:
                continue
            if packet.stream is picture:
                stamps.append(round(float(packet.pts * packet.time_base), 4))
            else:
                packets.append(hashlib.sha256(bytes(packet)).hexdigest())
        return {
            "frames": len(stamps), "times": sorted(stamps), "rate": str(picture.average_rate),
            "size": (picture.height, picture.width), "sound": packets,
        }  # fmt: skip


# --- speed -------------------------------------------------------------------------------------


def run_speed(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds and operations a frame: plain, ours at equal steps, our defaults, and SSIM."""
    import torch

    from curation.perception.config import PerceptionConfig
    from curation.perception.select import choose_perception
    from inference.conditions.garment import prepare_garment
    from inference.pipeline import TryOnPipeline
    from inference.sampling.latent_video import paint_video
    from inference.sampling.solvers import SamplerConfig
    from tests.bench.cases import build_plain
    from tests.plain.sampling import paint_plain

    seconds = (given.seconds or [10.0])[0]
    video, picture = given.out / f"dancer-{seconds:g}s.mp4", given.out / "garment.png"
    if not video.is_file():
        render_dancer(video, seconds, tuple(given.size))
    write_garment(picture, tuple(given.size))
    pipeline = TryOnPipeline.from_checkpoint(
        given.checkpoint,
        device="cpu",
        perception=choose_perception(PerceptionConfig(kind="embedded")),
    )
    painter = pipeline.painter
    system, config = painter.system, painter.system.config
    conditions = pipeline.prepare(video, work=given.out / "work")
    control = torch.cat(
        [
            painter.encode_frames(images, tracks.mask, tracks.iuv)
            for _, images, _, tracks in conditions.cuts()
        ],
        dim=1,
    )
    num_frames = control.shape[1]
    garment = prepare_garment(picture, config.height, config.width).picture
    plain = build_plain(system.network, torch.device("cpu"))
    caption, _ = system.captions(1)
    signed = torch.from_numpy(garment.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    garment_latents = system.codec.encode_images(signed)
    window = config.num_frames
    long_video = painter.long_video
    ours = SamplerConfig(num_steps=given.steps or SamplerConfig().num_steps)
    slow = SamplerConfig(solver="ancestral", num_steps=given.plain_steps)

    def textbook(sampler: SamplerConfig) -> torch.Tensor:
        return paint_plain(
            plain, system.diffusion, sampler, long_video, window, caption, garment_latents,
            control, 5,
        )  # fmt: skip

    def mine(sampler: SamplerConfig) -> torch.Tensor:
        with torch.no_grad():
            seen = painter.garment_conditions(garment)
            return paint_video(system, control, seen, sampler, long_video, 5)

    cases = {
        "plain, ancestral": (textbook, slow),
        "plain, the default's solver and steps": (textbook, ours),
        "default": (mine, ours),
        "default, reuse: control": (mine, SamplerConfig(num_steps=ours.num_steps, reuse="control")),
        "default, reuse: blocks": (mine, SamplerConfig(num_steps=ours.num_steps, reuse="blocks")),
    }
    kept, rows = {}, {}
    for paint, sampler in cases.values():  # what is slow only once: imports, first calls
        paint(replace(sampler, num_steps=2))
    for name, (paint, sampler) in cases.items():
        start, cpu = time.perf_counter(), time.process_time()
        kept[name] = paint(sampler)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        flops = count_flops(paint, sampler)
        rows[name] = {
            "solver": sampler.solver, "steps": sampler.num_steps,
            "seconds_a_frame": wall / num_frames, "cpu_seconds_a_frame": cpu / num_frames,
            "gflop_a_frame": flops / num_frames / 1e9,
        }  # fmt: skip
        print(name, rows[name], flush=True)
    videos = {name: painter.decode_frames(latents) for name, latents in kept.items()}
    for name, row in rows.items():
        for other in ("plain, ancestral", "plain, the default's solver and steps", "default"):
            row[f"SSIM with {other}"] = similarity(videos[name], videos[other])
    first, equal = rows["plain, ancestral"], rows["plain, the default's solver and steps"]
    default = rows["default"]
    difference = (kept["default"] - kept["plain, the default's solver and steps"]).abs().max()
    return {
        "video_s": seconds, "frames": num_frames, "size": [config.height, config.width],
        "threads": torch.get_num_threads(), "rows": rows,
        "times_as_fast_at_equal_steps": equal["seconds_a_frame"] / default["seconds_a_frame"],
        "times_as_fast_in_all": first["seconds_a_frame"] / default["seconds_a_frame"],
        "largest_difference_at_equal_steps": float(difference / kept["default"].abs().max()),
    }  # fmt: skip


def count_flops(paint: Callable[[Any], object], sampler: Any) -> float:
    """Of a whole walk; with equal steps, two short ones tell what a step takes."""
    from torch.utils.flop_counter import FlopCounterMode

    def count(num_steps: int) -> float:
        with FlopCounterMode(display=False) as counter:
            paint(replace(sampler, num_steps=num_steps))
        return float(counter.get_total_flops())

    if sampler.reuse != "none":
        return count(sampler.num_steps)
    two, three = count(2), count(3)
    return two + (sampler.num_steps - 2) * (three - two)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two videos (t, h, w, 3) uint8."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    videos = [torch.from_numpy(video).permute(0, 3, 1, 2).float() for video in (first, second)]
    value = structural_similarity_index_measure(videos[0], videos[1], data_range=255.0)
    assert isinstance(value, torch.Tensor)
    return float(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
