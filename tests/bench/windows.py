"""What a random 16-frame window costs, read as training reads it, by the distance of key frames.

    python -m tests.bench.windows [VIDEO]     # without one: a rendered dancer of 20 s

The same frames are encoded as ``datasets.tracks`` does (a key frame every 8), with one every 4, the
same with one every 250, and by x264's own defaults (every 250, B frames, deblocking): the clip as
it comes. Each track is opened anew for every window, as in training, by decord, which training
uses, and by PyAV and (where it imports) torchcodec, which give the same pixels. CPU time of this
process; opening alone is printed beside it. The bar: the first row costs at most a sixth of the
last one.
"""

import io
import sys
import time
from pathlib import Path

import numpy as np
import torch  # decord must be imported after it

from datasets.synthetic.dataset import draw_clip, render_clip
from datasets.tracks import GOP_FRAMES, VIDEO_OPTIONS, encode_video

WINDOW, NUM_WINDOWS, NUM_FRAMES, FPS = 16, 40, 600, 30.0
ENCODINGS: dict[str, dict[str, str]] = {
    f"key frame every {GOP_FRAMES}": VIDEO_OPTIONS,
    "key frame every 4": {**VIDEO_OPTIONS, "g": "4", "keyint_min": "4"},
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


def read_by_decord(track: bytes, start: int | None) -> np.ndarray | None:
    """A window's frames (WINDOW, height, width, 3); None: opened only."""
    from decord import VideoReader

    reader = VideoReader(io.BytesIO(track), num_threads=1)
    if start is None:
        return None
    return reader.get_batch(list(range(start, start + WINDOW))).asnumpy()


def read_by_pyav(track: bytes, start: int | None) -> np.ndarray | None:
    """The same by PyAV, in one thread: to the key frame before, then on to the window."""
    import av

    with av.open(io.BytesIO(track)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        if start is None:
            return None
        assert stream.average_rate is not None
        assert stream.time_base is not None
        first = round(float(start / stream.average_rate / stream.time_base))
        container.seek(first, stream=stream)
        frames: list[np.ndarray] = []
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= first:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == WINDOW:
                break
    return np.stack(frames)


def read_by_torchcodec(track: bytes, start: int | None) -> np.ndarray | None:
    """The same by torchcodec, in one thread."""
    from torchcodec.decoders import VideoDecoder

    reader = VideoDecoder(track, num_ffmpeg_threads=1, dimension_order="NHWC")
    return None if start is None else reader.get_frames_in_range(start, start + WINDOW).data.numpy()


READERS = {"decord": read_by_decord, "PyAV": read_by_pyav}


def cpu_ms(
    tracks: dict[str, bytes], starts: np.ndarray, rounds: int = 5
) -> dict[tuple[str, str, bool], float]:
    """CPU milliseconds of a window by encoding, reader, and whether frames are read after opening.

    All take turns, so that a busy machine is busy for each of them; the best round counts.
    """
    best: dict[tuple[str, str, bool], float] = {}
    for _ in range(rounds):
        for name, track in tracks.items():
            for reader, read in READERS.items():
                for is_read in (True, False):
                    started = time.process_time()
                    for start in starts:
                        read(track, int(start) if is_read else None)
                    cost = (time.process_time() - started) * 1000 / len(starts)
                    key = (name, reader, is_read)
                    best[key] = min(best.get(key, cost), cost)
    return best


def main(argv: list[str]) -> None:
    """Print the costs of each encoding and reader, and how often ours goes into them."""
    torch.set_num_threads(1)
    try:
        import torchcodec.decoders  # noqa: F401  (no dependency of ours: it needs FFmpeg's libraries)
    except (ImportError, OSError, RuntimeError):
        print("torchcodec does not import here")
    else:
        READERS["torchcodec"] = read_by_torchcodec
    if argv:
        frames = read_video(Path(argv[0]))
    else:
        half = NUM_FRAMES // 2
        spec = draw_clip(0, "train", 1, height=512, width=384, num_frames=half, fps=FPS)
        frames = list(render_clip(spec).frames)
        frames += frames[::-1]
    starts = np.random.default_rng(0).integers(0, len(frames) - WINDOW + 1, NUM_WINDOWS)
    print(f"{len(frames)} frames of {frames[0].shape[1]}x{frames[0].shape[0]}, {WINDOW} a window")
    tracks = {name: encode(frames, dict(options)) for name, options in ENCODINGS.items()}
    for track in tracks.values():
        pixels = [read(track, int(starts[0])) for read in READERS.values()]
        assert all(np.array_equal(pixels[0], other) for other in pixels[1:])
    costs = cpu_ms(tracks, starts)
    ours = next(iter(tracks))
    for name, track in tracks.items():
        cells = [
            f"{reader} {costs[name, reader, True]:5.1f} CPU ms, "
            f"{costs[name, reader, False]:4.1f} of it opening, "
            f"{costs[name, reader, True] / costs[ours, reader, True]:4.1f}x"
            for reader in READERS
        ]
        print(f"{name:20s} {len(track) / 2**20:6.2f} MiB; " + "; ".join(cells), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
