"""What certainly is background, and what are bare arms: made, stored and read back."""

import numpy as np

from datasets.labels import DensePosePart, ParseLabel
from inference.conditions.chunks import PerceivedFrames, chunk_bare, chunk_ground
from inference.conditions.stored import ConditionTracks, load_chunk, store_chunk

HEIGHT, WIDTH = 200, 144


def perceived() -> PerceivedFrames:
    labels = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    labels[:, 20:180, 50:100] = ParseLabel.UPPER
    iuv = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    iuv[:, 20:180, 48:130, 0] = DensePosePart.TORSO_FRONT
    return PerceivedFrames(labels=labels, iuv=iuv, present=np.array([True, False]), others=None)


def test_background_is_what_the_parser_says_unless_densepose_sees_a_body_well_inside() -> None:
    ground = chunk_ground(perceived())
    assert ground[0, :, :48].all()
    assert ground[0, 60:140, 48:50].all()  # DensePose's outline is coarse
    assert not ground[0, 60:140, 50:125].any()  # clothes, and what the parser missed
    assert not ground[1].any()  # nobody was found


def test_background_is_stored_with_mask_and_densepose(tmp_path) -> None:
    seen, ground = perceived(), chunk_ground(perceived())
    mask = np.full((2, HEIGHT, WIDTH), 255, np.uint8)
    tracks = ConditionTracks(mask=mask, iuv=seen.iuv, present=seen.present, ground=ground)
    store_chunk(tmp_path, 0, tracks)
    read = load_chunk(tmp_path, 0, HEIGHT, WIDTH)
    assert read.ground is not None
    assert np.array_equal(read.ground, ground)
    assert read.hem is None


def test_bare_arms_are_the_parsers_and_nobody_elses(tmp_path) -> None:
    seen = perceived()
    seen.labels[:, 100:150, 50:60] = ParseLabel.ARMS
    bare = chunk_bare(seen)
    assert bare[0].sum() == 500
    assert not bare[1].any()  # nobody was found
    others = np.zeros_like(bare)
    others[:, :120] = True
    alone = PerceivedFrames(labels=seen.labels, iuv=seen.iuv, present=seen.present, others=others)
    assert chunk_bare(alone).sum() == 300
    mask = np.full((2, HEIGHT, WIDTH), 255, np.uint8)
    store_chunk(
        tmp_path, 0, ConditionTracks(mask=mask, iuv=seen.iuv, present=seen.present, bare=bare)
    )
    read = load_chunk(tmp_path, 0, HEIGHT, WIDTH)
    assert read.bare is not None
    assert np.array_equal(read.bare, bare)
