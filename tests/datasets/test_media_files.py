"""A path is a path for FFmpeg, whatever characters it holds."""

import os
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from curation.video.decode import read_header
from datasets.benchmarks.vivid import clip_frames, frame_rate
from datasets.media_files import create_media, open_media
from datasets.video.reader import UnreadableVideoError
from inference.errors import VideoUnreadable
from inference.video.provenance import read_record
from inference.video.source import open_video
from inference.video.writer import write_result
from inference.web.settings import AppLimits
from inference.web.upload_checks import check_video
from training.evaluation.results import read_result

NAMES = ("10:30.mp4", "http://x.mp4", "-dash.mp4", "%03d.mp4", "a?b#c|d.mp4", "naïve 💃\n.mp4")


def write(path, count=3, container_format="mp4", codec="libx264"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with create_media(path, container_format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = 32, 48
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for index in range(count):
            image = np.full((32, 48, 3), 20 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_and_the_writer_take_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = write(Path(name))  # relative: nothing but the name is left to misunderstand
    source = open_video(path)
    assert len(list(source.frames())) == 3
    assert read_header(path).width == 48
    assert len(read_result(path)) == 3
    assert len(clip_frames(path, 0, 3)) == 3
    assert frame_rate(path) == 10
    assert check_video(path, tmp_path / "poster.jpg", AppLimits()).num_frames == 3
    out = Path(f"out-{path.name}") if path.parent == Path() else path.with_name("out.mp4")
    write_result(out, source.frames(), source, {"description": '{"synthetic": true}'})
    assert read_record(str(out)) == {"synthetic": True}
    out = Path(name.removesuffix(".mp4").rstrip("/"), "v2:out.mp4")
    out.parent.mkdir(parents=True)
    write_result(out, source.frames(), source, {})
    assert len(read_result(out)) == 3


def test_a_name_that_is_no_text_is_opened_too(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    write(tmp_path / "x.mp4").rename(os.fsdecode(raw))
    with open_media(Path(os.fsdecode(raw))) as container:
        assert len(list(container.decode(video=0))) == 3


def test_a_title_in_an_old_encoding_costs_nothing(tmp_path):
    path = tmp_path / "x.mp4"
    with create_media(path, "mp4") as container:
        container.metadata["title"] = "Caf#"
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        image = np.zeros((32, 48, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"Caf#", b"Caf\xe9"))
    assert len(list(open_video(path).frames())) == 1
    assert read_header(path).width == 48


def test_a_codec_that_nobody_knows_is_one_sentence(tmp_path):
    path = write(tmp_path / "x.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoUnreadable, match="its codec is unknown"):
        open_video(path)
    with pytest.raises(UnreadableVideoError, match="its codec is unknown"):
        read_header(path)


def test_a_gif_is_a_video_for_everybody_whatever_its_name(tmp_path):
    gif = write(tmp_path / "x.gif", container_format="gif", codec="gif").rename(tmp_path / "x.mp4")
    assert read_header(gif).width == open_video(gif).width
    check_video(gif, tmp_path / "poster.jpg", AppLimits())


def test_a_playlist_names_no_other_host(tmp_path):
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(av.error.FFmpegError):
        open_media(path)
