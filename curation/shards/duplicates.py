"""Reposts: clips that show the same thing, plain or mirrored, whatever the encoding.

Difference hashes of the stored thumbnails are compared over time at the best shift. The best clip
of a cluster is kept, and its members share one split group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from configs.errors import ConfigError
from curation.clip import MORE, Check
from curation.first_pass.signals import gradients_of
from curation.shards.copies import pairs_to_compare

HASH_BITS = 256
NEAR_DUPLICATE = "near_duplicate"
ONE_SIDED = 0.25
MIDDLE = 8
"""Samples before and after a clip's middle that suffice for most pairs (``are_alike``)."""


@dataclass(frozen=True, kw_only=True)
class DuplicatesConfig:
    """When two clips count as copies."""

    enabled: bool = True
    max_distance: float = 0.025  # see ``distance``
    hash_fps: float = 4.0
    min_overlap_s: float = 1.0  # and at least half of the shorter clip

    def __post_init__(self) -> None:
        if not 0 <= self.max_distance <= 0.1:
            raise ConfigError(
                f"max_distance is {self.max_distance}; must be between 0 and 0.1: above that, "
                "different clips of one room match"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprint:
    """A clip for comparison: hashes at a fixed rate, and what ranks it above a copy."""

    clip_id: str
    hashes: np.ndarray  # (n, 256) int8 of -1, 0, 1
    pixels: int
    duration_s: float

    @cached_property
    def said(self) -> np.ndarray:
        """Number of informative bits of each hash, (n,)."""
        return np.count_nonzero(self.hashes, axis=1)


def copy_check(
    nearest: float | None, config: DuplicatesConfig, same_as: str | None = None
) -> Check:
    """A clip must not be a copy of ``same_as``, a better one, at the distance ``nearest``."""
    return Check(
        verdict="copies", signal="distance", value=nearest, rule=MORE,
        threshold=config.max_distance, key="duplicates.max_distance", code=NEAR_DUPLICATE,
        meaning="a better clip shows the same thing",
        evidence={"same_as": same_as, "max_distance": config.max_distance},
    )  # fmt: skip


def nearest_copy(
    hashes: str, others: Mapping[str, str], config: DuplicatesConfig
) -> tuple[float, str] | None:
    """Distance and clip_id of the most similar of ``others``, clip_id -> ``pack_hashes``."""
    overlap, own = _overlap(config), unpack_hashes(hashes)
    found = ((distance(own, unpack_hashes(t), overlap), name) for name, t in others.items())
    return min(found, default=None)


def _overlap(config: DuplicatesConfig) -> int:
    return max(1, round(config.min_overlap_s * config.hash_fps))


def sample_hashes(
    times_s: np.ndarray, thumbs: np.ndarray, span: tuple[float, float], fps: float
) -> np.ndarray:
    """Hashes (n, 256) int8 of -1, 0, 1 at ``fps`` over a stretch, from the nearest frames."""
    moments = np.arange(span[0], span[1], 1.0 / fps)
    after = np.clip(np.searchsorted(times_s, moments), 1, len(times_s) - 1)
    nearer = moments - times_s[after - 1] < times_s[after] - moments
    return gradients_of(thumbs[np.where(nearer, after - 1, after)]).reshape(len(moments), -1)


def pack_hashes(hashes: np.ndarray) -> str:
    """Hashes as text for a record: one bit for brighter, one for darker."""
    planes = np.concatenate([hashes > 0, hashes < 0], axis=1)
    return np.packbits(planes, axis=1).tobytes().hex()


def unpack_hashes(text: str) -> np.ndarray:
    """The inverse of ``pack_hashes``."""
    packed = np.frombuffer(bytes.fromhex(text), dtype=np.uint8).reshape(-1, 2 * HASH_BITS // 8)
    planes = np.unpackbits(packed, axis=1).astype(np.int8)
    return planes[:, :HASH_BITS] - planes[:, HASH_BITS:]


def mirror_hashes(hashes: np.ndarray) -> np.ndarray:
    """The hashes of the same frames flipped left to right."""
    rows = hashes.reshape(len(hashes), 16, 16)
    return -rows[:, :, ::-1].reshape(len(hashes), -1)


def distance(one: np.ndarray, other: np.ndarray, min_overlap: int) -> float:
    """How different two clips are, 0..1, at the best shift, plain or mirrored.

    Counts bits, informative in either clip, that contradict each other, plus ONE_SIDED of those
    informative in only one. Each shift overlaps at least ``min_overlap`` samples and half of the
    shorter clip.
    """
    least = _least_overlap(min(len(one), len(other)), min_overlap)
    best = 1.0
    for candidate in (other, mirror_hashes(other)):
        a, b = one.astype(np.float32), candidate.astype(np.float32)
        both = np.abs(a) @ np.abs(b).T
        said = np.abs(a).sum(axis=1)[:, None] + np.abs(b).sum(axis=1)[None]
        differing = (both - a @ b.T) / 2 + ONE_SIDED * (said - 2 * both)
        unions = _diagonal_sums(said - both)[least - 1 : len(one) + len(other) - least]
        differences = _diagonal_sums(differing)[least - 1 : len(one) + len(other) - least]
        is_said = unions > 0
        if is_said.any():
            best = min(best, float((differences[is_said] / unions[is_said]).min()))
    return best


def are_alike(one: Fingerprint, other: Fingerprint, min_overlap: int, limit: float) -> bool:
    """Whether their ``distance`` is at most ``limit``.

    Every overlap that counts includes samples around the middle of the shorter clip. If these alone
    differ by more than would be allowed even if every possible sample were informative, the rest is
    skipped: this is the case for nearly all pairs but copies.
    """
    shorter, longer = sorted((one, other), key=lambda clip: len(clip.hashes))
    count, start = len(shorter.hashes), max(len(shorter.hashes) // 2 - MIDDLE, 0)
    some = slice(start, count // 2 + MIDDLE)
    said, middle = shorter.said[some, None] + longer.said, shorter.hashes[some]
    least = _least_overlap(count, min_overlap)
    corner = start + len(middle) - 1  # shift 0 of the clips is this diagonal
    shifts = slice(least - count + corner, len(longer.hashes) - least + corner + 1)
    allowed = limit * (shorter.said.sum() + count * longer.said.max())
    hashes = longer.hashes.astype(np.float32).T
    for candidate in (middle, mirror_hashes(middle)):
        differing = ONE_SIDED * said - candidate.astype(np.float32) @ hashes / 2
        if _diagonal_sums(differing)[shifts].min() <= allowed:
            return distance(one.hashes, other.hashes, min_overlap) <= limit
    return False


def _least_overlap(shorter: int, min_overlap: int) -> int:
    """Minimum number of shared samples; ``shorter``: length of the shorter clip."""
    return min(max(min_overlap, -(-shorter // 2)), shorter)


def _diagonal_sums(table: np.ndarray) -> np.ndarray:
    """Sums of all diagonals of (n, m), from the lower left corner on, (n + m - 1,)."""
    diagonals = _diagonals(*table.shape)
    return np.bincount(diagonals, weights=table.ravel(), minlength=sum(table.shape) - 1)


@lru_cache(64)
def _diagonals(rows: int, columns: int) -> np.ndarray:
    """Index of the diagonal of each entry of a table, (rows * columns,)."""
    return (np.arange(columns) - np.arange(rows)[:, None] + rows - 1).ravel()


def find_clusters(
    fingerprints: Sequence[Fingerprint], config: DuplicatesConfig
) -> list[list[Fingerprint]]:
    """Clusters of two or more clips that show the same thing, best first within each.

    The best has the most pixels x seconds: a copy smaller by a quarter but three times as long
    shows more of a person.
    """
    parents = list(range(len(fingerprints)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    overlap = _overlap(config)
    for first, second in pairs_to_compare([item.hashes for item in fingerprints]):
        if root(first) == root(second):
            continue
        if are_alike(fingerprints[first], fingerprints[second], overlap, config.max_distance):
            parents[root(second)] = root(first)
    clusters: dict[int, list[Fingerprint]] = {}
    for index, item in enumerate(fingerprints):
        clusters.setdefault(root(index), []).append(item)
    return [
        sorted(
            members, key=lambda clip: (-clip.pixels * clip.duration_s, -clip.pixels, clip.clip_id)
        )
        for members in clusters.values()
        if len(members) > 1
    ]
