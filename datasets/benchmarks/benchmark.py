"""Benchmarks: videos with the garment worn and the garment to try on, read from prepared shards.

A benchmark is stored as ``<root>/shards/bench-*.tar``. In addition to the members of every sample,
a benchmark sample may have ``target.png``, the garment to try on, and ``truth.mp4``, the same
motion in that garment (only rendered benchmarks have it). Two pairings are scored: ``paired`` uses
the garment that is worn, ``unpaired`` the other one. ``shards/rejected.json`` lists the items that
could not be prepared.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from configs.console import counted
from configs.errors import DataError
from datasets.benchmarks.eevee import SHOTS, read_eevee
from datasets.benchmarks.origins import ORIGINS, check_is_here
from datasets.benchmarks.vivid import clip_frames, read_vivid
from datasets.benchmarks.vvt import FRAMES_FOLDER, frames_of, read_vvt
from datasets.clips import decode_image, decode_tracks, fit_frames
from datasets.labels import GARMENT_LABELS
from datasets.shards import IndexedSample, index_shard, list_shards
from datasets.tracks import read_frames, read_labels

PAIRINGS = ("paired", "unpaired")
_MEMBERS = (
    "mp4", "mask.mp4", "iuv.mp4", "box.npy", "parse.mp4", "garment.png", "json", "target.png",
    "truth.mp4",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkItem:
    """One video with its conditions, all frames at the requested resolution."""

    id: str
    fps: float
    video: UInt8[np.ndarray, "t h w 3"]
    mask: UInt8[np.ndarray, "t h w"]  # 255 = to be painted
    iuv: UInt8[np.ndarray, "t h w 3"]  # DensePose: I, U, V
    garment_region: Bool[np.ndarray, "t h w"]  # the worn garment as parsed; without parse the mask
    own_garment: UInt8[np.ndarray, "h2 w2 3"]  # worn in the video
    target_garment: UInt8[np.ndarray, "h2 w2 3"] | None  # to try on; None: only paired
    unpaired_truth: UInt8[np.ndarray, "t h w 3"] | None  # the same motion in the target garment

    def garment(self, pairing: str) -> UInt8[np.ndarray, "h w 3"]:
        """The garment that a method is given."""
        if pairing == "paired":
            return self.own_garment
        assert self.target_garment is not None
        return self.target_garment

    def truth(self, pairing: str) -> UInt8[np.ndarray, "t h w 3"] | None:
        """The frames a perfect method would return; None where they are unknown."""
        return self.video if pairing == "paired" else self.unpaired_truth


@dataclass(frozen=True, kw_only=True)
class RejectedItem:
    """A benchmark item that is in no shard, and why."""

    id: str
    source: str
    code: str  # why curation rejected it: mask_failed, ...
    evidence: dict[str, Any] = field(default_factory=dict)


class Benchmark:
    """The items of a benchmark, read one at a time."""

    def __init__(self, root: Path, name: str, subset: str | None = None) -> None:
        """Index the shards.

        Args:
            root: holds ``shards/bench-*.tar``.
            name: of the benchmark.
            subset: only videos whose path below ``root`` has this folder or file name (without its
                suffix) in it, such as ``dresses`` or ``video_1``; None: all.

        Raises:
            DataError: the folder is missing, incomplete or not prepared; or no such subset.
        """
        self.root, self.name, self.subset = root, name, subset
        samples = [s for shard in list_shards(root, "bench") for s in index_shard(shard)]
        if not samples:
            raise not_prepared(root, name)
        samples = _only(samples, subset, root)
        self._pairings = {
            "paired": _named_by_source(samples),
            "unpaired": _named_by_pair([s for s in samples if _has_another_garment(s)]),
        }
        self._samples = self._pairings["unpaired"] | self._pairings["paired"]

    def ids(self, pairing: str) -> list[str]:
        """Sorted names of the items that a pairing scores; other methods' results use them too.

        Paired: each source video once, however many garments it is tried on with, named after its
        file. Unpaired: all items with another garment, named by ``bench_id`` of the json, or after
        the file if it gave one clip.
        """
        return sorted(self._pairings[pairing])

    def rejected(self, pairing: str) -> list[RejectedItem]:
        """Items that a pairing lacks because their videos could not be prepared."""
        lost = _read_rejected(self.root)[pairing]
        return [item for item in lost if self.subset in (None, *_path_names(item.source))]

    def resolution(self) -> tuple[int, int]:
        """Stored (height, width) of the first item."""
        record = next(iter(self._samples.values())).record
        return int(record["height"]), int(record["width"])

    def record(self, identity: str) -> dict[str, Any]:
        """The json of one item's sample."""
        return self._samples[identity].record

    def num_frames(self, identity: str) -> int:
        """Frames of one item, without decoding it."""
        return self._samples[identity].num_frames

    def load(self, identity: str, height: int, width: int) -> BenchmarkItem:
        """Read one item at a resolution.

        Raises:
            DataError: tracks of unequal lengths, or missing original frames.
        """
        sample = self._samples[identity].read(_MEMBERS)
        tracks = decode_tracks(sample, None, height, width)
        video = self._original_frames(sample.record, height, width)
        if video is None:
            video = tracks.video
        mask = tracks.mask
        files = sample.files
        region = mask > 127
        if "parse.mp4" in files:
            labels = GARMENT_LABELS[str(sample.record.get("category", "upper"))]
            worn = np.isin(read_labels(files["parse.mp4"]), [int(label) for label in labels])
            gray = np.repeat(worn[..., None].astype(np.uint8) * 255, 3, axis=-1)
            worn = fit_frames(gray, height, width)[..., 0] > 127
            region = worn & region if (worn & region).any() else region
        target = files.get("target.png")
        truth = files.get("truth.mp4")
        answer = None if truth is None else fit_frames(read_frames(truth), height, width)
        for name, frames in (("the original", video), ("truth.mp4", answer)):
            if frames is not None and len(frames) != len(mask):
                raise DataError(
                    f"benchmark item {identity!r}: {name} has {counted(len(frames), 'frame')}, its "
                    f"mask {len(mask)}"
                )
        return BenchmarkItem(
            id=identity,
            fps=float(sample.record["fps"]),
            video=video,
            mask=mask,
            iuv=tracks.iuv,
            garment_region=region,
            own_garment=decode_image(files["garment.png"]),
            target_garment=None if target is None else decode_image(target),
            unpaired_truth=answer,
        )

    def _original_frames(
        self, record: dict[str, Any], height: int, width: int
    ) -> UInt8[np.ndarray, "t h w 3"] | None:
        """A published benchmark's own frames: results are measured on them, not on H.264."""
        source = PurePosixPath(str(record.get("source", "")))
        if "frame_range" in record:
            first, end = record["frame_range"]
            return fit_frames(clip_frames(self.root / source, first, end), height, width)
        if source.parent.name != FRAMES_FOLDER:
            return None
        pictures = [decode_image(p.read_bytes()) for p in frames_of(self.root, source.name)]
        return fit_frames(np.stack(pictures), height, width)


def _only(samples: list[IndexedSample], subset: str | None, root: Path) -> list[IndexedSample]:
    """The samples of a subset."""
    if subset is None:
        return samples
    names = [_path_names(str(sample.record.get("source", ""))) for sample in samples]
    chosen = [sample for sample, named in zip(samples, names, strict=True) if subset in named]
    if not chosen:
        every = [name for named in names for name in set(named)]
        shared = sorted({name for name in every if every.count(name) > 1})
        raise DataError(
            f"subset is {subset!r}; no video of {root} has it in its path. The names that several "
            f"share are {', '.join(shared) or 'none'}; null takes all"
        )
    return chosen


def _path_names(source: str) -> tuple[str, ...]:
    """Names of the folders and the file, without its suffix, in a video's path."""
    return PurePosixPath(source).with_suffix("").parts if source else ()


def _has_another_garment(sample: IndexedSample) -> bool:
    return "target.png" in sample.members and sample.record.get("paired") is not True


def _named_by_source(samples: list[IndexedSample]) -> dict[str, IndexedSample]:
    """One sample for each stretch of a source, named after the file if it is the only one."""
    chosen: dict[str, IndexedSample] = {}
    for sample in sorted(samples, key=lambda s: s.record.get("paired") is not True):
        source = sample.record.get("source_sha256", sample.key)
        chosen.setdefault(f"{source}@{sample.record.get('start_s', '')}", sample)
    stems = [_stem(sample) for sample in chosen.values()]
    by_file = [
        stem if stems.count(stem) == 1 else sample.key
        for sample, stem in zip(chosen.values(), stems, strict=True)
    ]
    return {
        str(sample.record.get("paired_id", name)): sample
        for sample, name in zip(chosen.values(), by_file, strict=True)
    }


def _named_by_pair(samples: list[IndexedSample]) -> dict[str, IndexedSample]:
    stems = [_stem(sample) for sample in samples]
    found: dict[str, IndexedSample] = {}
    for sample, stem in zip(samples, stems, strict=True):
        by_file = stem if stems.count(stem) == 1 else sample.key
        identity = str(sample.record.get("bench_id", by_file))
        if identity in found:
            raise DataError(f"{sample.shard}: two benchmark samples are called {identity!r}")
        found[identity] = sample
    return found


def _stem(sample: IndexedSample) -> str:
    return PurePosixPath(str(sample.record.get("source", sample.key))).stem


def _read_rejected(root: Path) -> dict[str, list[RejectedItem]]:
    path = root / "shards" / "rejected.json"
    if not path.is_file():
        return {pairing: [] for pairing in PAIRINGS}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["rejected"]
        return {p: [RejectedItem(**item) for item in content.get(p, [])] for p in PAIRINGS}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not what curation writes ({error}); prepare the benchmark again"
        ) from error


def _num_items(root: Path, name: str) -> str:
    """How much a published benchmark's own folder holds, in words."""
    if name == "vvt":
        return f"{len(read_vvt(root))} pairs"
    if name == "vivid_s":
        return f"{len(read_vivid(root))} clips"
    return f"{len(read_eevee(root))} videos of {len(SHOTS)} shots"


def not_prepared(root: Path, name: str) -> DataError:
    """The reason why ``root`` holds no sample, and the command that prepares it."""
    check_is_here(name, root)
    commands = {bench: f"`make curate BENCH={bench}`" for bench in ORIGINS} | {
        "synthetic": "`make render` and `make curate CONFIG=configs/demo/curate.yaml "
        f"SRC=data/demo/raw/bench/raw OUT={root}`, or as part of `make demo`",
    }
    filmed = (
        f"`make curate SRC=<videos> OUT={root} HOLD_OUT=50`, or from videos whose sidecars say "
        '"split": "bench"'
    )
    prepare = f"prepare it once with {commands.get(name, filmed)}"
    lost = [item for items in _read_rejected(root).values() for item in items]
    if lost:
        return DataError(
            f"{root} holds no item: all were rejected when it was prepared, the first, "
            f"{lost[0].id!r}, with {lost[0].code} ({root / 'shards' / 'rejected.json'})"
        )
    if not root.is_dir():
        return DataError(
            f"benchmark folder {root} does not exist; give root=FOLDER or set DATA_ROOT, or "
            f"{prepare}"
        )
    if list_shards(root, "bench"):
        return DataError(f"{root}: shards/bench-*.tar contain no sample; {prepare}")
    if name in ORIGINS:
        return DataError(
            f"{root} is a complete {ORIGINS[name].title} folder of {_num_items(root, name)}, but "
            f"has no {'' if name == 'eevee' else 'masks or '}DensePose yet; {prepare}"
        )
    return DataError(f"{root} holds no shards/bench-*.tar; {prepare}")
