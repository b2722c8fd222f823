"""A finished clip as files: the members of its shard sample (datasets/tracks.py writes them)."""

import io
from pathlib import Path

import cv2
import numpy as np

from configs.errors import DataError
from curation.clip import Clip, Tracks
from curation.stages.agnostic import agnostic_frames
from datasets.tracks import encode_labels, encode_rgb_lossless, encode_video


def encode_tracks(clip: Clip, tracks: Tracks) -> dict[str, bytes]:
    """All members but ``json``, which is composed when shards are packed.

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
        "mp4": encode_video(video, clip.fps),
        "parse.mp4": encode_labels(parse, clip.fps),
        "mask.mp4": encode_labels(mask, clip.fps),
        "iuv.mp4": encode_rgb_lossless(iuv, clip.fps),
        "box.npy": box_file.getvalue(),
        "agnostic.mp4": encode_video(agnostic_frames(video, mask), clip.fps),
        "garment.png": encode_png(garment),
        "garment_mask.png": encode_png(garment_mask),
    }


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
        DataError: the file is no picture.
    """
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise DataError(f"{path} is not a picture that can be read; PNG and JPEG are accepted")
    return image


def place_garment(path: Path, height: int, width: int) -> bytes:
    """A garment's picture as PNG of (height, width), centred, nothing squashed.

    Raises:
        DataError: the file is no picture.
    """
    image = read_picture(path)
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, size, interpolation=method)
    placed = np.full((height, width, 3), _border_colour(small), dtype=np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    placed[top : top + size[1], left : left + size[0]] = small
    return encode_png(cv2.cvtColor(placed, cv2.COLOR_BGR2RGB))


def _border_colour(image: np.ndarray) -> np.ndarray:
    """The ground of a product picture goes on around it: the median of its border."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.median(border, axis=0).astype(np.uint8)
