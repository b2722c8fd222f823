"""Whole jobs: stopped and resumed, conditions looked at first or given as files, provenance."""

import json

import av
import numpy as np
import pytest
from tryon_fixtures import is_shirt, write_video

from configs.errors import ConfigError, DataError
from inference.checkpoint_choice import model_name
from inference.conditions.given import GivenConditions
from inference.errors import GarmentUnreadable, NoPerson, VideoTooLong, VideoUnreadable
from inference.pipeline import TryOnPipeline
from inference.progress import CONDITIONS, ENCODING, PAINTING, WRITING, Cancelled
from inference.sampling.painter import Painter
from inference.sampling.solvers import SamplerConfig
from inference.video.provenance import draw_label, read_record
from inference.video.source import VideoLimits, open_video

pytestmark = pytest.mark.usefixtures("small_perception")


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "v.mp4", people=[True] * 40)


@pytest.mark.parametrize("stage", [CONDITIONS, ENCODING, PAINTING, WRITING])
def test_a_job_stopped_anywhere_goes_on_to_the_same_bytes(
    tmp_path, pipeline, video, garment, stage
):
    pipeline(video, garment, out=tmp_path / "whole.mp4", work=tmp_path / "whole")
    told = []

    def stop(status):
        told.append(status)
        if status.stage == stage and status.done > 0.4 * (status.total or 1e9):
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline(video, garment, out=tmp_path / "o.mp4", work=tmp_path / "work", progress=stop)
    assert not (tmp_path / "o.mp4").exists()
    again = []
    pipeline(video, garment, out=tmp_path / "o.mp4", work=tmp_path / "work", progress=again.append)
    assert (tmp_path / "o.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    if stage in (PAINTING, WRITING):
        assert not any(s.stage == CONDITIONS and s.done < s.total for s in again)
    assert told[-1].fraction < again[-1].fraction == 1.0


def test_a_video_that_is_cut_between_painting_and_writing_gives_no_shorter_result(
    tmp_path, pipeline, video, garment
):
    result = pipeline(video, garment)
    write_video(video, people=[True] * 36)
    for give in (lambda: list(result.frames()), lambda: result.save(tmp_path / "o.mp4")):
        with pytest.raises(DataError, match=r"v\.mp4 had 40 frames .* and has 36 now"):
            give()
    with pytest.raises(DataError, match="had 40 frames"):
        list(result.conditions.frames())
    assert not (tmp_path / "o.mp4").exists()


def test_another_garment_takes_nothing_of_the_one_before(tmp_path, pipeline, video, garment):
    first = pipeline(video, garment, out=tmp_path / "a.mp4", work=tmp_path / "work")
    red = tmp_path / "red.png"
    red.write_bytes(garment.read_bytes())
    import cv2

    picture = cv2.imread(str(red))
    cv2.imwrite(str(red), picture[..., ::-1])
    shared = pipeline(video, red, out=tmp_path / "b.mp4", work=tmp_path / "work")
    alone = pipeline(video, red, out=tmp_path / "c.mp4", work=tmp_path / "other")
    assert first.report["job"] != shared.report["job"] == alone.report["job"]
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()
    assert (tmp_path / "a.mp4").read_bytes() != (tmp_path / "b.mp4").read_bytes()


def test_conditions_can_be_shown_before_anything_is_painted(tmp_path, pipeline, video, garment):
    work = tmp_path / "work"
    shown = pipeline.preview(video, count=4, work=work)
    assert len(shown) == 4
    conditions = pipeline.prepare(video, work=work)
    masks = {frame.index: frame.mask for frame in conditions.frames()}
    for frame in shown:
        assert ((frame.mask > 0) & (masks[frame.index] == 0)).mean() < 0.02
        assert (frame.mask > 0).any()
        assert (frame.overlay() != frame.image).any()
    assert len(pipeline.find_people(video, work=work).people) == 1
    first = pipeline(conditions, garment, seed=2, out=tmp_path / "a.mp4")
    pipeline(video, garment, seed=2, out=tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert first.report["perception"]["detector"].startswith("colours")


def write_track(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
        stream.height, stream.width, stream.pix_fmt = 120, 160, "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_conditions_given_as_files_stand_in_for_perception(tmp_path, pipeline, garment):
    path = write_video(tmp_path / "v.mp4", people=[True] * 6)
    source = [frame.image for frame in open_video(path).frames()]
    shirts = [is_shirt(frame) for frame in source]
    mask = [np.repeat(shirt[..., None] * np.uint8(255), 3, -1) for shirt in shirts]
    ground, body = np.uint8([68, 1, 84]), np.uint8([71, 30, 112])
    poses = [np.where(shirt[..., None], body, ground) for shirt in shirts]
    given = GivenConditions(
        mask=write_track(tmp_path / "m.mp4", mask), densepose=write_track(tmp_path / "d.mp4", poses)
    )
    nobody = TryOnPipeline(Painter(pipeline.painter.system, "cpu", pipeline.painter.sampler))
    result = nobody(path, garment, garment_kind="product", given=given)
    frames = list(result.frames())
    for before, after, shirt in zip(source, frames, shirts, strict=True):
        change = np.abs(after.astype(int) - before).max(-1)
        assert (change[shirt] > 15).mean() > 0.5
        assert change[:, :30].max() == 0
    assert result.report["perception"] == {"mask": "m.mp4", "densepose": "d.mp4"}
    short = GivenConditions(
        mask=write_track(tmp_path / "s.mp4", mask[:4]), densepose=given.densepose
    )
    with pytest.raises(DataError, match="different numbers of frames"):
        nobody.prepare(path, given=short)
    dark = GivenConditions(
        mask=write_track(tmp_path / "b.mp4", [0 * row for row in mask]), densepose=given.densepose
    )
    with pytest.raises(DataError, match="dark everywhere"):
        nobody.prepare(path, given=dark)
    with pytest.raises(ConfigError, match="rendered or iuv"):
        GivenConditions(mask=path, densepose=path, densepose_format="png")


def test_a_result_says_in_its_file_that_it_is_synthetic(tmp_path, pipeline, garment):
    path = write_video(tmp_path / "v.mp4", people=[True] * 4)
    pipeline(path, garment, seed=7, out=tmp_path / "o.mp4", label="AI-generated")
    record = read_record(str(tmp_path / "o.mp4"))
    assert record["synthetic"] is True
    assert (record["seed"], record["model"], record["category"]) == (7, "x", "upper")
    assert record["date"]
    assert str(tmp_path) not in json.dumps(record)
    assert read_record(str(path)) == {}
    assert model_name(tmp_path / "runs/demo-stage3/checkpoints/last.ckpt") == "demo-stage3"
    plain = pipeline(path, garment, seed=7)
    corner = [next(iter(open_video(tmp_path / "o.mp4").frames())).image[-12:, :20]]
    assert np.abs(corner[0].astype(int) - next(plain.frames())[-12:, :20]).mean() > 20


def test_a_label_fits_into_any_frame():
    for height, width in ((64, 48), (1080, 1920), (51, 300)):
        frame = np.full((height, width, 3), 120, np.uint8)
        labelled = draw_label(frame, "AI-generated by VITON-DiT")
        assert labelled.shape == frame.shape
        assert (labelled != frame).any()
        assert np.array_equal(labelled[: height // 2], frame[: height // 2])
        assert draw_label(frame, "") is frame


def test_what_is_wrong_has_a_class_and_a_sentence_without_paths(tmp_path, pipeline, garment):
    empty = write_video(tmp_path / "e.mp4", people=[False] * 4)
    long = write_video(tmp_path / "l.mp4", people=[True] * 30)
    text = tmp_path / "t.mp4"
    text.write_text("#EXTM3U\nfile:///etc/passwd\n")
    strict = TryOnPipeline(
        pipeline.painter, pipeline.perception, {"model": "x"},
        VideoLimits(max_seconds=2),
    )  # fmt: skip
    cases = [
        (empty, garment, NoPerson), (long, garment, VideoTooLong), (text, garment, VideoUnreadable),
        (empty, text, GarmentUnreadable),
    ]  # fmt: skip
    for video, picture, expected in cases:
        with pytest.raises(expected) as caught:
            strict(video, picture)
        assert caught.value.plain.endswith(".")
        assert str(tmp_path) not in caught.value.plain


def test_settings_are_refused_before_the_video_is_read(pipeline, garment, tmp_path):
    with pytest.raises(ConfigError, match="seed=-1"):
        pipeline(tmp_path / "none.mp4", garment, seed=-1)
    with pytest.raises(ConfigError, match="garment_kind='hat'"):
        pipeline(tmp_path / "none.mp4", garment, garment_kind="hat")
    assert SamplerConfig().reuse == "none"
