"""Clips as latents, encoded once by ``make latents``: the format, and reading windows from it.

``<root>/latents/<name>/`` (or ``<folder>/<root's name>/<name>/``) has, for each shard
``train-000000.tar``, a shard of the same name and ``train-000000.source.json``, which records what
it was encoded from. ``cache.json`` holds the key: codec, size, dtype. The codec works frame by
frame, so any window at any stride can be read, and a known frame's agnostic latents are the
video's.

A sample has ``latents.npy`` (t, k, y, x) with the channels of TRACKS in order, ``mask.npy``
(t, y, x), 1 where a latent is painted, ``garment.npy`` (c, y, x), and the clip's json. With places
(``datasets/places.py``) also ``body.npy`` (t, 4, y, x), ``places.npy`` (t, y, x, 3) and
``outline.npy`` (16, 12).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from configs.errors import DataError
from datasets.bad_samples import Fault, UnreadableClipError
from datasets.loading.collate import Movable
from datasets.loading.watchdog import Watchdog
from datasets.sample import SampleFormat
from datasets.shards import IndexedSample, find_shards, scan_shard
from datasets.storage import settings_sha256

FORMAT = 3
"""Incremented when the content of a cache changes."""
TRACKS = ("video", "agnostic", "densepose")
LATENT_MEMBERS = ("latents.npy", "mask.npy", "garment.npy", "json")
PLACE_MEMBERS = ("body.npy", "places.npy", "outline.npy")


@dataclass(frozen=True, kw_only=True)
class CacheKey:
    """Everything that determines the latents of a clip.

    Attributes:
        codec: kind, latent channels, precision and hash of the weights.
        sizes: heights and widths that clips are resized to.
        dtype: of the stored numbers.
        format: of the conditions.
    """

    codec: dict[str, Any]
    sizes: list[list[int]]
    dtype: str
    format: SampleFormat = field(default_factory=SampleFormat)

    @property
    def words(self) -> dict[str, Any]:
        """As plain values."""
        values = {f"codec.{name}": value for name, value in self.codec.items()}
        conditions = {f"conditions.{name}": value for name, value in asdict(self.format).items()}
        own = {"format": FORMAT, "sizes": self.sizes, "dtype": self.dtype}
        return {**own, **values, **conditions}

    @property
    def name(self) -> str:
        """Name of the cache's folder: readable, and unique to the key."""
        digest = settings_sha256(self.words)
        size = "x".join(map(str, self.sizes[0])) if len(self.sizes) == 1 else "buckets"
        codec = f"{self.codec['kind']}{self.codec['latent_channels']}"
        return f"{codec}-{size}-{self.dtype}-{digest[:8]}"


def caches_of(root: str, where: str) -> Path:
    """The folder that holds a root's caches."""
    return Path(root) / "latents" if where == "auto" else Path(where) / Path(root).resolve().name


def find_cache(root: str, where: str, key: CacheKey, split: str) -> list[Path] | None:
    """The cache's shards of one split, or None if ``auto`` finds no cache at all.

    Raises:
        DataError: the cache has another key, is stale (the clips have changed) or incomplete.
    """
    folder = caches_of(root, where) / key.name
    if not (folder / "cache.json").is_file():
        others = sorted(caches_of(root, where).glob("*/cache.json"))
        if others:
            raise DataError(_key_mismatch(key, others[-1]))
        if where == "auto":
            return None
        raise DataError(f"{folder} does not exist; make it with `make latents`")
    expected = read_cache_file(folder)["shards"].get(split)
    if expected is None:
        raise DataError(f"{folder} holds no {split} shards; make them with `make latents`")
    whole = [name for name in expected if note_path(folder / name).is_file()]
    if len(whole) < len(expected):
        raise DataError(
            f"{folder} is incomplete: {len(whole)} of {len(expected)} {split} shards are encoded; "
            "run `make latents` to resume"
        )
    if (Path(root) / "shards").is_dir():  # latents may be copied without the clips
        _check_sources(root, folder, split, expected)
    return [folder / name for name in expected]


def _check_sources(root: str, folder: Path, split: str, expected: list[str]) -> None:
    shards = {path.name: path for path in find_shards(root, split)}
    changed = sorted(shards.keys() ^ set(expected))
    changed += [
        name for name, path in shards.items()
        if name in expected and scan_shard(path).content != read_note(folder / name)["source"]
    ]  # fmt: skip
    if changed:
        raise DataError(
            f"{folder} is stale: {changed[0]} under {root}/shards is not what was encoded; "
            "run `make latents` to encode what has changed"
        )


def _key_mismatch(key: CacheKey, other: Path) -> str:
    theirs, ours = read_cache_file(other.parent)["key"], key.words
    names = [name for name in ours if theirs.get(name) != ours[name]]
    changes = "; ".join(f"{name} {theirs.get(name)}, now {ours[name]}" for name in names)
    return (
        f"{other.parent} was encoded with other settings ({changes}); run `make latents` to encode "
        "with these, or set data.latents=null"
    )


def read_cache_file(folder: Path) -> dict[str, Any]:
    """Read ``cache.json``: key and expected shards."""
    return _read_json(folder / "cache.json")


def note_path(shard: Path) -> Path:
    """Path of the note next to a finished shard: its source's content hash, and its size."""
    return shard.with_suffix(".source.json")


def read_note(shard: Path) -> dict[str, Any]:
    """The note of a finished shard."""
    return _read_json(note_path(shard))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove its folder") from error


@dataclass(frozen=True, kw_only=True)
class LatentTracks:
    """Frames of one clip, as stored."""

    latents: Float[Tensor, "t k y x"]
    mask: UInt8[Tensor, "t y x"]
    garment: Float[Tensor, "c y2 x2"]
    body: Float[Tensor, "t 4 y x"] | None = None
    places: Float[Tensor, "t y x 3"] | None = None
    outline: Float[Tensor, "16 12"] | None = None


class LatentReader:
    """Reads windows frame by frame, within a time limit."""

    def __init__(self, timeout_s: float = 0.0) -> None:
        self._watchdog = Watchdog(timeout_s)

    def read(self, clip: IndexedSample, indices: Sequence[int]) -> LatentTracks:
        """The clip's frames at these indices.

        Raises:
            UnreadableClipError: it cannot be read, or not within the time limit.
        """
        try:
            return self._watchdog.run(lambda: _read_tracks(clip, indices))
        except (ValueError, LookupError, OSError, EOFError) as error:
            raise UnreadableClipError.of(clip.shard, clip.key, error) from error


def _read_tracks(clip: IndexedSample, indices: Sequence[int]) -> LatentTracks:
    if "latents.npy" not in clip.members:
        raise ValueError(clip.read(["json"]).record.get("bad", "it has no latents"))
    with clip.shard.open("rb") as file:
        latents = _read_rows(file, clip.members["latents.npy"], indices)
        mask = _read_rows(file, clip.members["mask.npy"], indices)
        garment = _read_rows(file, clip.members["garment.npy"], None)
        extra: dict[str, Tensor] = {}
        for member in PLACE_MEMBERS:
            if member in clip.members:
                rows = None if member == "outline.npy" else indices
                values = _read_rows(file, clip.members[member], rows)
                extra[member.removesuffix(".npy")] = torch.from_numpy(values)
    return LatentTracks(
        latents=torch.from_numpy(latents),
        mask=torch.from_numpy(mask),
        garment=torch.from_numpy(garment),
        **extra,
    )


def _read_rows(
    file: IO[bytes], place: tuple[int, int], indices: Sequence[int] | None
) -> np.ndarray:
    """Rows of a .npy member, contiguous runs at once; all of it if indices is None."""
    file.seek(place[0])
    version = np.lib.format.read_magic(file)
    read: Callable[[IO[bytes]], Any] = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    start, row = file.tell(), dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    wanted = list(range(shape[0])) if indices is None else list(indices)
    if wanted and max(wanted) >= shape[0]:
        raise IndexError(f"frame {max(wanted)} of {shape[0]}")
    content = bytearray()
    for at, index in enumerate(wanted):
        if not at or index != wanted[at - 1] + 1:
            file.seek(start + index * row)
        content += file.read(row)
    if len(content) != row * len(wanted):
        raise EOFError("the shard is truncated")
    return np.frombuffer(content, dtype).reshape(len(wanted), *shape[1:])


@dataclass(frozen=True, kw_only=True)
class LatentSample:
    """A window of one clip, as stored."""

    key: str
    number: int
    tracks: LatentTracks
    known: Tensor  # (t,) bool
    pattern: str
    is_images: bool = False


@dataclass(frozen=True, kw_only=True)
class LatentBatch(Movable):
    """Latents of windows in the cache's dtype; the properties return float32."""

    latents: Float[Tensor, "b t k y x"]  # TRACKS, along the channels
    mask: UInt8[Tensor, "b t y x"]  # before swapping
    garment_latents: Float[Tensor, "b c y2 x2"]
    body_cells: Float[Tensor, "b t 4 y x"] | None = None
    places: Float[Tensor, "b t y x 3"] | None = None
    outline: Float[Tensor, "b 16 12"] | None = None

    @property
    def video(self) -> Float[Tensor, "b c t y x"]:
        """The ground truth."""
        return self._track(0)

    @property
    def garment(self) -> Float[Tensor, "b c y x"]:
        """The garment's picture."""
        return self.garment_latents.to(torch.float32)

    @property
    def body(self) -> Float[Tensor, "b 4 t y x"] | None:
        """Body coordinates; None if the cache has none."""
        return (
            None
            if self.body_cells is None
            else rearrange(self.body_cells, "b t k y x -> b k t y x").float()
        )

    @property
    def control(self) -> Float[Tensor, "b k t y x"]:
        """Agnostic | DensePose | mask; known frames have the video's own latents and mask 0."""
        known = self.known[:, None, :, None, None]
        agnostic = torch.where(known, self.video, self._track(1))
        mask = rearrange(self.mask, "b t y x -> b 1 t y x").to(torch.float32)
        return torch.cat([agnostic, self._track(2), torch.where(known, 0.0, mask)], dim=1)

    def _track(self, index: int) -> Float[Tensor, "b c t y x"]:
        channels = self.garment_latents.shape[1]
        part = self.latents[:, :, index * channels : (index + 1) * channels]
        return rearrange(part, "b t c y x -> b c t y x").to(torch.float32)


def stack_latents(samples: list[LatentSample], faults: list[Fault]) -> LatentBatch:
    """Stack windows of equal size."""
    tracks = [sample.tracks for sample in samples]

    def stack(name: str) -> Tensor | None:
        found = [getattr(track, name) for track in tracks]
        return None if any(part is None for part in found) else torch.stack(found)

    return LatentBatch(
        keys=[sample.key for sample in samples],
        numbers=torch.tensor([sample.number for sample in samples]),
        known=torch.stack([sample.known for sample in samples]),
        patterns=[sample.pattern for sample in samples],
        faults=faults,
        latents=torch.stack([track.latents for track in tracks]),
        mask=torch.stack([track.mask for track in tracks]),
        garment_latents=torch.stack([track.garment for track in tracks]),
        is_images=samples[0].is_images,
        body_cells=stack("body"),
        places=stack("places"),
        outline=stack("outline"),
    )
