"""SSIM, LPIPS and colour against torchmetrics called directly and published test values."""

import numpy as np
import pytest
import torch
import torchvision
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.functional.image.lpips import _LPIPS

from training.metrics.colour import (
    delta_e_76,
    delta_e_2000,
    garment_pixels,
    mean_lab,
    region_colour,
)
from training.metrics.lpips import Lpips
from training.metrics.ssim import ssim_per_frame

SHAPE = (18, 40, 48, 3)


def frames(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8)


def to_tensor(video: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(video).permute(0, 3, 1, 2).to(dtype) / 255


def test_ssim_equals_torchmetrics_called_directly() -> None:
    prediction, truth = frames(0), (frames(0) // 2 + frames(1) // 2).astype(np.uint8)
    region = np.random.default_rng(9).random(SHAPE[:3]) < 0.3
    whole, inside = ssim_per_frame(prediction, truth, region)
    sides = [to_tensor(side, torch.float64) for side in (prediction, truth)]
    expected, image = structural_similarity_index_measure(
        *sides, data_range=1.0, reduction="none", return_full_image=True
    )
    np.testing.assert_allclose(whole, expected.numpy(), rtol=1e-9)
    painted = [float(image[t].mean(0).numpy()[region[t]].mean()) for t in range(len(region))]
    np.testing.assert_allclose(inside, painted, rtol=1e-9)
    single = structural_similarity_index_measure(
        to_tensor(prediction), to_tensor(truth), data_range=1.0, reduction="none"
    )
    np.testing.assert_allclose(whole, single.numpy(), rtol=1e-5)


@pytest.mark.parametrize("corner", [(0, 0), (14, 17), (30, 40)])
def test_ssim_of_frames_that_differ_in_one_place_equals_torchmetrics(
    corner: tuple[int, int],
) -> None:
    truth = frames(12)[:2]
    prediction = truth.copy()
    prediction[1, corner[0] : corner[0] + 6, corner[1] : corner[1] + 7] //= 3
    region = np.ones(truth.shape[:3], dtype=bool)
    whole, _ = ssim_per_frame(prediction, truth, region)
    expected = structural_similarity_index_measure(
        *[to_tensor(side, torch.float64) for side in (prediction, truth)],
        data_range=1.0,
        reduction="none",
    )
    assert expected is not None
    np.testing.assert_allclose(whole, np.asarray(expected), rtol=1e-9)
    assert whole[1] < whole[0] == 1


def test_gray_ssim_compares_luma_alone() -> None:
    prediction, truth = frames(2), frames(3)
    ones = np.ones(SHAPE[:3], dtype=bool)
    gray, _ = ssim_per_frame(prediction, truth, ones, "gray")
    luma = [np.rint(v @ np.array([0.299, 0.587, 0.114])) / 255 for v in (prediction, truth)]
    expected = structural_similarity_index_measure(
        *(torch.from_numpy(side[:, None]) for side in luma),
        data_range=1.0,
        reduction="none",
    )
    np.testing.assert_allclose(gray, expected.numpy(), rtol=1e-9)
    assert abs(gray.mean() - ssim_per_frame(prediction, truth, ones)[0].mean()) > 1e-4


def test_equal_frames_have_ssim_one_everywhere() -> None:
    region = np.zeros(SHAPE[:3], dtype=bool)
    region[1:, 10:20, 10:20] = True
    whole, inside = ssim_per_frame(frames(4), frames(4), region)
    np.testing.assert_allclose(whole, 1, atol=1e-12)
    np.testing.assert_allclose(inside[1:], 1, atol=1e-12)
    assert np.isnan(inside[0])
    flat = np.full((2, 40, 48, 3), (200, 60, 50), np.uint8)  # float32 is off by 1e-4 here
    np.testing.assert_allclose(ssim_per_frame(flat, flat, region[:2])[0], 1, atol=1e-12)


def test_the_masked_region_sees_what_the_whole_frame_dilutes() -> None:
    truth = frames(5)
    prediction = truth.copy()
    prediction[:, 10:20, 10:20] = 128
    region = np.zeros(SHAPE[:3], dtype=bool)
    region[:, 10:20, 10:20] = True
    whole, inside = ssim_per_frame(prediction, truth, region)
    assert whole.mean() > 0.7
    assert inside.mean() < 0.4


@pytest.fixture(scope="module")
def backbones() -> dict[str, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return {
        "alex": torchvision.models.alexnet(weights=None).state_dict(),
        "squeeze": torchvision.models.squeezenet1_1(weights=None).state_dict(),
    }


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_lpips_equals_torchmetrics_on_the_same_backbone(
    net: str, backbones: dict[str, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = {"alex": "alexnet", "squeeze": "squeezenet1_1"}[net]
    built = getattr(torchvision.models, classifier)(weights=None)
    built.load_state_dict(backbones[net])
    # torchmetrics asks torchvision for pretrained weights by name: hand it ours, without a download
    monkeypatch.setattr(torchvision.models, classifier, lambda weights: built)
    direct = _LPIPS(pretrained=True, net=net, pnet_rand=False)
    monkeypatch.undo()
    prediction = np.tile(frames(6)[:17], (1, 2, 2, 1))
    truth = np.tile(frames(7)[:17], (1, 2, 2, 1))
    with torch.no_grad():
        expected = direct(to_tensor(prediction) * 2 - 1, to_tensor(truth) * 2 - 1).flatten()
    ours = Lpips(net, backbones[net])
    everywhere = np.ones(truth.shape[:3], dtype=bool)
    whole, inside = ours.per_frame(prediction, truth, everywhere)
    np.testing.assert_allclose(whole, expected.numpy(), rtol=1e-5)
    np.testing.assert_allclose(inside, whole, rtol=0.05)  # maps are widened to the frame
    equal = ours.per_frame(truth[:2], truth[:2], everywhere[:2])
    assert [side.tolist() for side in equal] == [[0, 0], [0, 0]]


def test_masked_lpips_sees_a_fault_where_it_is(
    backbones: dict[str, dict[str, torch.Tensor]],
) -> None:
    truth = np.full((2, 96, 96, 3), 128, np.uint8)
    prediction = truth.copy()
    prediction[:, 8:24, 8:24] = 255
    fault = np.zeros(truth.shape[:3], dtype=bool)
    fault[0, 8:24, 8:24] = True
    elsewhere = np.zeros_like(fault)
    elsewhere[0, 72:, 72:] = True
    metric = Lpips("squeeze", backbones["squeeze"])
    _, here = metric.per_frame(prediction, truth, fault)
    _, there = metric.per_frame(prediction, truth, elsewhere)
    assert there[0] < 0.2 * here[0]
    assert np.isnan(here[1])


def test_a_backbone_under_another_name_is_refused(
    backbones: dict[str, dict[str, torch.Tensor]],
) -> None:
    with pytest.raises(ValueError, match=r"backbone 'squeeze': features"):
        Lpips("squeeze", backbones["alex"])


# Sharma, Wu and Dalal 2005, table 1, pairs 1, 7, 14, 17, 20, 24, 25 and 34
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((50.0, 2.5, 0.0), (50.0, 3.2592, 0.335), 1.0),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_ciede2000_gives_the_published_test_values(
    first: tuple[float, ...], second: tuple[float, ...], expected: float
) -> None:
    a, b = np.array(first), np.array(second)
    assert delta_e_2000(a, b) == pytest.approx(expected, abs=1e-4)
    assert delta_e_2000(b, a) == pytest.approx(expected, abs=1e-4)


def test_lab_of_white_and_red_are_the_textbook_ones() -> None:
    white = mean_lab(np.full((4, 3), 255, np.uint8))
    red = mean_lab(np.tile(np.array([[255, 0, 0]], np.uint8), (4, 1)))
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.1)
    np.testing.assert_allclose(red, [53.24, 80.09, 67.20], atol=0.2)
    assert delta_e_76(white, white) == 0


def test_a_garment_picture_counts_without_its_ground() -> None:
    image = np.full((40, 30, 3), 255, np.uint8)
    image[10:30, 8:22] = (200, 30, 60)
    assert garment_pixels(image).tolist() == [[200, 30, 60]] * (20 * 14)
    plain = np.full((8, 8, 3), 90, np.uint8)
    assert len(garment_pixels(plain)) == 64


def test_an_empty_region_has_no_colour() -> None:
    assert region_colour(frames(8), np.zeros(SHAPE[:3], dtype=bool)) is None
