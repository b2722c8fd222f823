"""A finished clip as files: the members of its shard sample (written by datasets/tracks.py)."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from curation.clip import Clip, Tracks
from curation.stages.agnostic import agnostic_frames
from datasets.media_files import open_media
from datasets.tracks import encode_clip, encode_labels, encode_rgb_lossless


def encode_tracks(clip: Clip, tracks: Tracks, stored: bytes | None = None) -> dict[str, bytes]:
    """All members except ``json``, which is composed when shards are packed.

    Args:
        clip: the record.
        tracks: all of them.
        stored: the encoded canonical clip from which ``tracks.frames`` were read.

    Raises:
        ValueError: a track is missing or its length differs from the clip's.
    """
    video = tracks.frames
    mask, iuv, parse, boxes, garment, garment_mask = (
        _filled(clip, name, getattr(tracks, name))
        for name in ("mask", "iuv", "parse", "boxes", "garment", "garment_mask")
    )
    for name, track in (("iuv", iuv), ("boxes", boxes), ("parse", parse), ("mask", mask)):
        if not len(track) == len(video) == clip.num_frames:
            raise ValueError(
                f"clip {clip.clip_id}: {name} has {len(track)} entries, the video {len(video)}, "
                f"the record {clip.num_frames}"
            )
    assert clip.fps is not None
    box_file = io.BytesIO()
    np.save(box_file, boxes.astype(np.float32), allow_pickle=False)
    return {
        "mp4": encode_clip(video, clip.fps) if stored is None else stored,
        "parse.mp4": encode_labels(parse, clip.fps),
        "mask.mp4": encode_labels(mask, clip.fps),
        "iuv.mp4": encode_rgb_lossless(iuv, clip.fps),
        "box.npy": box_file.getvalue(),
        "agnostic.mp4": encode_clip(agnostic_frames(video, mask), clip.fps),
        "garment.png": encode_png(garment),
        "garment_mask.png": encode_png(garment_mask),
    }


def read_tracks(folder: Path) -> Tracks:
    """The inverse of ``encode_tracks``, without the people; frames are those of the stored clip."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return Tracks(
        frames=read_rgb(files["mp4"]),
        parse=read_gray(files["parse.mp4"]),
        mask=read_gray(files["mask.mp4"]),
        iuv=read_rgb(files["iuv.mp4"]),
        boxes=np.load(io.BytesIO(files["box.npy"]), allow_pickle=False),
        garment=cv2.cvtColor(_decode_png(files["garment.png"]), cv2.COLOR_BGR2RGB),
        garment_mask=_decode_png(files["garment_mask.png"])[..., 0],
    )


def read_rgb(track: bytes) -> np.ndarray:
    """Frames of a colour track, (t, height, width, 3) uint8 RGB; needs neither torch nor decord."""
    return _read(track, "rgb24")


def read_gray(track: bytes) -> np.ndarray:
    """Frames of a gray track, (t, height, width) uint8, losslessly."""
    return _read(track, "gray")


def _read(track: bytes, pixel_format: str) -> np.ndarray:
    """All frames in one array, filled frame by frame: a list of them would be twice the memory."""
    with open_media(io.BytesIO(track)) as container:
        count = container.streams.video[0].frames
    read, done = np.empty(0, np.uint8), 0
    for frame in decoded_frames(io.BytesIO(track), pixel_format):
        read = read if done else np.empty((count, *frame.shape), np.uint8)
        read[done] = frame
        done += 1
    assert done == count, "our tracks state their number of frames"
    return read


def decoded_frames(track: Path | io.BytesIO, pixel_format: str) -> Iterator[np.ndarray]:
    """The frames of a track's file or bytes, one after the other, on one thread."""
    with open_media(track) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            yield frame.to_ndarray(format=pixel_format)


def read_some(track: bytes, pixel_format: str, places: Sequence[float]) -> np.ndarray:
    """Frames of a track at ``places`` in 0..1 of its length, rising: (n, height, width, ...) uint8.

    Decodes from the keyframe before each, which in our tracks is at most 8 frames earlier.
    """
    chosen: list[np.ndarray] = []
    with open_media(io.BytesIO(track)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        length = stream.duration
        assert length is not None, "our tracks state it"
        for place in places:
            index = min(int(place * stream.frames), stream.frames - 1)
            stamp = -(-index * length // stream.frames)
            container.seek(stamp, stream=stream)
            frame = next(f for f in container.decode(stream) if (f.pts or 0) >= stamp)
            chosen.append(frame.to_ndarray(format=pixel_format))
    return np.stack(chosen)


def _decode_png(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, "encode_png wrote it"
    return image


def _filled(clip: Clip, name: str, track: np.ndarray | None) -> np.ndarray:
    if track is None:
        raise ValueError(f"clip {clip.clip_id} has no {name}: a stage did not fill it")
    return track


def encode_png(image: np.ndarray) -> bytes:
    """PNG of (height, width, 3) RGB or (height, width) uint8."""
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    is_written, data = cv2.imencode(".png", stored)
    assert is_written, "OpenCV writes PNG"
    return data.tobytes()


def read_picture(path: Path) -> np.ndarray:
    """A picture file, (height, width, 3) uint8 BGR.

    Raises:
        DataError: the file is not a picture.
    """
    from datasets.pictures import read_picture  # Pillow: workers that only judge start without it

    return np.ascontiguousarray(read_picture(path)[0][..., ::-1])
