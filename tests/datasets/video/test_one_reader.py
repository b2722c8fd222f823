"""Curation and try-on read the same pictures, and those are FFmpeg's."""

from fractions import Fraction

import av
import av.filter
import cv2
import numpy as np
import pytest
from made_videos import DISPLAY_MATRICES, Made, make_video, picture, shown

from curation.video.canonical import CropPlan, cut_out
from curation.video.decode import decode, read_header
from datasets.video.orientation import orientation_of, upright_size
from datasets.video.reader import ReadNotes
from datasets.video.upright import upright_frames
from inference.video.source import open_video

TEN_BIT = {"pixel_format": "yuv420p10le"}
FILES = {
    "bt709": Made(),
    "bt601": Made(matrix=6, primaries=6, transfer=6),
    "bt470bg": Made(matrix=5, primaries=5, transfer=6),
    "bt2020": Made(matrix=9, primaries=9, transfer=14, **TEN_BIT),
    "untagged": Made(matrix=2, primaries=2, transfer=2),
    "full range": Made(is_full_range=True),
    "full range 601": Made(matrix=6, is_full_range=True),
    "10 bit": Made(**TEN_BIT),
    "10 bit 601": Made(matrix=6, **TEN_BIT),
    "4:4:4": Made(pixel_format="yuv444p"),
    "4:2:2": Made(pixel_format="yuv422p"),
    "4:4:4 10 bit full": Made(pixel_format="yuv444p10le", is_full_range=True),
    "rgb": Made(matrix=0, codec="libx264rgb", pixel_format="rgb24"),
    **{turn: Made(turn=turn) for turn in DISPLAY_MATRICES if turn != "upright"},
    "anamorphic": Made(pixel_aspect=Fraction(16, 11)),
    "narrow, turned": Made(pixel_aspect=Fraction(8, 9), turn="90"),
    "anamorphic 601, mirrored": Made(matrix=6, pixel_aspect=Fraction(4, 3), turn="hflip"),
    "interlaced": Made(is_interlaced=True),
    "interlaced 601": Made(is_interlaced=True, matrix=6),
    "interlaced, anamorphic": Made(is_interlaced=True, pixel_aspect=Fraction(16, 11)),
    "HLG": Made(matrix=9, primaries=9, transfer=18, **TEN_BIT),
    "PQ, turned": Made(matrix=9, primaries=9, transfer=16, turn="270", **TEN_BIT),
}


def read_by_curation(path):
    """As a clip is cut out, with the whole upright frame as its window."""
    header, frames = read_header(path), []
    for _, frame in decode(path, ReadNotes()):
        orientation = orientation_of(frame)
        size = upright_size(frame, header.sample_aspect, orientation)
        plan = CropPlan(
            top=0, left=0, crop_height=size[0], crop_width=size[1],
            height=size[0], width=size[1], coverage=1.0,
        )  # fmt: skip
        frames.append(cut_out(frame, plan, size, orientation))
    return frames


def read_by_ffmpeg(path, made):
    """FFmpeg's own filters, at their most accurate; turned and widened here."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        chain = [graph.add_buffer(template=stream)]
        if made.is_interlaced:
            chain.append(graph.add("bwdif", "mode=send_frame"))
        flags = "bicubic+accurate_rnd+full_chroma_int"
        chain += [
            graph.add("scale", f"flags={flags}"), graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]  # fmt: skip
        graph.link_nodes(*chain).configure()
        frames = []

        def pull():
            while True:
                try:
                    frames.append(graph.vpull().to_ndarray())
                except (av.error.FFmpegError, BlockingIOError):
                    return

        for frame in container.decode(stream):
            graph.vpush(frame)
            pull()
        graph.vpush(None)
        pull()
    frames = [shown(frame, made.turn) for frame in frames]
    if made.pixel_aspect != 1:
        wide = round(128 * made.pixel_aspect)
        size = (96, wide) if made.turn in {"90", "270"} else (wide, 96)
        frames = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in frames]
    return frames


def is_flat(image):
    """Pixels away from edges: there the two place chroma half a pixel apart."""
    kernel = np.ones((15, 15), np.uint8)
    spread = cv2.dilate(image, kernel).astype(int) - cv2.erode(image, kernel)
    return spread.max(axis=-1) <= 12


@pytest.mark.parametrize("name", FILES)
def test_curation_and_try_on_read_the_same_pictures_and_they_are_ffmpegs(tmp_path, name):
    made = FILES[name]
    path = make_video(tmp_path / "v.mp4", made)
    curated = read_by_curation(path)
    tried = [frame.image for frame in open_video(path).frames()]
    scored = list(upright_frames(path))
    assert len(curated) == len(tried) == len(scored) == made.num_frames
    for a, b, c in zip(curated, tried, scored, strict=True):
        assert np.array_equal(b, c)
        # HDR is resized before or after its light is mapped
        assert np.abs(a.astype(int) - b).max() <= (2 if made.transfer in {16, 18} else 0)
    if made.transfer in {16, 18}:
        return  # FFmpeg has no such tone mapping of its own; see test_hostile
    limit = 2 if made.is_interlaced and made.pixel_aspect != 1 else 1  # rounded once more
    num_compared = 0
    for a, b in zip(tried, read_by_ffmpeg(path, made), strict=True):
        inside = is_flat(b)
        num_compared += int(inside.sum())
        assert np.abs(a.astype(int) - b)[inside].max() <= limit
    assert num_compared > 12 * 96 * 128 // 10


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_no_picture_comes_out_darker_than_it_went_in(tmp_path, pixel_format):
    path = make_video(tmp_path / "v.mp4", Made(pixel_format=pixel_format, num_frames=2))
    image = next(open_video(path).frames()).image.astype(float)
    patch = np.s_[36:44, 36:60]  # inside a patch: chroma of its neighbours is far
    change = (image - picture(0))[patch].mean(axis=(0, 1))
    assert np.abs(change).max() < 0.8


@pytest.mark.parametrize("turn", DISPLAY_MATRICES)
def test_every_display_matrix_is_followed(tmp_path, turn):
    path = make_video(tmp_path / "v.mp4", Made(turn=turn, num_frames=2))
    image = next(upright_frames(path))
    assert np.abs(image.astype(int) - shown(picture(0), turn)).mean() < 4


def test_interlaced_frames_are_made_whole_and_counted(tmp_path):
    notes = ReadNotes()
    path = make_video(tmp_path / "v.mp4", Made(is_interlaced=True))
    plain = make_video(tmp_path / "p.mp4", Made())
    images = [frame.to_ndarray(format="gray").astype(int) for _, frame in decode(path, notes)]
    combs = [np.abs(2 * g[1:-1] - g[:-2] - g[2:]).mean() for g in images]
    whole = [f.to_ndarray(format="gray").astype(int) for _, f in decode(plain, ReadNotes())]
    usual = [np.abs(2 * g[1:-1] - g[:-2] - g[2:]).mean() for g in whole]
    assert notes.num_interlaced == len(images) == 12
    assert np.max(combs) < 2 * np.max(usual)
