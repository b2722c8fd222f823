from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curation.video.decode import decode, read_header, to_rgb
from datasets.video.orientation import Orientation, orientation_of, upright_size
from datasets.video.reader import ReadNotes, UnreadableVideoError


def code_of(path: Path) -> str:
    with pytest.raises(UnreadableVideoError) as caught:
        read_header(path)
    return caught.value.code


def test_foreign_files_are_told_apart_without_decoding(tmp_path, write_video, moving):
    files = {
        "empty.mp4": b"",
        "page.mp4": b"<!doctype html><html><body>404</body></html>",
        "noise.mp4": np.random.default_rng(0).bytes(5000),
        "notes.txt": b"three takes\nof the same dance\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    whole = write_video(tmp_path / "whole.mp4", moving(0, 20)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: whole.index(b"moov") - 4])
    assert code_of(tmp_path / "empty.mp4") == "empty_file"
    for name in ("page.mp4", "noise.mp4", "notes.txt"):
        assert code_of(tmp_path / name) == "not_a_video"
    assert code_of(tmp_path / "cut.mp4") == "truncated"


def test_pictures_and_sound_are_no_videos(tmp_path, texture):
    av.VideoFrame.from_ndarray(texture(0), format="rgb24").to_image().save(tmp_path / "a.png")
    assert code_of(tmp_path / "a.png") == "not_a_video"
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        sound = np.zeros((1, 44_100), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(sound, format="flt", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert code_of(tmp_path / "sound.mp4") == "no_video_stream"


def test_a_name_with_emoji_newline_and_colon_is_just_a_name(tmp_path, write_video, moving):
    path = write_video(tmp_path / "v.mp4", moving(0, 5))
    odd = path.rename(tmp_path / "http: 💃\n dance.mp4")
    assert read_header(odd).height == 180
    assert len(list(decode(odd, ReadNotes()))) == 5


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied_once(tmp_path, write_video, texture, rotation):
    upright = texture(3, 128, 192)
    # stored turned counter-clockwise; the display matrix turns it back
    stored = np.rot90(upright, rotation // 90)
    path = write_video(tmp_path / "r.mp4", [stored] * 3, rotation=-rotation)
    _, frame = next(decode(path, ReadNotes()))
    orientation = orientation_of(frame)
    assert upright_size(frame, 1.0, orientation) == (128, 192)
    shown = to_rgb(frame, 128, 192, orientation)
    assert np.abs(shown.astype(int) - upright).mean() < 12
    assert orientation.degrees == rotation


def test_orientations_undo_what_cameras_do():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert (Orientation().apply(image) == image).all()
    assert (Orientation(quarter_turns=1).apply(image) == np.rot90(image, -1)).all()
    assert (Orientation(is_mirrored=True).apply(image) == image[:, ::-1]).all()


def test_sample_aspect_widens_the_frame(tmp_path, write_video, moving):
    path = write_video(tmp_path / "sar.mp4", moving(0, 3), sample_aspect=Fraction(4, 3))
    header = read_header(path)
    _, frame = next(decode(path, ReadNotes()))
    assert upright_size(frame, header.sample_aspect, Orientation()) == (180, 427)


def test_reading_from_a_moment_gives_the_frames_of_reading_it_all(tmp_path, write_video, moving):
    path = write_video(tmp_path / "long.mp4", moving(1, 60), options={"g": "12", "bf": "2"})
    everything = [(t, f.to_ndarray(format="rgb24")) for t, f in decode(path, ReadNotes())]
    assert len(everything) == 60
    for start in (0.0, 0.52, 2.0):
        rest = [(t, f.to_ndarray(format="rgb24")) for t, f in decode(path, ReadNotes(), start)]
        expected = [pair for pair in everything if pair[0] >= start - 1e-6]
        assert [t for t, _ in rest] == [t for t, _ in expected]
        assert all((a == b).all() for (_, a), (_, b) in zip(rest, expected, strict=True))


def test_a_damaged_middle_is_counted_and_passed_over(tmp_path, write_video, moving):
    path = write_video(tmp_path / "whole.mp4", moving(2, 60), options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(1).bytes(400)
    path.write_bytes(data)
    faults = ReadNotes()
    times = [time_s for time_s, _ in decode(path, faults)]
    assert faults.num_errors > 0
    assert len(times) > 20
    assert times == sorted(times)
