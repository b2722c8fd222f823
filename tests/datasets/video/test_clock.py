from fractions import Fraction
from itertools import pairwise

import pytest
from made_videos import RATE, Made, make_video

from datasets.video.clock import Clock, is_seekable
from datasets.video.parts import parts_of
from datasets.video.reader import ReadNotes, rate_of, read_frames

WRAP = 2**33  # ticks of 1/90000 s: 26.5 hours


def times_of(path, start_s=None):
    notes = ReadNotes()
    return [round(float(time), 4) for time, _ in read_frames(path, notes, start_s)], notes


def rising_by_one_frame(times):
    return all(abs(b - a - 1 / RATE) < 1e-3 for a, b in pairwise(times))


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".mkv"])
def test_joined_recordings_follow_each_other_and_no_frame_is_lost(tmp_path, suffix):
    codec = {"codec": "mpeg2video", "container": "mpeg"} if suffix == ".mpg" else {}
    parts = [Made(num_frames=30, **codec), Made(num_frames=40, **codec)]
    files = [make_video(tmp_path / f"{i}{suffix}", made) for i, made in enumerate(parts)]
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    times, notes = times_of(path)
    assert len(times) == 70
    assert rising_by_one_frame(times)
    assert notes.joins_s == pytest.approx([times[30]], abs=1e-3)
    late, _ = times_of(path, times[50])
    assert late == times[50:]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mkv", "libx264"), (".webm", "libvpx"), (".mp4", "libx264"), (".mov", "mpeg4"),
     (".flv", "flv"), (".wmv", "wmv2"), (".mxf", "mpeg2video")],
)  # fmt: skip
def test_of_three_joined_files_none_is_lost_where_ffmpeg_stops_after_the_first(
    tmp_path, suffix, codec
):
    parts = [Made(num_frames=count, codec=codec) for count in (12, 8, 10)]
    files = [make_video(tmp_path / f"{i}{suffix}", made) for i, made in enumerate(parts)]
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    times, notes = times_of(path)
    assert len(times) == 30
    assert rising_by_one_frame(times)
    assert notes.joins_s == pytest.approx([times[12], times[20]], abs=1e-3)
    assert times_of(path, times[15])[0] == times[15:]
    assert [len(parts_of(file)) for file in files] == [1, 1, 1]


def test_a_later_recording_that_cannot_be_read_is_counted(tmp_path):
    path = make_video(tmp_path / "v.mkv", Made(num_frames=12))
    data = path.read_bytes()
    path.write_bytes(data + data[:200])
    times, notes = times_of(path)
    assert len(times) == 12
    assert notes.num_errors == 1


def test_a_header_in_the_middle_of_a_movies_boxes_is_no_other_recording(tmp_path):
    path = make_video(tmp_path / "v.mp4", Made(num_frames=12))
    data = path.read_bytes()
    path.write_bytes(data[: int.from_bytes(data[:4], "big")] + data)  # ftyp twice, one movie
    assert len(parts_of(path)) == 1


def test_a_clock_that_jumps_ahead_by_hours_is_a_joined_recording_too(tmp_path):
    early = make_video(tmp_path / "a.ts", Made(num_frames=20))
    late = make_video(tmp_path / "b.ts", Made(num_frames=20, start=90_000 * 7200))
    path = tmp_path / "joined.ts"
    path.write_bytes(early.read_bytes() + late.read_bytes())
    times, notes = times_of(path)
    assert len(times) == 40
    assert rising_by_one_frame(times)
    assert len(notes.joins_s) == 1
    assert not is_seekable(path)


def test_a_stream_that_begins_before_its_clock_wraps_loses_nothing(tmp_path):
    made = Made(num_frames=30, start=WRAP - 3600 * 20, container="mpegts")
    path = make_video(tmp_path / "v.ts", made)
    times, _ = times_of(path)
    assert len(times) == 30
    assert times[0] == 0.0
    assert rising_by_one_frame(times)
    assert times_of(path, times[12])[0] == times[12:]


def test_raw_h264_has_the_times_of_its_rate(tmp_path):
    path = make_video(tmp_path / "v.h264", Made(num_frames=30, container="h264"))
    times, _ = times_of(path)
    assert len(times) == 30
    assert rising_by_one_frame(times)
    assert times_of(path, times[10])[0] == times[10:]


def test_avi_with_b_frames_whose_time_stamps_go_back_keeps_them_all(tmp_path):
    path = make_video(tmp_path / "v.avi", Made(num_frames=48))
    times, notes = times_of(path)
    assert len(times) >= 47
    assert times == sorted(set(times))
    assert notes.joins_s == []


def test_one_wrong_time_stamp_is_dropped_and_is_no_join():
    clock = Clock(Fraction(25), "mpegts")
    placed = [clock.place(Fraction(n, 25)) for n in (0, 1, 2, 1, 3)]
    assert placed == [0, Fraction(1, 25), Fraction(2, 25), None, Fraction(3, 25)]
    assert clock.joins == []


def test_a_pause_in_a_phones_recording_is_kept():
    clock = Clock(Fraction(30), "mov,mp4,m4a,3gp,3g2,mj2")
    assert [clock.place(Fraction(s)) for s in (0, 60)] == [0, 60]


@pytest.mark.parametrize(
    ("average", "guessed", "rate"),
    [(Fraction(25), None, 25), (Fraction(600), Fraction(25), 25), (None, Fraction(1000), 25)],
)
def test_a_rate_that_is_a_tick_is_not_believed(average, guessed, rate):
    class Stream:
        average_rate, guessed_rate = average, guessed

    assert rate_of(Stream()) == rate
