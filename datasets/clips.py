"""Windows of clips: T frames at a stride, decoded and resized to the model's resolution.

Aspect ratios are kept: frames are scaled to cover the resolution and centre-cropped, garments are
scaled to fit into it on their own background. Tracks stay bytes until they are on the device.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from datasets.densepose import DensePoseGrids, grid_rows_columns
from datasets.labels import GARMENT_LABELS
from datasets.pictures import decode_picture
from datasets.places import CELL, match_places, outline_of, picture_body, refine_places
from datasets.sample import PoseLookup, TryOnSample
from datasets.shards import ShardSample
from datasets.tracks import read_counted, read_frames, read_labels


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
    pose: DensePoseGrids
    garment: UInt8[np.ndarray, "h2 w2 3"]
    outline: UInt8[np.ndarray, "16 12"]  # of the garment in its picture
    garment_share: UInt8[np.ndarray, "t h w"] | None = None  # 255: the whole pixel is garment
    garment_picture_share: UInt8[np.ndarray, "h2 w2"] | None = None  # the same for the picture
    places: Float[np.ndarray, "t y x 3"] | None = None  # ``with_places``

    @property
    def iuv(self) -> UInt8[np.ndarray, "t h w 3"]:
        """DensePose at the size of the frames."""
        return self.pose.frames(*self.video.shape[1:3])

    def select(self, indices: Sequence[int]) -> "ClipTracks":
        """A subset of the frames; the garment stays the same."""
        rows = list(indices)
        share, places = self.garment_share, self.places
        return replace(
            self,
            video=self.video[rows],
            mask=self.mask[rows],
            pose=self.pose.select(rows),
            garment_share=None if share is None else share[rows],
            places=None if places is None else places[rows],
        )

    @property
    def num_bytes(self) -> int:
        """Memory used by the tracks."""
        values = [getattr(self, field.name) for field in fields(self)] + [self.pose.iuv]
        return sum(getattr(track, "nbytes", 0) for track in values)


def choose_window(
    clip_frames: int,
    num_frames: int,
    strides: Sequence[int],
    random: np.random.Generator,
) -> Window:
    """Draw a stride that the clip is long enough for, then a start.

    Several strides are trained because the key frames of interpolated auto-regression are far
    apart. The caller excludes clips too short for the smallest stride.
    """
    fitting = [stride for stride in strides if (num_frames - 1) * stride < clip_frames]
    if not fitting:
        raise ValueError(
            f"{num_frames} frames at stride {min(strides)} do not fit into a clip of {clip_frames}"
        )
    stride = int(fitting[int(random.integers(len(fitting)))])
    start = int(random.integers(clip_frames - (num_frames - 1) * stride))
    return Window(start=start, stride=stride, num_frames=num_frames)


def choose_frames(
    clip_frames: int, count: int, random: np.random.Generator, garment_frame: int
) -> list[int]:
    """Draw single frames of a clip, all different if it has enough.

    The frame that the garment was cut out of is left out, unless the clip has no other.
    """
    others = [frame for frame in range(clip_frames) if frame != garment_frame] or [0]
    drawn = random.choice(others, size=count, replace=len(others) < count)
    return [int(frame) for frame in drawn]


def centre_window(clip_frames: int, num_frames: int, strides: Sequence[int]) -> Window:
    """The middle of a clip at the smallest stride, for validation."""
    stride = min(strides)
    start = (clip_frames - 1 - (num_frames - 1) * stride) // 2
    return Window(start=start, stride=stride, num_frames=num_frames)


def decode_tracks(
    sample: ShardSample,
    indices: Sequence[int] | None,
    height: int,
    width: int,
    *,
    mirror: bool = False,
    garment_scale: int = 1,
) -> ClipTracks:
    """Decode frames of a sample (all if indices is None) at a resolution.

    Args:
        sample: with TRACK_MEMBERS.
        indices: frames, in any order.
        height: of the result.
        width: of the result.
        mirror: swap left and right, in the garment too.
        garment_scale: the garment's picture is this many times as large as a frame.

    Raises:
        ValueError: the tracks and the number of frames in the json have unequal lengths.
    """
    files = sample.files
    video, num_video = read_counted(files["mp4"], indices)
    mask, num_mask = read_counted(files["mask.mp4"], indices)
    iuv, num_iuv = read_counted(files["iuv.mp4"], indices)
    boxes = np.load(io.BytesIO(files["box.npy"]), allow_pickle=False)
    lengths = {
        "mp4": num_video, "mask.mp4": num_mask, "iuv.mp4": num_iuv, "box.npy": len(boxes),
        "json": int(sample.record["num_frames"]),
    }  # fmt: skip
    if len(set(lengths.values())) > 1:
        raise ValueError(f"sample {sample.key!r} has tracks of unequal lengths: {lengths}")
    grids = DensePoseGrids(
        iuv=np.ascontiguousarray(iuv),
        boxes=(boxes if indices is None else boxes[list(indices)]).astype(np.float64),
    )
    garment = decode_image(files["garment.png"])
    if mirror:
        video, mask = video[:, :, ::-1], mask[:, :, ::-1]
        grids, garment = grids.mirrored(video.shape[2]), garment[:, ::-1]
    stored = video.shape[1], video.shape[2]
    picture = fit_garment(garment, height * garment_scale, width * garment_scale)
    return ClipTracks(
        video=fit_frames(video, height, width),
        mask=fit_masks(np.stack([cv2.extractChannel(f, 0) for f in mask]), height, width),
        pose=_fit_pose(grids, stored, height, width),
        garment=picture,
        outline=outline_of(picture),
    )


def with_garment_region(
    tracks: ClipTracks,
    sample: ShardSample,
    indices: Sequence[int] | None,
    *,
    mirror: bool = False,
) -> ClipTracks:
    """Add the garment's region, from the sample's label map and garment mask."""
    height, width = tracks.video.shape[1:3]
    labels = GARMENT_LABELS[sample.record.get("category", "upper")]
    parse = read_labels(sample.files["parse.mp4"], indices)
    is_worn = np.zeros(256, np.uint8)
    is_worn[list(labels)] = 255
    worn = is_worn[parse]
    picture = np.repeat(decode_image(sample.files["garment_mask.png"])[..., :1], 3, axis=-1)
    if mirror:
        worn, picture = worn[:, :, ::-1], picture[:, ::-1]
    return replace(
        tracks,
        garment_share=np.stack([_cover(frame, height, width) for frame in worn]),
        garment_picture_share=fit_garment(picture, *tracks.garment.shape[:2])[..., 0],
    )


def with_places(tracks: ClipTracks, sample: ShardSample, *, mirror: bool = False) -> ClipTracks:
    """Add the places of the frames in the garment's picture, found by comparing the two.

    A picture that was not cut out of the clip (a product photo), or by a version that did not
    record how, has no known places.
    """
    record, files = sample.record, sample.files
    stored = int(record["height"]), int(record["width"])
    if record.get("garment_affine") is None:
        cells = [side // CELL for side in tracks.video.shape[1:3]]
        return replace(tracks, places=np.zeros((len(tracks.video), *cells, 3), np.float32))
    frame = int(record["garment_frame"])
    boxes = np.load(io.BytesIO(files["box.npy"]), allow_pickle=False)[[frame]]
    grids = DensePoseGrids(
        iuv=read_frames(files["iuv.mp4"], [frame]), boxes=boxes.astype(np.float64)
    )
    affine = np.array(record["garment_affine"], np.float64).reshape(2, 3)
    affine[:, 2] += 0.5 * (1 - affine[:, :2].sum(axis=1))  # it maps the centres of pixels
    size = decode_image(files["garment.png"]).shape[:2]
    picture = tracks.garment.shape[:2]
    scale = min(picture[0] / size[0], picture[1] / size[1])
    moved = np.array([(picture[1] - size[1] * scale) / 2, (picture[0] - size[0] * scale) / 2])
    affine = affine * scale
    affine[:, 2] += moved
    if mirror:
        grids = grids.mirrored(stored[1])
        affine[0, 2] = picture[1] - affine[0, 2] - affine[0, 0] * stored[1]
    iuv = grids.frames(*stored)[0]
    places = match_places(tracks.iuv, picture_body(iuv, affine, (picture[0], picture[1])))
    refined = refine_places(places, tracks.iuv, tracks.video, tracks.garment)
    return replace(tracks, places=refined)


def to_sample(
    key: str,
    number: int,
    tracks: ClipTracks,
    known: Bool[Tensor, " t"],
    pattern: str,
    *,
    is_images: bool = False,
) -> TryOnSample:
    """Tracks as a sample of bytes, ready to be stacked and sent to the device."""
    height, width = tracks.video.shape[1:3]
    pose, places = tracks.pose, tracks.places
    rows, columns = grid_rows_columns(pose.boxes, pose.iuv.shape[1], height, width)
    iuv = np.pad(pose.iuv, ((0, 0), (0, 1), (0, 1), (0, 0)))
    return TryOnSample(
        key=key,
        number=number,
        video=torch.from_numpy(np.ascontiguousarray(tracks.video)),
        mask=torch.from_numpy(tracks.mask),
        densepose=PoseLookup(
            iuv=torch.from_numpy(iuv),
            rows=torch.from_numpy(rows),
            columns=torch.from_numpy(columns),
        ),
        garment=torch.from_numpy(np.ascontiguousarray(tracks.garment)),
        outline=torch.from_numpy(tracks.outline),
        places=None if places is None else torch.from_numpy(places),
        known=known,
        pattern=pattern,
        is_images=is_images,
    )


def fit_frames(
    frames: UInt8[np.ndarray, "t h w c"], height: int, width: int
) -> UInt8[np.ndarray, "t h2 w2 *c"]:
    """Scale frames to cover (height, width), then crop at the centre."""
    if _cover_scale(frames.shape[1:3], height, width) != 1:
        return np.stack([_cover(frame, height, width) for frame in frames])
    top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    return np.ascontiguousarray(frames[:, top : top + height, left : left + width])


def _fit_pose(
    grids: DensePoseGrids, stored: tuple[int, int], height: int, width: int
) -> DensePoseGrids:
    """The grids scaled and cropped like the frames."""
    outer_height, outer_width = _cover_size(stored, height, width)
    top, left = (outer_height - height) // 2, (outer_width - width) // 2
    return grids.scaled((outer_width / stored[1], outer_height / stored[0]), left, top)


def fit_masks(
    masks: UInt8[np.ndarray, "t h w"], height: int, width: int
) -> UInt8[np.ndarray, "t h2 w2"]:
    """``fit_frames`` for masks: a pixel is painted (255) if any part of it was."""
    sharp = np.stack([_above(mask, 127) for mask in masks])
    fitted = fit_frames(sharp[..., None], height, width).reshape(len(masks), height, width)
    if _cover_scale(masks.shape[1:3], height, width) == 1:
        return fitted
    return np.stack([_above(mask, 0) for mask in fitted])


def fit_garment(
    garment: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Scale a garment picture to fit into (height, width), on the colour of its own corner."""
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
    """Decode a picture to RGB."""
    return decode_picture(content)[0]


def _above(mask: UInt8[np.ndarray, "h w"], threshold: int) -> UInt8[np.ndarray, "h w"]:
    return cv2.threshold(mask, threshold, 255, cv2.THRESH_BINARY)[1]


def _cover_scale(stored: tuple[int, ...], height: int, width: int) -> float:
    return max(height / stored[0], width / stored[1])


def _cover_size(stored: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    scale = _cover_scale(stored, height, width)
    return max(height, round(stored[0] * scale)), max(width, round(stored[1] * scale))


def _cover(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    outer_height, outer_width = _cover_size(frame.shape[:2], height, width)
    outer = _resize(frame, outer_height, outer_width)
    top, left = (outer_height - height) // 2, (outer_width - width) // 2
    return outer[top : top + height, left : left + width]


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation)
