from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from curation.clip import Clip, Tracks, run_stages
from curation.stages.agnostic import AgnosticConfig, MaskGarment, agnostic_frames
from datasets.labels import DensePosePart, ParseLabel
from datasets.sample import bytes_to_signed, compose_agnostic, signed_to_bytes

CLIP = Clip(
    source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=1, start_s=0, end_s=1
)


def tracks() -> Tracks:
    parse = np.zeros((4, 64, 48), np.uint8)
    parse[:, 8:16, 20:28] = ParseLabel.FACE
    parse[:, 18:40, 14:34] = ParseLabel.UPPER
    parse[:, 40:60, 16:32] = ParseLabel.LOWER
    iuv = np.zeros((4, 112, 112, 3), np.uint8)
    iuv[:, 30:70, 20:90, 0] = DensePosePart.TORSO_FRONT
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 48, 3), dtype=np.uint8)
    boxes = np.array([[10, 6, 38, 62]] * 4, np.float32)
    return Tracks(frames=frames, iuv=iuv, boxes=boxes, parse=parse)


def test_the_garment_is_covered_and_the_face_stays() -> None:
    done = MaskGarment(config=AgnosticConfig()).process(CLIP, tracks())
    clip, masked = done
    assert masked.mask is not None
    assert masked.parse is not None
    assert (masked.mask[masked.parse == ParseLabel.UPPER] == 255).all()
    assert not masked.mask[masked.parse == ParseLabel.FACE].any()
    assert clip.scores["mask_coverage"] == 1.0
    assert 0.1 < clip.scores["mask_area"] < 0.4


def test_other_categories_are_a_setting() -> None:
    done = MaskGarment(config=AgnosticConfig(category="lower")).process(CLIP, tracks())
    assert done[1].mask is not None
    assert (done[1].mask[:, 50:60, 16:32] == 255).all()
    assert done[0].verdicts["agnostic"] == "lower"
    with pytest.raises(ConfigError, match="category is 'hat'; accepted: upper, lower, overall"):
        AgnosticConfig(category="hat")


def test_the_margin_is_a_setting_and_its_default_is_the_categorys() -> None:
    keys = [
        MaskGarment(config=AgnosticConfig(category=category, margin=margin)).provenance_key()
        for category in ("upper", "lower")
        for margin in (None, "tight", "wide")
    ]
    assert [key["margin"] for key in keys] == ["tight", "tight", "wide", "wide", "tight", "wide"]
    wide, tight = (
        MaskGarment(config=AgnosticConfig(margin=margin)).process(CLIP, tracks())[1].mask
        for margin in ("wide", "tight")
    )
    assert wide is not None
    assert tight is not None
    assert (wide > 0).sum() > 1.2 * (tight > 0).sum()
    with pytest.raises(ValueError, match="margin is 'broad'; tight or wide is accepted"):
        AgnosticConfig(margin="broad")


def test_a_mask_over_everything_or_nothing_is_a_failure_not_a_black_frame() -> None:
    full = tracks()
    assert full.parse is not None
    assert full.iuv is not None
    everything = replace(full, parse=np.full_like(full.parse, ParseLabel.UPPER))
    done = run_stages([MaskGarment(config=AgnosticConfig())], CLIP, everything).reject
    assert done is not None
    assert done.code == "mask_failed"
    assert done.evidence["largest_area"] == 1.0 > done.evidence["max_area"]
    nothing = replace(full, parse=np.zeros_like(full.parse), iuv=np.zeros_like(full.iuv))
    done = run_stages([MaskGarment(config=AgnosticConfig())], CLIP, nothing).reject
    assert done is not None
    assert done.evidence["smallest_area"] == 0.0


def test_agnostic_frames_are_gray_under_the_mask_and_untouched_elsewhere() -> None:
    frames = tracks().frames
    mask = np.zeros(frames.shape[:3], np.uint8)
    mask[:, 10:20, 5:30] = 255
    agnostic = agnostic_frames(frames, mask)
    assert (agnostic[mask > 0] == 128).all()
    np.testing.assert_array_equal(agnostic[mask == 0], frames[mask == 0])


def test_agnostic_frames_are_the_bytes_of_what_networks_see() -> None:
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (3, 12, 16, 3), np.uint8)
    mask = random.integers(0, 256, (3, 12, 16), np.uint8)  # a decoded mask has all values
    video = bytes_to_signed(torch.from_numpy(np.moveaxis(frames, -1, 1).copy()))
    painted = torch.from_numpy((mask > 127).astype(np.float32)[:, None])
    seen = np.moveaxis(signed_to_bytes(compose_agnostic(video, painted)).numpy(), 1, -1)
    np.testing.assert_array_equal(agnostic_frames(frames, mask), seen)
