"""Splits that stand still: what is added later moves nothing, and copies never straddle."""

from itertools import pairwise

import numpy as np
import pytest

from curation.ledger import ClipRow, Ledger, SourceRow
from curation.shards.catalogue import build_catalogue, groups_of
from curation.shards.copies import pairs_to_compare
from curation.shards.duplicates import (
    DuplicatesConfig,
    Fingerprint,
    are_alike,
    distance,
    find_clusters,
    mirror_hashes,
    pack_hashes,
)
from curation.shards.groups import name_groups
from curation.shards.shards import ShardsConfig, split_of

HALF = ShardsConfig(val_share=0.5)


def source(sha: str, group: str | None = None, split: str | None = None) -> SourceRow:
    return SourceRow(
        sha256=sha, name=f"{sha}.mp4", group=group or sha, num_bytes=1, fingerprint="f",
        sidecar={"split": split} if split else {},
    )  # fmt: skip


def clip(sha: str, hashes: np.ndarray, size: int = 512, start: float = 0.0) -> ClipRow:
    record = {
        "height": size, "width": size, "start_s": start, "end_s": start + 3.0,
        "hashes": pack_hashes(hashes),
    }  # fmt: skip
    return ClipRow(
        clip_id=f"{sha}_{round(start * 1000):08d}", source_sha256=sha, status="kept", code=None,
        evidence={}, record=record, folder="aa/bb",
    )  # fmt: skip


def scene(seed: int, count: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (count, 256)).astype(np.int8)


def encoded_again(hashes: np.ndarray, seed: int, flips: int = 12) -> np.ndarray:
    """A copy of which some bits rolled over, as a second encoding does."""
    rng = np.random.default_rng(seed)
    copy = hashes.copy()
    for row in copy:
        chosen = rng.choice(256, flips, replace=False)
        row[chosen] = np.where(row[chosen] != 0, 0, 1)
    return copy


def splits_of(clips: list[ClipRow], known: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    sources = [source(sha) for sha in sorted({clip.source_sha256 for clip in clips})]
    entries = build_catalogue(
        sources, sorted(clips, key=lambda c: c.clip_id), DuplicatesConfig(), HALF, known
    )
    kept = {entry.clip.clip_id: str(entry.split) for entry in entries if entry.is_kept}
    return kept, {**groups_of(entries), **known}


def test_sources_added_one_by_one_move_no_old_clip_to_another_split():
    clips: list[ClipRow] = []
    known: dict[str, str] = {}
    before: dict[str, str] = {}
    rng = np.random.default_rng(3)
    for number in range(72):
        sha = f"{rng.integers(1 << 40):010x}"
        # every third one is a copy of something old, every ninth bridges two old ones
        content = [scene(number)]
        if number % 3 == 2:
            content = [encoded_again(scene(int(rng.integers(number))), number)]
        if number % 9 == 8:
            content = [encoded_again(scene(int(i)), number) for i in rng.integers(number, size=2)]
        clips += [
            clip(sha, hashes, size=int(rng.integers(300, 700)), start=9.0 * i)
            for i, hashes in enumerate([*content, scene(1000 + number)])
        ]
        after, known = splits_of(clips, known)
        moved = [name for name in before if name in after and after[name] != before[name]]
        assert moved == []
        before = before | after
    assert {"train", "val"} == set(after.values())


def test_planted_copies_are_one_clip_in_one_split():
    clips: list[ClipRow] = []
    for number in range(40):
        original = scene(number)
        for version, hashes in enumerate(
            [original, encoded_again(original, number), mirror_hashes(original)[2:]]
        ):
            clips.append(clip(f"{number * 7919 % 997:03d}{'abc'[version]}", hashes, 400 + version))
    kept, known = splits_of(clips, {})
    assert len(kept) == 40
    for number in range(40):
        stem = f"{number * 7919 % 997:03d}"
        assert len({known[f"{stem}{version}"] for version in "abc"}) == 1


def test_a_copy_that_comes_later_joins_the_old_group_whatever_its_name():
    def draw(name: str) -> str:
        return split_of(name, HALF)

    old = name_groups(["m"], [], {}, draw)
    assert name_groups(["a", "m"], [["a", "m"]], old, draw) == {"a": "m", "m": "m"}
    assert name_groups(["a", "m"], [["a", "m"]], {}, draw) == {"a": "a", "m": "a"}


def test_what_bridges_two_old_groups_follows_the_one_that_is_held_out():
    splits = {"p": "train", "q": "val", "b": "train"}
    names = name_groups(["b", "p", "q"], [["p", "b"], ["b", "q"]], {"p": "p", "q": "q"}, splits.get)  # pyright: ignore[reportArgumentType]
    assert names == {"b": "q", "p": "p", "q": "q"}


def test_the_ledger_never_renames_a_group(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record_places({"a": "a"}, {"c": "train-000000.tar"})
        ledger.record_places({"a": "z", "b": "a"}, {"d": "val-000000.tar"})
        assert ledger.groups() == {"a": "a", "b": "a"}
        assert ledger.shards() == {"d": "val-000000.tar"}


def test_only_clips_that_share_something_are_compared_and_all_copies_are_among_them():
    originals = [scene(seed, count=8 + seed % 20) for seed in range(300)]
    copies = [encoded_again(clip, seed, 16) for seed, clip in enumerate(originals[:100])]
    copies = [mirror_hashes(c) if seed % 2 else c[1:] for seed, c in enumerate(copies)]
    pairs = set(pairs_to_compare([*originals, *copies]))
    assert {(index, 300 + index) for index in range(100)} <= pairs
    assert len(pairs) < 150  # of 79,800
    assert distance(originals[0], copies[0], 4) < 0.025


@pytest.mark.parametrize("seed", range(30))
def test_a_few_samples_of_the_middle_decide_as_all_of_them_would(seed):
    """Copies that are cut, mirrored and noisy, and strangers, at limits around their distance."""
    rng = np.random.default_rng(seed)
    counts, begins = rng.integers(1, 50, 2), rng.integers(0, 30, 2)
    told = rng.choice([-1, 0, 1], (80, 256)).astype(np.int8)
    one, other = (told[start : start + n] for start, n in zip(begins, counts, strict=True))
    if seed % 5 == 0:
        other = rng.choice([-1, 0, 1], other.shape).astype(np.int8)
    noise = rng.random(other.shape) < rng.choice([0.0, 0.01, 0.1])
    other = np.where(noise, 0, mirror_hashes(other) if seed % 2 else other).astype(np.int8)
    apart = distance(one, other, 4)
    clips = [
        Fingerprint(clip_id="", hashes=hashes, pixels=1, duration_s=1.0) for hashes in (one, other)
    ]
    for limit in (0.0, 0.025, apart - 1e-9, apart, apart + 1e-9):
        assert are_alike(*clips, 4, limit) == (apart <= limit)


@pytest.mark.parametrize(
    ("pixels", "seconds", "best"),
    [((100, 50), (3.0, 3.0), 0), ((100, 75), (2.0, 6.0), 1), ((100, 50), (2.0, 4.0), 0)],
)
def test_of_copies_the_one_with_most_picture_in_all_is_kept(
    pixels: tuple[int, int], seconds: tuple[float, float], best: int
):
    hashes = scene(0)
    clips = [
        Fingerprint(clip_id=str(number), hashes=hashes, pixels=area, duration_s=length)
        for number, (area, length) in enumerate(zip(pixels, seconds, strict=True))
    ]
    for order in (clips, clips[::-1]):
        ((first, _),) = find_clusters(order, DuplicatesConfig())
        assert first.clip_id == str(best)


def test_a_thousand_copies_of_one_clip_hang_together_without_all_pairs():
    original = scene(0)
    copies = [encoded_again(original, seed, 6) for seed in range(400)]
    pairs = list(pairs_to_compare(copies))
    assert len(pairs) < 400 * 399 / 2
    assert {(a, b) for a, b in pairwise(range(400))} <= set(pairs) or _is_connected(pairs, 400)


def _is_connected(pairs: list[tuple[int, int]], count: int) -> bool:
    reached, border = {0}, [0]
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    while border:
        fresh = [n for n in neighbours.get(border.pop(), []) if n not in reached]
        reached |= set(fresh)
        border += fresh
    return len(reached) == count
