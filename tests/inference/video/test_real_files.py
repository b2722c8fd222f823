"""Results of files as people bring them: colours, damage, transparency, sound."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_videos import RATE, Made, make_video, picture
from PIL import Image

from curation.video.decode import decode, read_header
from datasets.video.reader import ReadNotes, UnreadableVideoError
from inference.errors import VideoUnreadable
from inference.video.source import Reading, open_video
from inference.video.writer import write_result

HD = {"size": (720, 1280), "num_frames": 2}
SAMPLE_RATE = 16_000


def read(path):
    source, reading = open_video(path), Reading()
    return source, list(source.frames(reading)), reading


def copy(path, out):
    """What try-on writes when it changes nothing."""
    source = open_video(path)
    write_result(out, source.frames(), source, {})
    return out


def tags(path):
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return (
            int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc),
            int(frame.color_range),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Made(**HD), (1, 1, 1, 1)),
        (Made(matrix=6, primaries=6, transfer=6, **HD), (6, 6, 6, 1)),
        (Made(matrix=5, primaries=5, transfer=6, **HD), (5, 5, 6, 1)),
        (Made(matrix=9, primaries=9, transfer=14, pixel_format="yuv420p10le"), (9, 9, 14, 1)),
        (Made(matrix=0, codec="libx264rgb", pixel_format="rgb24", **HD), (1, 1, 1, 1)),
        (Made(matrix=9, primaries=9, transfer=18, pixel_format="yuv420p10le", **HD), (1, 1, 1, 1)),
        (Made(matrix=9, primaries=9, transfer=16, pixel_format="yuv420p10le", **HD), (1, 1, 1, 1)),
        (Made(is_full_range=True), (1, 1, 1, 2)),
        (Made(matrix=2, primaries=2, transfer=2), (2, 2, 2, 0)),
        (Made(matrix=2, primaries=2, transfer=2, **HD), (2, 2, 2, 0)),
    ],
)
def test_a_result_keeps_the_tags_and_the_colours_of_its_source(tmp_path, made, expected):
    path = make_video(tmp_path / "v.mp4", made)
    out = copy(path, tmp_path / "o.mp4")
    assert tags(out) == expected
    _, before, _ = read(path)
    _, after, _ = read(out)
    for a, b in zip(before, after, strict=True):
        assert np.abs(a.image.astype(int) - b.image).mean() < (1.5 if made.size[0] > 96 else 5)
        bias = (b.image.astype(float) - a.image).mean(axis=(0, 1))
        assert np.abs(bias).max() < 0.6
    with av.open(str(path)) as source, av.open(str(out)) as result:
        if made.matrix in {1, 2, 5, 6} and not made.is_full_range:
            # as a player decodes them that knows nothing of this project
            pairs = zip(source.decode(video=0), result.decode(video=0), strict=True)
            for a, b in pairs:
                change = a.to_ndarray(format="rgb24").astype(int) - b.to_ndarray(format="rgb24")
                assert np.abs(change.mean(axis=(0, 1))).max() < 0.6


def test_an_hdr_source_is_no_longer_gray_and_its_result_says_what_was_done(tmp_path):
    made = Made(matrix=9, primaries=9, transfer=18, pixel_format="yuv420p10le", num_frames=2)
    source, frames, reading = read(make_video(tmp_path / "v.mp4", made))
    flat = frames[0].image.astype(int)
    coded = picture(0).astype(int)
    assert np.ptp(flat, axis=-1).mean() > np.ptp(coded, axis=-1).mean()  # more colourful
    assert source.remarks(reading) == ("it is HDR (HLG); the result is ordinary BT.709",)


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_matrix_that_cannot_be_converted_is_one_sentence_everywhere(tmp_path, matrix):
    path = make_video(tmp_path / "v.mp4", Made(matrix=matrix, num_frames=2))
    with pytest.raises(VideoUnreadable, match=f"coded by matrix {matrix} .* export it as BT.709"):
        open_video(path)
    with pytest.raises(UnreadableVideoError, match="unknown_colours"):
        next(decode(path, ReadNotes()))


def test_an_animated_webp_is_no_video_that_lost_its_index(tmp_path):
    frames = [Image.fromarray(picture(index)) for index in range(3)]
    frames[0].save(tmp_path / "v.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(VideoUnreadable, match="it is a picture"):
        open_video(tmp_path / "v.webp")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("pq.mkv", Made(matrix=9, primaries=9, transfer=16, pixel_format="yuv420p10le")),
        ("odd.mkv", Made(size=(97, 131), codec="ffv1")),
        ("prores.mov", Made(codec="prores_ks", pixel_format="yuv422p10le")),
        ("gray.mkv", Made(codec="ffv1", pixel_format="gray")),
        ("one.mp4", Made(num_frames=1)),
        ("411.avi", Made(codec="ffv1", pixel_format="yuv411p")),
        ("photo.avi", Made(codec="mjpeg", pixel_format="yuvj420p", is_full_range=True)),
        ("turned and wide.mov", Made(turn="transverse", pixel_aspect=Fraction(4, 3))),
        ("240m.mp4", Made(matrix=7, primaries=7, transfer=7)),
        ("a.gif", Made(codec="gif", pixel_format="rgb8", matrix=0)),
    ],
)
def test_unusual_files_come_out_as_they_look(tmp_path, name, made):
    path = make_video(tmp_path / name, made)
    source, before, _ = read(path)
    assert (source.height, source.width) == before[0].image.shape[:2]
    result, after, _ = read(copy(path, tmp_path / "o.mp4"))
    assert (result.height, result.width) == (source.height, source.width)
    assert [f.time for f in after] == pytest.approx([f.time for f in before], abs=2e-3)
    change = [b.image.astype(float) - a.image for a, b in zip(before, after, strict=True)]
    # rgb8 dithers, and that is coded as 4:2:0
    assert np.abs(change).mean() < (20 if name == "a.gif" else 5)
    assert np.abs(np.mean(change, axis=(0, 1, 2))).max() < 1.3


def test_the_last_picture_of_a_gif_is_held_as_long_as_it_says(tmp_path):
    pictures = [Image.fromarray(picture(index)) for index in range(5)]
    delays = [100, 500, 20, 300, 2000]  # ms
    pictures[0].save(tmp_path / "v.gif", save_all=True, append_images=pictures[1:], duration=delays)
    source, frames, reading = read(tmp_path / "v.gif")
    assert source.remarks(reading) == ()
    times = [0, 0.1, 0.6, 0.62, 0.92]
    assert [float(frame.time) for frame in frames] == pytest.approx(times)
    result, frames, _ = read(copy(tmp_path / "v.gif", tmp_path / "o.mp4"))
    assert [float(frame.time) for frame in frames] == pytest.approx(times, abs=1e-3)
    assert result.duration_s == pytest.approx(2.92, abs=1e-3)


def test_of_two_video_tracks_the_main_one_is_read_and_said(tmp_path):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        for height, width in ((48, 64), (96, 128)):  # a preview comes first
            stream = container.add_stream("libx264", rate=RATE)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for index in range(12):
            for stream in container.streams.video:
                image = picture(index, stream.height, stream.width)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(frame))
        for stream in container.streams.video:
            container.mux(stream.encode(None))
    source, frames, reading = read(path)
    assert frames[0].image.shape == (96, 128, 3)
    assert source.remarks(reading) == ("it holds 2 video tracks; the main one alone is used",)
    assert (read_header(path).height, read_header(path).width) == (96, 128)


def test_an_anamorphic_source_is_seen_and_written_with_square_pixels(tmp_path):
    path = make_video(tmp_path / "v.mp4", Made(pixel_aspect=Fraction(16, 11)))
    source, frames, reading = read(path)
    assert (source.height, source.width) == frames[0].image.shape[:2] == (96, 186)
    assert "its pixels are not square (16:11)" in source.remarks(reading)[0]
    result = open_video(copy(path, tmp_path / "o.mp4"))
    assert (result.height, result.width, result.pixel_aspect) == (96, 186, 1)


AGAIN = """
import sys
from fractions import Fraction
import cv2
import numpy as np
from inference.video.source import SourceFrame, open_video
from inference.video.writer import write_result
source, rng = open_video(sys.argv[1]), np.random.default_rng(0)
room, person = (rng.integers(60, 200, size, np.uint8) for size in ((12, 9, 3), (20, 10, 3)))
frames = []
for index in range(24):
    image = cv2.resize(room, (192, 256), interpolation=cv2.INTER_CUBIC)
    left = int(132 * (0.5 + 0.45 * np.sin(0.6 * index)))
    image[60:200, left : left + 60] = cv2.resize(person, (60, 140))
    frames.append(SourceFrame(image=image, time=Fraction(index, 25)))
write_result(sys.argv[2], frames, source, {})
"""


def test_a_result_does_not_depend_on_what_memory_held_before(tmp_path):
    path = make_video(tmp_path / "v.mp4", Made(size=(256, 192), num_frames=2))
    for fill in ("85", "170"):  # glibc fills memory with it; x264's mbtree with AVX-512 fails here
        environ = {**os.environ, "PYTHONPATH": ".", "MALLOC_PERTURB_": fill}
        words = [sys.executable, "-c", AGAIN, str(path), str(tmp_path / f"{fill}.mp4")]
        subprocess.run(words, cwd=Path(__file__).parents[3], env=environ, check=True)
    assert (tmp_path / "85.mp4").read_bytes() == (tmp_path / "170.mp4").read_bytes()


def spoil(path, wanted):
    """Overwrite packets, but for their first bytes."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for index in wanted:
        start, size = places[index]
        data[start + 5 : start + size] = np.random.default_rng(index).bytes(size - 5)
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("wanted", [[20], [47], [20, 21, 22]])
def test_bad_packets_cost_their_own_frames_only_and_are_said(tmp_path, suffix, wanted):
    path = make_video(tmp_path / f"v{suffix}", Made(num_frames=48))
    times = [frame.time for frame in read(path)[1]]
    spoil(path, wanted)
    source, frames, reading = read(path)
    assert [frame.time for frame in frames] == times
    count = len(wanted)
    assert source.remarks(reading) == (
        f"{count} of its 48 frames cannot be decoded; the one before is shown instead",
    )
    assert len(read(copy(path, tmp_path / "o.mp4"))[1]) == 48


def test_a_file_that_was_cut_short_says_so(tmp_path):
    path = make_video(tmp_path / "v.mkv", Made(num_frames=75))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source, _, reading = read(path)
    assert "it was cut short: it ends after" in source.remarks(reading)[-1]


def test_transparency_is_ignored_with_a_word(tmp_path):
    path = make_video(tmp_path / "v.mov", Made(codec="png", pixel_format="rgba", matrix=0))
    source, _, reading = read(path)
    assert source.remarks(reading) == ("it has transparency; the result is opaque",)
    assert open_video(copy(path, tmp_path / "o.mp4")).has_alpha is False


def test_an_ordinary_file_has_no_remarks(tmp_path):
    source, _, reading = read(make_video(tmp_path / "v.mp4", Made()))
    assert source.remarks(reading) == ()


def add_sound(path, out, codec, seconds=2.0, layout="stereo"):
    """The video with a tone; its pictures are copied."""
    with av.open(str(path)) as video, av.open(str(out), "w") as container:
        stream = video.streams.video[0]
        pictures = container.add_stream_from_template(stream)
        sound = container.add_stream(codec, rate=SAMPLE_RATE, layout=layout)
        for packet in video.demux(stream):
            if packet.dts is not None:
                packet.stream = pictures
                container.mux(packet)
        channels = 2 if layout == "stereo" else 1
        count = int(SAMPLE_RATE * seconds)
        tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(count) / SAMPLE_RATE)
        samples = np.repeat((tone * 32767).astype(np.int16)[None], channels, 0).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return out


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("pcm_s16le", ".mov")])
def test_the_sound_of_joined_files_is_the_sound_of_all(tmp_path, codec, suffix):
    plain = make_video(tmp_path / "plain.mp4", Made(num_frames=RATE))
    part = add_sound(plain, tmp_path / f"v{suffix}", codec, seconds=1.0)
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(part.read_bytes() * 2)
    source, frames, reading = read(joined)
    assert len(frames) == 2 * RATE
    assert source.remarks(reading) == (
        "it holds 2 recordings, joined; they follow each other without a gap",
    )
    with av.open(str(copy(joined, tmp_path / "o.mp4"))) as container:
        sound = container.streams.audio[0]
        length = sum(frame.samples for frame in container.decode(sound)) / SAMPLE_RATE
    assert length == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", ".mov"), ("flac", ".mkv")])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path, codec, suffix, layout):
    plain = make_video(tmp_path / "plain.mp4", Made(num_frames=2 * RATE))
    path = add_sound(plain, tmp_path / f"v{suffix}", codec, layout=layout)
    out = copy(path, tmp_path / "o.mp4")
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        parts = [f.to_ndarray() for f in container.decode(audio=0)]
    heard = np.concatenate(parts, axis=1)[0]
    assert len(heard) / SAMPLE_RATE == pytest.approx(2.0, abs=0.15)
    spectrum = np.abs(np.fft.rfft(heard[: 2**14]))
    assert abs(spectrum.argmax() * SAMPLE_RATE / 2**14 - 440) < 3
    assert 0.3 < np.abs(heard[4000:20000]).max() < 0.5
