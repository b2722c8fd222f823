"""Interlaced frames without a mark are found, and stripes are not taken for them."""

from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest
from made_videos import Made, make_video, picture

from curation.pipeline import Curator
from curation.selection.probe import ProbeConfig
from curation.settings import CurateConfig
from datasets.video.combs import BOTTOM_FIRST, LEAST_VOTES, TOP_FIRST, WHOLE, field_order
from datasets.video.reader import ReadNotes, read_frames
from inference.video.source import Reading, open_video
from tests.curation import hostile
from tests.fuzz.media import CONTAINERS

HEIGHT, WIDTH = 144, 176


def room(index: float, seed: int = 3) -> np.ndarray:
    """A blurred texture that moves, uint8."""
    noise = np.random.default_rng(seed).integers(0, 255, (HEIGHT, 2 * WIDTH)).astype(np.float32)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 20, 230, cv2.NORM_MINMAX)
    shift = np.float32([[1, 0, -index], [0, 1, 0]])
    return cv2.warpAffine(image, shift, (WIDTH, HEIGHT)).astype(np.uint8)


def woven(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The even lines of one moment and the odd ones of another."""
    image = first.copy()
    image[1::2] = second[1::2]
    return image


def striped(index: int, period: float, speed: tuple[float, float], tilt: float) -> np.ndarray:
    """Someone in a striped shirt before the room; the shirt moves (down, to the right)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    y, x = y - HEIGHT / 2 - speed[0] * index, x - WIDTH / 2 - speed[1] * index
    wave = np.sin(2 * np.pi * (np.cos(tilt) * y + np.sin(tilt) * x) / period + 0.7)
    shirt = 128 + 90 * np.tanh(6 * wave)
    image = np.where((abs(x) < 50) & (abs(y) < 55), shirt, room(0))
    return cv2.GaussianBlur(image, (0, 0), 0.5).astype(np.uint8)  # as a lens draws it


def orders(images: list[np.ndarray]) -> Counter[str | None]:
    return Counter(field_order(a, b) for a, b in pairwise(images))


@pytest.mark.parametrize("speed", [1, 2.5, 4])  # px between the two moments of a frame
def test_the_order_of_the_lines_is_found(speed):
    moments = [room(speed * i) for i in range(20)]
    pairs = list(zip(moments[::2], moments[1::2], strict=True))
    assert orders([woven(a, b) for a, b in pairs]) == {TOP_FIRST: 9}
    assert orders([woven(b, a) for a, b in pairs]) == {BOTTOM_FIRST: 9}
    assert orders(moments) == {WHOLE: 19}
    assert orders([moments[0]] * 3) == {None: 2}


@pytest.mark.parametrize("period", [2, 2.5, 3, 4, 6, 12])
def test_stripes_are_no_combs(period):
    for speed in ((0.5, 0), (1, 0), (-1, 3), (2, 1), (3, -2), (0, 5)):
        for tilt in (0.0, 0.1):
            found = orders([striped(i, period, speed, tilt) for i in range(12)])
            assert max(found[TOP_FIRST], found[BOTTOM_FIRST]) < LEAST_VOTES, (speed, tilt, found)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_video_without_the_mark_is_deinterlaced_and_said(tmp_path, suffix):
    codec = CONTAINERS[suffix]
    made = Made(is_interlaced=True, is_marked=False, codec=codec, size=(144, 176))
    path = make_video(tmp_path / f"v.{suffix}", made)
    notes = ReadNotes()
    frames = [frame.to_ndarray(format="gray") for _, frame in read_frames(path, notes)]
    assert (notes.num_interlaced, notes.is_mark_missing, len(frames)) == (12, True, 12)
    assert orders(frames)[TOP_FIRST] < LEAST_VOTES
    source, reading = open_video(path), Reading()
    tried = [frame.image for frame in source.frames(reading)]
    said = "12 interlaced frames were deinterlaced; its coder did not mark them"
    assert said in source.remarks(reading)
    if codec == "libx264":  # of high quality: the even lines' moment, as a whole picture
        for index, image in enumerate(tried):
            truth = np.roll(picture(index, *made.size), 8 * index, axis=1)
            shown, wanted = (
                cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).astype(int) for i in (image, truth)
            )
            assert np.abs(shown - wanted).mean() < 3  # 4:2:0 mixes both moments' colours


def test_a_video_that_changes_its_size_early_is_read(tmp_path):
    first, second = hostile.dance(4), hostile.dance(8, height=320, width=240)
    path = hostile.write_two_sizes(tmp_path / "v.ts", [first, second])
    assert len(list(read_frames(path, ReadNotes()))) == 12


def test_a_progressive_video_is_left_alone(tmp_path):
    notes, path = ReadNotes(), make_video(tmp_path / "v.mp4", Made(num_frames=30))
    assert len(list(read_frames(path, notes))) == 30
    assert (notes.num_interlaced, notes.is_mark_missing) == (0, False)


def test_frames_from_the_middle_are_those_of_the_whole(tmp_path):
    made = Made(is_interlaced=True, is_marked=False, num_frames=40)
    path = make_video(tmp_path / "v.mp4", made)
    whole = {time: frame.to_ndarray() for time, frame in read_frames(path, ReadNotes())}
    part = [(time, frame.to_ndarray()) for time, frame in read_frames(path, ReadNotes(), 0.8)]
    assert len(part) == 20
    assert all(np.array_equal(whole[time], image) for time, image in part)


def test_curation_refuses_them_where_it_is_told_to(tmp_path):
    make_video(tmp_path / "in/v.mp4", Made(is_interlaced=True, is_marked=False, size=(288, 352)))
    config = CurateConfig(out=str(tmp_path / "out"), probe=ProbeConfig(interlaced="refuse"))
    curator = Curator(config, hostile.colour_perception())
    (result,) = [curator.curate(job, lambda _: None) for job in hostile.jobs_in(tmp_path / "in")]
    assert (result.row.code, result.row.evidence) == ("interlaced", {"interlaced_frames": 12})
