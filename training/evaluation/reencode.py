"""Re-encodes frames with H.264, as public code sees them; only for protocols that ask for it.

CatV2TON's results and ground truth are mp4 files written by torchvision's ``write_video`` with its
defaults: libx264, yuv420p, and no options, which is libx264's own crf 23 and preset medium.
"""

import io
from fractions import Fraction

import av
import numpy as np
from jaxtyping import UInt8

from datasets.media_files import open_media

# With assembly, libx264 is not deterministic on small frames (seen at 96x64 and 128x96, with one
# thread). Without it, it is, but four times slower.
OPTIONS: dict[str, object] = {"crf": "23", "preset": "medium", "x264-params": "asm=0"}
FPS = 24  # write_video is called with 24; the rate hardly affects the pictures


def reencode_x264(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t h w 3"]:
    """RGB frames after libx264 at crf 23, preset medium, yuv420p.

    One encoder thread and no assembly: every call and every worker gets the same pictures.

    Raises:
        ValueError: a side is odd, which yuv420p cannot hold.
    """
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"frames of {height}x{width}: yuv420p needs even sides")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = OPTIONS
        stream.codec_context.thread_count = 1
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with open_media(buffer) as written:
        decoded = [frame.to_ndarray(format="rgb24") for frame in written.decode(video=0)]
    assert len(decoded) == len(frames)
    return np.stack(decoded)
