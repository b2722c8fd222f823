from collections import Counter

import numpy as np
import pytest
import torch

from datasets.loading.swapping import PATTERNS, SwapConfig, choose_pattern, known_frames, swap_mask


def test_patterns_come_as_often_as_configured() -> None:
    config = SwapConfig(none=0.5, first=0.2, first_last=0.1, first_k=0.15, scattered=0.05)
    random = np.random.default_rng(0)
    counts = Counter(choose_pattern(config, 8, random) for _ in range(20_000))
    for pattern, probability in zip(PATTERNS, config.probabilities, strict=True):
        assert counts[pattern] / 20_000 == pytest.approx(probability, abs=0.012)


def test_single_frames_are_never_swapped() -> None:
    config = SwapConfig(none=0.0, first=0.25, first_last=0.25, first_k=0.25, scattered=0.25)
    random = np.random.default_rng(0)
    assert {choose_pattern(config, 1, random) for _ in range(100)} == {"none"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("none", []), ("first", [0]), ("first_last", [0, 7])],
)
def test_fixed_patterns_know_exactly_their_frames(pattern: str, expected: list[int]) -> None:
    known = known_frames(pattern, 8, 0.5, np.random.default_rng(0))
    assert known.nonzero()[:, 0].tolist() == expected


def test_first_k_is_a_prefix_and_scattered_is_not_always_one() -> None:
    random = np.random.default_rng(1)
    prefixes = [known_frames("first_k", 8, 0.5, random) for _ in range(200)]
    assert {int(known.sum()) for known in prefixes} == {1, 2, 3, 4}
    assert all(known[: int(known.sum())].all() for known in prefixes)
    scattered = [known_frames("scattered", 8, 0.5, random) for _ in range(200)]
    assert torch.stack(scattered).any(dim=0).all()
    assert max(int(known.sum()) for known in scattered) == 4


def test_some_frame_always_stays_unknown() -> None:
    random = np.random.default_rng(2)
    for pattern in PATTERNS[1:]:
        for frames in (2, 3):
            if pattern == "first_last" and frames == 2:
                continue
            assert not known_frames(pattern, frames, 0.9, random).all()


def test_swapping_zeroes_the_mask_of_known_frames_alone() -> None:
    mask = torch.rand(3, 1, 4, 4)
    swapped = swap_mask(mask, torch.tensor([True, False, True]))
    assert not swapped[[0, 2]].any()
    assert torch.equal(swapped[1], mask[1])


def test_probabilities_that_do_not_add_up_are_refused_with_their_sum() -> None:
    with pytest.raises(ValueError, match=r"add up to 1\.1"):
        SwapConfig(none=0.5)
