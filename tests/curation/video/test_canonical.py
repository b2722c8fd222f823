import numpy as np
import pytest

from configs.errors import ConfigError
from curation.video.canonical import CanonicalConfig, clip_rate, plan_crop, read_clip
from datasets.video.orientation import Orientation

CONFIG = CanonicalConfig()


def read(path, upright=(180, 320), person=(0, 0, 320, 180), **changes):
    plan = plan_crop(person, (0, 0, upright[1], upright[0]), CONFIG)
    values = {"start_s": 0.0, "end_s": 1.0, "fps": 25.0, **changes}
    return read_clip(path, **values, plan=plan, upright=upright, orientation=Orientation())


@pytest.mark.parametrize(
    ("person", "bucket"),
    [
        ((800, 100, 1100, 1000), (512, 384)),
        ((400, 300, 1000, 850), (512, 512)),
        ((200, 500, 1300, 1000), (384, 512)),
    ],
)
def test_the_bucket_nearest_to_the_persons_shape_is_taken_without_squashing(person, bucket):
    plan = plan_crop(person, (0, 0, 1920, 1080), CONFIG)
    assert (plan.height, plan.width) == bucket
    ratio = (plan.crop_height / plan.crop_width) / (plan.height / plan.width)
    assert abs(ratio - 1) < 0.01
    assert plan.coverage == 1.0
    top, left, height, width = plan.crop
    assert top <= person[1]
    assert left <= person[0]
    assert top + height >= person[3]
    assert left + width >= person[2]


def test_small_sources_give_smaller_clips_instead_of_upscaled_ones():
    plan = plan_crop((60, 10, 130, 170), (0, 0, 320, 180), CONFIG)
    assert plan.height <= 1.5 * plan.crop_height
    assert plan.height % 16 == 0
    assert plan.width % 16 == 0
    assert plan.height / plan.width == pytest.approx(4 / 3)


def test_the_crop_stays_inside_the_letterbox():
    plan = plan_crop((100, 40, 300, 330), (0, 45, 480, 315), CONFIG)
    assert plan.top >= 45
    assert plan.top + plan.crop_height <= 315


def test_rates_are_the_sources_up_to_thirty():
    assert clip_rate(np.round(np.arange(60) / 30, 3), 30.0) == 30.0  # Matroska's milliseconds
    assert clip_rate(np.delete(np.arange(60) / 30, 17), 30.0) == 30.0  # one frame is missing
    assert clip_rate(np.arange(99) / 60, 30.0) == 30.0
    assert clip_rate(np.arange(99) * 1001 / 24000, 30.0) == pytest.approx(24000 / 1001)
    assert clip_rate(np.arange(20) / 5, 30.0) == 5.0
    assert clip_rate(np.arange(20) / 7.3, 30.0) == pytest.approx(7.3)


def test_frames_are_the_nearest_in_time_on_a_variable_rate(tmp_path, write_video):
    # gray level = 30 + 3 x frame index: what is shown tells which frame it was
    frames = [np.full((180, 320, 3), 30 + 3 * index, np.uint8) for index in range(60)]
    times = np.cumsum(np.tile([0.02, 0.06, 0.04], 20)) - 0.02
    path = write_video(tmp_path / "v.mp4", frames, 25, times_s=times, options={"qp": "0"})
    clip = read(path, end_s=2.0, fps=16.0)
    assert len(clip) == 32
    wanted = [int(np.abs(times - i / 16).argmin()) for i in range(32)]
    assert [round((float(frame.mean()) - 30) / 3) for frame in clip] == wanted


def test_a_clip_never_reaches_over_its_end_into_the_next_scene(tmp_path, write_video):
    dark, bright = np.full((180, 320, 3), 40, np.uint8), np.full((180, 320, 3), 220, np.uint8)
    path = write_video(tmp_path / "v.mp4", [dark] * 25 + [bright] * 25)
    before = read(path, start_s=0.2, end_s=1.0, fps=30.0)
    after = read(path, start_s=1.0, end_s=2.0, fps=30.0)
    assert before.max() < 100
    assert after.min() > 150
    assert (len(before), len(after)) == (24, 30)


def test_only_the_crop_is_in_the_clip(tmp_path, write_video):
    image = np.zeros((400, 600, 3), np.uint8)
    image[:, 300:] = 255
    path = write_video(tmp_path / "v.mp4", [image] * 25)
    left = read(path, (400, 600), (40, 20, 260, 380))
    right = read(path, (400, 600), (360, 20, 580, 380))
    assert left.mean() < 10
    assert right.mean() > 240
    assert left.shape[1] % 16 == 0


def test_buckets_that_no_network_can_take_are_refused():
    with pytest.raises(ConfigError, match="multiples of 16"):
        CanonicalConfig(buckets=[[500, 384]])
