import io
import logging
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tryon_fixtures import is_shirt, write_video

from configs.command import run_command
from configs.errors import ConfigError, DataError
from datasets.labels import ParseLabel as P
from datasets.masks import inpainting_mask
from inference.checkpoint_choice import choose_checkpoint
from inference.conditions.perceive import perceive
from inference.errors import VideoUnreadable
from inference.job_list import read_inputs
from inference.progress import Tracker
from inference.tryon import main
from inference.tryon_config import read_job
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder

CONFIGS = Path(__file__).parents[2] / "configs"


def make_conditions(path, perception, folder, progress=None):
    return perceive(
        open_video(path), "upper", None, 32, 48, perception, WorkFolder(folder), Tracker(progress)
    )


def test_conditions_follow_the_person(tmp_path, perception):
    path = write_video(tmp_path / "v.mp4", people=[True] * 9)
    calls = []
    found = make_conditions(path, perception, tmp_path / "work", calls.append)
    framing, frames = found.framing, list(found.frames())
    assert framing.out_height % 32 == 0
    assert framing.out_height / framing.out_width == pytest.approx(32 / 48)
    assert len(frames) == found.num_frames == 9
    size = framing.out_height, framing.out_width
    assert {frame.mask.shape for frame in frames} == {size}
    assert {frame.image.shape for frame in frames} == {(*size, 3)}
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(9)])
    masks = np.stack([frame.mask for frame in frames])
    shirts = np.stack([is_shirt(frame.image) for frame in frames])
    assert (masks[shirts] == 255).mean() > 0.97
    assert (masks > 0).mean() < 0.6
    assert all(tuple(frame.densepose[0, 0]) == (68, 1, 84) for frame in frames)  # a corner
    assert [frame.index for frame in frames] == list(range(9))
    assert calls[-1].fraction == pytest.approx(0.4)  # of a job that paints as well
    assert [call.fraction for call in calls] == sorted(call.fraction for call in calls)


def test_a_person_missed_for_a_moment_is_painted_through_and_one_who_left_is_not(
    tmp_path, perception
):
    people = [True, True, False, True, True, False, False, False, False, False, False]
    path = write_video(tmp_path / "v.mp4", people=people)
    found = make_conditions(path, perception, tmp_path / "work")
    painted = [frame.mask.any() for frame in found.frames()]
    assert all(painted[:5])
    assert not any(painted[5:])
    assert found.num_without_person == 7


def test_a_result_is_the_source_but_for_the_garment(tmp_path, pipeline, garment):
    path = write_video(tmp_path / "v.mp4", people=[True] * 7)
    result = pipeline(path, garment, seed=1)
    source = [frame.image for frame in open_video(path).frames()]
    frames = list(result.frames())
    assert len(frames) == 7
    assert result.fps == 10
    assert result.report["num_frames"] == 7
    for before, after in zip(source, frames, strict=True):
        assert after.shape == before.shape
        assert np.array_equal(after[:, -8:], before[:, -8:])  # far from the person
        shirt = is_shirt(before)
        assert (np.abs(after[shirt].astype(int) - before[shirt]).max(-1) > 15).mean() > 0.5
    saved = open_video(result.save(tmp_path / "o.mp4"))
    assert (saved.height, saved.width, saved.rate) == (120, 160, Fraction(10))
    assert len(list(saved.frames())) == 7
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.metadata["comment"].startswith("Synthetic video")


def test_frames_in_which_nobody_is_seen_are_kept(tmp_path, pipeline, garment):
    path = write_video(tmp_path / "v.mp4", people=[True] * 4 + [False] * 8)
    result = pipeline(path, garment)
    source = [frame.image for frame in open_video(path).frames()]
    frames = list(result.frames())
    assert len(frames) == 12
    assert all(np.array_equal(frames[i], source[i]) for i in range(9, 12))
    assert not np.array_equal(frames[0], source[0])


def test_a_video_without_a_person_gets_one_sentence(tmp_path, pipeline, garment):
    path = write_video(tmp_path / "v.mp4", people=[False] * 4)
    with pytest.raises(DataError, match=r"no person found in .*v\.mp4"):
        pipeline(path, garment)


def test_an_unknown_category_gets_one_sentence(tmp_path, pipeline, garment):
    path = write_video(tmp_path / "v.mp4", people=[True] * 3)
    with pytest.raises(ConfigError, match="category='hat'; one of upper, lower, overall"):
        pipeline(path, garment, category="hat")


def test_a_wide_margin_paints_more_and_is_the_curated_mask(tmp_path, perception):
    path = write_video(tmp_path / "v.mp4", people=[True] * 3)
    found = {}
    for margin in (None, "tight", "wide"):
        source, work = open_video(path), WorkFolder(tmp_path / str(margin))
        found[margin] = perceive(
            source, "upper", None, 32, 48, perception, work, Tracker(None), margin
        )
    masks = {margin: [frame.mask for frame in made.frames()] for margin, made in found.items()}
    np.testing.assert_array_equal(masks[None], masks["tight"])
    assert [one.margin for one in found.values()] == ["tight", "tight", "wide"]
    assert found[None].identity == found["tight"].identity != found["wide"].identity
    labels, iuv = [], []
    for frame, track in zip(found["wide"].frames(), found["wide"].tracks(0, 3).iuv, strict=True):
        labels.append(np.where(is_shirt(frame.image), P.UPPER, P.BACKGROUND).astype(np.uint8))
        iuv.append(track)
    curated = inpainting_mask(np.stack(labels), np.stack(iuv), "upper", margin="wide")
    np.testing.assert_array_equal(masks["wide"], curated)
    assert (np.stack(masks["wide"]) > 0).sum() > 1.1 * (np.stack(masks["tight"]) > 0).sum()


def test_the_margin_of_a_mask_that_is_given_cannot_be_chosen():
    assert read_job(["agnostic.margin=wide"]).agnostic.margin == "wide"
    with pytest.raises(ConfigError, match="margin is 'broad'; tight or wide is accepted"):
        read_job(["agnostic.margin=broad"])
    with pytest.raises(ConfigError, match=r"margin=wide is .* mask is m\.mp4; leave out one"):
        read_job(["agnostic.margin=wide", "mask=m.mp4", "densepose=d.mp4"])


def test_paths_are_taken_as_they_are_and_settings_are_read_as_yaml():
    job = read_job(["video=my: film #1.mp4", "garment=a b.png", "out=o.mp4", "sampler.num_steps=5"])
    assert (job.video, job.garment) == ("my: film #1.mp4", "a b.png")
    assert job.sampler.num_steps == 5
    demo = read_job([str(CONFIGS / "demo" / "tryon.yaml"), "video=v.mp4"])
    assert (demo.checkpoint, demo.video) == ("runs/demo-stage3", "v.mp4")


def test_the_newest_stage_3_is_found(tmp_path):
    for name in ("stage2", "old-stage3", "new-stage3"):
        folder = tmp_path / name / "checkpoints"
        folder.mkdir(parents=True)
        (folder / "last.ckpt").write_bytes(b"")
    os.utime(tmp_path / "old-stage3/checkpoints/last.ckpt", (1, 1))
    assert choose_checkpoint(None, tmp_path).path.parent.parent.name == "new-stage3"
    assert choose_checkpoint(str(tmp_path / "stage2"), tmp_path).path.parent.parent.name == "stage2"
    without_suffix = choose_checkpoint(str(tmp_path / "stage2/checkpoints/last"), tmp_path)
    assert without_suffix.path.name == "last.ckpt"


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        run_command(main, list(words))
    return stop.value.code, capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "video is missing; usage: make tryon"),
        (["video=none.mp4", "garment={garment}", "out={out}"], "none.mp4 does not exist"),
        (["video={video}", "garment={text}", "out={out}"], "is no image that can be read"),
        (["video={text}", "garment={garment}", "out={out}"], "cannot be read as a video"),
        (["video={video}", "garment={garment}", "out=o.avi"], "must end with .mp4"),
        (["video={video}", "garment={garment}", "out={out}", "runs={runs}"], "`make demo`"),
        (["video={video}", "garment={garment}", "out={out}", "seeds=1"], "did you mean 'seed'"),
        (["video={video}", "garment={garment}", "out={out}", "sampler.eta=2"], "0 to 1"),
        (
            ["video={video}", "garment={garment}", "out={text}/o.mp4"],
            "folder cannot be created",
        ),
        (["video={video}", "more"], "'more' is not key=value"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path, garment, capsys, caplog, words, message, monkeypatch
):
    monkeypatch.setattr("inference.checkpoint_choice.SHIPPED", tmp_path / "not shipped")
    caplog.set_level(logging.ERROR)
    (tmp_path / "text.mp4").write_text("no media")
    places = {
        "video": write_video(tmp_path / "v.mp4", people=[True] * 2),
        "garment": garment,
        "text": tmp_path / "text.mp4",
        "out": tmp_path / "o.mp4",
        "runs": tmp_path / "runs",
    }
    code, line = run(capsys, *(word.format(**places) for word in words))
    assert code == 2
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "o.mp4").exists()


def test_pictures_that_move_are_videos_and_others_are_named_as_pictures(tmp_path, garment):
    steps = [Image.new("RGB", (64, 96), (20 * step, 0, 0)) for step in range(4)]
    still, moving, raw = (tmp_path / name for name in ("still.png", "moving.png", "raw.mjpeg"))
    steps[0].save(still)
    steps[0].save(moving, save_all=True, append_images=steps[1:], duration=80)
    photo = io.BytesIO()
    steps[0].save(photo, "jpeg")
    raw.write_bytes(4 * photo.getvalue())
    (tmp_path / "photo.jpg").write_bytes(photo.getvalue())
    for video in (moving, raw):
        assert read_inputs([f"video={video}", f"garment={garment}", f"out={tmp_path}/o.mp4"])
    for video in (still, tmp_path / "photo.jpg"):
        with pytest.raises(VideoUnreadable, match="is a picture; give the video first"):
            read_inputs([f"video={video}", f"garment={garment}", f"out={tmp_path}/o.mp4"])


def test_the_settings_that_come_with_the_project_load():
    for path in ("tryon.yaml", "demo/tryon.yaml", "small/tryon.yaml"):
        assert read_job([str(CONFIGS / path)]).sampler.given == {}
