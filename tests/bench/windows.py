"""What a random 16-frame window costs, read as training reads it, by the distance of key frames.

    python -m tests.bench.windows [VIDEO]     # without one: a rendered dancer of 20 s

The same frames are encoded as ``datasets.tracks`` does (a key frame every 8), the same with one
every 250, and by x264's own defaults (every 250, B frames, deblocking). decord opens the track anew
for every window, as in training. CPU time of this process; opening alone is printed beside it.
"""

import io
import sys
import time
from pathlib import Path

import numpy as np
import torch  # noqa: F401  (decord must be imported after torch)

from datasets.synthetic import draw_clip, render_clip
from datasets.tracks import GOP_FRAMES, VIDEO_OPTIONS, encode_video

WINDOW, NUM_WINDOWS, NUM_FRAMES, FPS = 16, 40, 600, 30.0
ENCODINGS: dict[str, dict[str, str]] = {
    f"key frame every {GOP_FRAMES}": VIDEO_OPTIONS,
    "key frame every 250": {**VIDEO_OPTIONS, "g": "250", "keyint_min": "250"},
    "x264's defaults": {"crf": "18", "movflags": "+faststart"},
}


def read_video(path: Path) -> list[np.ndarray]:
    """Up to NUM_FRAMES frames, at most 512 pixels high."""
    import av
    import cv2

    frames: list[np.ndarray] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            scale = min(1.0, 512 / max(image.shape[:2]))
            size = int(image.shape[1] * scale) // 16 * 16, int(image.shape[0] * scale) // 16 * 16
            frames.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            if len(frames) == NUM_FRAMES:
                break
    return frames


def encode(frames: list[np.ndarray], options: dict[str, str]) -> bytes:
    """The frames with these options of x264."""
    usual = dict(VIDEO_OPTIONS)
    try:
        VIDEO_OPTIONS.clear()
        VIDEO_OPTIONS.update(options)
        return encode_video(frames, FPS)
    finally:
        VIDEO_OPTIONS.clear()
        VIDEO_OPTIONS.update(usual)


def cpu_ms(track: bytes, starts: np.ndarray, *, is_read: bool = True) -> float:
    """Mean CPU milliseconds of a window, the reader's opening with it; or of opening alone."""
    from decord import VideoReader

    started = time.process_time()
    for start in starts:
        reader = VideoReader(io.BytesIO(track), num_threads=1)
        if is_read:
            reader.get_batch(list(range(start, start + WINDOW))).asnumpy()
    return (time.process_time() - started) * 1000 / len(starts)


def main(argv: list[str]) -> None:
    """Print the two costs and their ratio."""
    if argv:
        frames = read_video(Path(argv[0]))
    else:
        half = NUM_FRAMES // 2
        spec = draw_clip(0, "train", 1, height=512, width=384, num_frames=half, fps=FPS)
        frames = list(render_clip(spec).frames)
        frames += frames[::-1]
    starts = np.random.default_rng(0).integers(0, len(frames) - WINDOW + 1, NUM_WINDOWS)
    print(f"{len(frames)} frames of {frames[0].shape[1]}x{frames[0].shape[0]}, {WINDOW} a window")
    ours = None
    for name, options in ENCODINGS.items():
        track = encode(frames, dict(options))
        cpu_ms(track, starts[:2])  # warm
        cost, opening = cpu_ms(track, starts), cpu_ms(track, starts, is_read=False)
        ours = cost if ours is None else ours
        print(
            f"{name:20s} {cost:7.1f} CPU ms a window, {opening:5.1f} of them opening, "
            f"{len(track) / 2**20:6.2f} MiB, {cost / ours:5.2f}x"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
