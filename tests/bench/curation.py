"""What curation costs: ``python -m tests.bench.curation [--media DIR] [--long 600]``.

CPU time of one core, so that a busy machine matters little; every ratio is of one run, its sides
taking turns. The clip is a tall 1080x1920 H.264 video of 8 Mbit/s, made on the spot; what a bare
decode costs, and so the first ratio, hangs on its rate.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from scenedetect import SceneManager, open_video
from scenedetect.detectors import AdaptiveDetector

from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.video.decode import decode, read_header
from datasets.video.reader import ReadNotes
from tests.curation import hostile

HEIGHT, WIDTH, FPS = 1920, 1080, 30.0
SMALL = (480, 270)  # of the clips whose length matters, not their size


def write_clip(path: Path, seconds: float, height: int, width: int, rate: str = "8M") -> Path:
    """A picture held by a hand, with fresh grain in every frame, H.264 at a phone video's rate."""
    rng = np.random.default_rng(0)
    room = cv2.GaussianBlur(hostile.ground(0, height, width), (0, 0), 1.5)
    grain = rng.normal(0, 5, (height + 64, width + 64, 1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=int(FPS), options={"b": rate})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = int(rate.removesuffix("M")) * 1_000_000
        for index in range(round(seconds * FPS)):
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2 * np.sin(index / 9), 1.05)
            turn[:, 2] += 12 * np.sin(index / 13), 20 * np.sin(index / 17)
            image = cv2.warpAffine(room, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
            top, left = rng.integers(0, 64, 2)
            noisy = image + grain[top : top + height, left : left + width]
            frame = av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_only(path: Path) -> None:
    """PyAV on one thread, frames thrown away."""
    for _ in decode(path, ReadNotes()):
        pass


def cheap_pass(path: Path) -> None:
    """All cheap signals and the detector's samples."""
    _, store = measure_source(path, FirstPassConfig(), read_header(path).sample_aspect)
    store.close()


def scenedetect_alone(path: Path) -> None:
    """PySceneDetect's own reading with its AdaptiveDetector, defaults."""
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(open_video(str(path), backend="opencv"))


def cpu_s(work: Callable[[Path], None], path: Path) -> float:
    """CPU seconds of this process, its threads included."""
    started = time.process_time()
    work(path)
    return time.process_time() - started


def compare(path: Path, repeats: int) -> dict[str, float]:
    """Median CPU seconds of each side, taking turns after a warm-up."""
    sides = {"decode only": decode_only, "one cheap pass": cheap_pass,
             "PySceneDetect Adaptive alone": scenedetect_alone}  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, work in sides.items():
            spent = cpu_s(work, path)
            if turn:
                taken[name].append(spent)
    return {name: statistics.median(values) for name, values in taken.items()}


def _peak(path: Path, pipe: Any) -> None:
    cv2.setNumThreads(1)
    cheap_pass(path)
    status = Path("/proc/self/status").read_text(encoding="ascii")  # ru_maxrss is the parent's
    pipe.send(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def peak_mb(path: Path) -> float:
    """Most memory that a process of its own held during the pass, in MiB (Linux)."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_peak, args=(path, theirs))
    process.start()
    peak = float(ours.recv())
    process.join()
    return peak


def main(argv: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the 1080x1920 clip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=float, default=600.0, help="seconds; beside ten")
    parser.add_argument("--file", type=Path, help="a video of your own in place of the made one")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.file or write_clip(folder / "tall.mp4", options.seconds, HEIGHT, WIDTH)
        frames = sum(1 for _ in decode(path, ReadNotes()))
        taken = compare(path, options.repeats)
        bare, ours = taken["decode only"], taken["one cheap pass"]
        alone = taken["PySceneDetect Adaptive alone"]
        megabits = 8 * path.stat().st_size / 1e6 / (frames / FPS)
        print(f"{path.name}: {frames} frames, about {megabits:.1f} Mbit/s\n")
        print("| one core | CPU ms a frame | frames a second |\n|---|---|---|")
        for side, spent in taken.items():
            print(f"| {side} | {1000 * spent / frames:.2f} | {frames / spent:.0f} |")
        print(f"\none cheap pass / decode only: {ours / bare:.2f} (at most 1.6)")
        print(f"one cheap pass / PySceneDetect Adaptive alone: {ours / alone:.2f} (at most 1.1)")
        short, long = (
            peak_mb(write_clip(folder / f"{seconds:g}.mp4", seconds, *SMALL, rate="1M"))
            for seconds in (10.0, options.long)
        )
        print(
            f"most memory, 10 s: {short:.0f} MiB, {options.long:g} s: {long:.0f} MiB, "
            f"{100 * (long / short - 1):+.0f}% (at most +15%)"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
