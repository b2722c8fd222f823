"""Windows of clips: T frames at a stride, decoded and brought to the model's resolution.

Nothing is squashed: frames are scaled to cover the resolution and cut at the centre, garments are
scaled to lie within it on their own ground. Tracks stay uint8 until ``to_sample``.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from datasets.densepose import paste_iuv, render_densepose
from datasets.parts import GARMENT_LABELS
from datasets.sample import TryOnSample
from datasets.shards import ShardSample
from datasets.swapping import swap_mask
from datasets.tracks import read_frames, read_labels


@dataclass(frozen=True, kw_only=True)
class Window:
    """Frames ``start, start + stride, ...`` of a clip."""

    start: int
    stride: int
    num_frames: int

    @property
    def indices(self) -> list[int]:
        """Positions in the clip's tracks."""
        return [self.start + self.stride * index for index in range(self.num_frames)]


@dataclass(frozen=True, kw_only=True)
class ClipTracks:
    """Frames of one clip at the model's resolution."""

    video: UInt8[np.ndarray, "t h w 3"]
    mask: UInt8[np.ndarray, "t h w"]  # 255 = to be painted
    densepose: UInt8[np.ndarray, "t h w 3"]  # rendered
    garment: UInt8[np.ndarray, "h w 3"]
    garment_share: UInt8[np.ndarray, "t h w"] | None = None  # 255: all of the pixel is garment
    garment_picture_share: UInt8[np.ndarray, "h w"] | None = None  # the same for the picture

    def select(self, indices: Sequence[int]) -> "ClipTracks":
        """Some of the frames; the garment stays."""
        rows = list(indices)
        share = self.garment_share
        return replace(
            self,
            video=self.video[rows],
            mask=self.mask[rows],
            densepose=self.densepose[rows],
            garment_share=None if share is None else share[rows],
        )

    @property
    def num_bytes(self) -> int:
        """Memory that the tracks take."""
        values = (getattr(self, field.name) for field in fields(self))
        return sum(track.nbytes for track in values if track is not None)


def choose_window(
    clip_frames: int, num_frames: int, strides: Sequence[int], random: np.random.Generator
) -> Window:
    """Draw a stride that the clip is long enough for, then a start.

    Several strides are trained because the key frames of interpolated auto-regression lie far
    apart. The caller keeps out clips too short for the smallest stride.
    """
    fitting = [stride for stride in strides if (num_frames - 1) * stride < clip_frames]
    if not fitting:
        raise ValueError(
            f"{num_frames} frames at stride {min(strides)} do not fit into a clip of {clip_frames}"
        )
    stride = int(fitting[int(random.integers(len(fitting)))])
    start = int(random.integers(clip_frames - (num_frames - 1) * stride))
    return Window(start=start, stride=stride, num_frames=num_frames)


def centre_window(clip_frames: int, num_frames: int, strides: Sequence[int]) -> Window:
    """The middle of a clip at the smallest stride: what validation looks at."""
    stride = min(strides)
    start = (clip_frames - 1 - (num_frames - 1) * stride) // 2
    return Window(start=start, stride=stride, num_frames=num_frames)


def decode_tracks(
    sample: ShardSample, indices: Sequence[int] | None, height: int, width: int
) -> ClipTracks:
    """Decode some frames of a sample (all when indices is None) at a resolution.

    DensePose is stored on the head's own grid: it is pasted into the stored frame, rendered, and
    only then scaled, so that it is cut exactly as the video is.
    """
    files = sample.files
    video = read_frames(files["mp4"], indices)
    mask = read_labels(files["mask.mp4"], indices)
    iuv = read_frames(files["iuv.mp4"], indices)
    boxes = np.load(io.BytesIO(files["box.npy"]), allow_pickle=False)
    if indices is not None:
        boxes = boxes[list(indices)]
    lengths = {"mp4": len(video), "mask.mp4": len(mask), "iuv.mp4": len(iuv), "box.npy": len(boxes)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"sample {sample.key!r} has tracks of unequal lengths: {lengths}")
    rendered = render_densepose(paste_iuv(iuv, boxes, video.shape[1], video.shape[2]))
    return ClipTracks(
        video=fit_frames(video, height, width),
        mask=fit_masks(mask, height, width),
        densepose=fit_frames(rendered, height, width),
        garment=fit_garment(decode_image(files["garment.png"]), height, width),
    )


def with_garment_region(
    tracks: ClipTracks, sample: ShardSample, indices: Sequence[int] | None
) -> ClipTracks:
    """Add where the garment is, from the sample's label map and garment mask."""
    height, width = tracks.video.shape[1:3]
    labels = GARMENT_LABELS[sample.record.get("category", "upper")]
    parse = read_labels(sample.files["parse.mp4"], indices)
    worn = np.where(np.isin(parse, labels), 255, 0).astype(np.uint8)
    picture = np.repeat(decode_image(sample.files["garment_mask.png"])[..., :1], 3, axis=-1)
    return replace(
        tracks,
        garment_share=np.stack([_cover(frame, height, width) for frame in worn]),
        garment_picture_share=fit_garment(picture, height, width)[..., 0],
    )


def to_sample(key: str, tracks: ClipTracks, known: Bool[Tensor, " t"]) -> TryOnSample:
    """Tracks as a sample in the network's ranges, with the condition of known frames swapped."""
    mask = torch.from_numpy(tracks.mask > 127).to(torch.float32)
    return TryOnSample(
        key=key,
        video=_to_signed(tracks.video),
        mask=swap_mask(rearrange(mask, "t h w -> t 1 h w"), known),
        densepose=_to_signed(tracks.densepose),
        garment=_to_signed(tracks.garment[None])[0],
        known=known,
    )


def fit_frames(
    frames: UInt8[np.ndarray, "t h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Scale frames to cover (height, width) and cut at the centre."""
    return np.stack([_cover(frame, height, width) for frame in frames])


def fit_masks(
    masks: UInt8[np.ndarray, "t h w"], height: int, width: int
) -> UInt8[np.ndarray, "t h2 w2"]:
    """The same for masks: a pixel is painted (255) if any part of it was."""
    covered = [_cover(np.where(mask > 127, 255, 0).astype(np.uint8), height, width)
               for mask in masks]  # fmt: skip
    return np.where(np.stack(covered) > 0, 255, 0).astype(np.uint8)


def fit_garment(
    garment: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Scale a garment picture to lie within (height, width), on the colour of its own corner."""
    scale = min(height / garment.shape[0], width / garment.shape[1])
    inner_height = min(height, max(1, round(garment.shape[0] * scale)))
    inner_width = min(width, max(1, round(garment.shape[1] * scale)))
    inner = _resize(garment, inner_height, inner_width)
    fitted = np.empty((height, width, 3), dtype=np.uint8)
    fitted[:] = garment[0, 0]
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    fitted[top : top + inner_height, left : left + inner_width] = inner
    return fitted


def decode_image(content: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """An encoded picture as RGB."""
    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("the bytes are no picture")
    return np.ascontiguousarray(image[..., ::-1])


def _cover(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    scale = max(height / frame.shape[0], width / frame.shape[1])
    outer_height = max(height, round(frame.shape[0] * scale))
    outer_width = max(width, round(frame.shape[1] * scale))
    outer = _resize(frame, outer_height, outer_width)
    top, left = (outer_height - height) // 2, (outer_width - width) // 2
    return outer[top : top + height, left : left + width]


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation)


def _to_signed(frames: UInt8[np.ndarray, "t h w 3"]) -> Float[Tensor, "t 3 h w"]:
    signed = torch.from_numpy(frames.astype(np.float32) / 127.5 - 1.0)
    return rearrange(signed, "t h w c -> t c h w").contiguous()
