"""Crops of garments and the classifier of their patterns, at tiny size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.synthetic.hard_cast import CLASSES
from training.experiments.pattern_classifier import (
    ClassifierConfig,
    PatternClassifier,
    train_classifier,
)
from training.experiments.pattern_crops import (
    SIDE,
    CropSet,
    CropSetConfig,
    cut_garment,
    make_crops,
    to_input,
)


def test_a_crop_holds_the_garment_alone_at_one_scale_in_a_square():
    frame = np.random.default_rng(0).integers(0, 255, (128, 96, 3), dtype=np.uint8)
    mask = np.zeros((128, 96), bool)
    mask[30:90, 20:50] = True
    crop = cut_garment(frame, mask)
    assert crop.shape == (SIDE, SIDE, 4)
    inside = crop[..., 3] > 127
    assert inside.any(axis=1).sum() == SIDE
    assert inside.any(axis=0).sum() == SIDE // 2
    assert cut_garment(frame, np.zeros_like(mask)) is None


def test_colours_do_not_reach_the_classifier():
    crops = np.zeros((2, SIDE, SIDE, 4), np.uint8)
    crops[:, 20:70, 30:60, 3] = 255
    crops[:, 20:70, 30:60, :3] = np.uint8([60, 90, 120])
    crops[:, 20:70:4, 30:60, :3] = np.uint8([90, 120, 150])
    crops[1, ..., :3] += np.uint8(70) * (crops[1, ..., 3:] > 0)
    first, second = to_input(crops)
    torch.testing.assert_close(first, second, atol=0.02, rtol=0)
    assert first[:3][:, first[3] == 0].abs().max() == 0


def drawn(num: int, seed: int) -> CropSet:
    """Plain garments and striped ones of any colours: what a few steps can learn."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((num, SIDE, SIDE, 4), np.uint8)
    labels = np.arange(num) % 2
    for picture, label in zip(pictures, labels, strict=True):
        picture[10:86, 20:76, 3] = 255
        picture[10:86, 20:76, :3] = rng.integers(0, 255, 3) + rng.integers(0, 9, (76, 56, 3)) % 256
        if label:
            period = int(rng.integers(6, 12))
            for row in range(10, 86, period):
                picture[row : row + period // 2, 20:76, :3] = rng.integers(0, 255)
    return CropSet(pictures=pictures, labels=labels.astype(np.int64), clips=np.arange(num))


@pytest.fixture
def config(tmp_path, monkeypatch):
    sets = {"train": drawn(48, 0), "bench": drawn(20, 1)}
    monkeypatch.setattr(
        "training.experiments.pattern_classifier.make_crops",
        lambda config, *_: sets[config.split],
    )
    return ClassifierConfig(cache=str(tmp_path), width=8, epochs=8, batch_size=8, workers=1)


def test_it_learns_goes_on_where_it_was_stopped_and_is_kept(config, monkeypatch):
    whole = train_classifier(config)
    assert whole.accuracy["by_clip"] >= 0.8
    assert set(whole.accuracy["by_class"]) == {"plain", "stripes"}
    monkeypatch.setattr(
        "training.experiments.pattern_classifier.functional.cross_entropy",
        lambda *_, **__: pytest.fail("a finished one learns no more"),
    )
    again = train_classifier(config)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert again.accuracy["by_clip"] == whole.accuracy["by_clip"]
    monkeypatch.undo()


def test_other_code_that_prepares_crops_trains_anew(config, tmp_path, monkeypatch):
    train_classifier(config)
    changed = tmp_path / "pattern_crops.py"
    changed.write_text("def to_input(crops): ...")
    monkeypatch.setattr(
        "training.experiments.pattern_classifier.pattern_crops.__file__", str(changed)
    )
    train_classifier(config)
    assert len(list(tmp_path.glob("*/state.pt"))) == 2


def test_a_stopped_training_ends_with_the_same_weights(config, tmp_path, monkeypatch):
    whole = train_classifier(config)
    module = "training.experiments.pattern_classifier"
    other = replace(config, cache=str(tmp_path / "other"))
    save, calls = torch.save, []

    def stop_after_three(content, path):
        save(content, path)
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(f"{module}.torch.save", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(other)
    monkeypatch.setattr(f"{module}.torch.save", save)
    resumed = train_classifier(other)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_crops_of_true_renders_are_made_once(tmp_path):
    config = CropSetConfig(split="val", num_clips=3, num_frames=2, height=128, width=96)
    crops = make_crops(config, tmp_path, workers=1)
    assert crops.pictures.shape[1:] == (SIDE, SIDE, 4)
    assert set(crops.labels) <= set(range(len(CLASSES)))
    assert len(crops.pictures) == len(crops.labels) == len(crops.clips) >= 3
    (path,) = tmp_path.glob("crops-val-*.npz")
    stamp = path.stat().st_mtime_ns
    again = make_crops(config, tmp_path, workers=1)
    np.testing.assert_array_equal(crops.pictures, again.pictures)
    assert path.stat().st_mtime_ns == stamp
    logits = PatternClassifier(8)(to_input(crops.pictures))
    assert logits.shape == (len(crops.labels), len(CLASSES))
