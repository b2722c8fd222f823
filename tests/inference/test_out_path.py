"""A result's path: rejected before any work, locked during it, written at its end."""

import errno
import os

import pytest
import torch
from tryon_fixtures import write_video

from configs.command import run_command
from configs.errors import ConfigError, DataError
from datasets.storage import DiskFull, fitting_name
from inference.out_path import check_out, only_writer, work_path
from inference.sampling.latent_video import FileLatents, Journal
from inference.tryon import main
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "v.mp4", people=[True] * 4)


@pytest.fixture
def run(monkeypatch, capsys, pipeline, video, garment):
    """The command with a tiny model; returns exit code and last line of error."""
    pipeline.report |= {"checkpoint": "c", "origin": "given", "step": 1, "weights": "ema"}
    monkeypatch.setattr("inference.tryon.build_pipeline", lambda _: pipeline)
    monkeypatch.setattr("inference.conditions.stored._WORK_HEIGHT", 96)

    def start(out):
        with pytest.raises(SystemExit) as stop:
            run_command(main, [f"video={video}", f"garment={garment}", f"out={out}"])
        return stop.value.code, ["", *capsys.readouterr().err.splitlines()][-1]

    return start


@pytest.mark.parametrize("num_bytes", [246, 252, 255])
def test_the_longest_names_are_written(tmp_path, run, num_bytes):
    out = tmp_path / ("x" * (num_bytes - 4) + ".mp4")
    assert run(out)[0] == 0
    assert len(list(open_video(out).frames())) == 4
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["x" * 252 + ".mp4", "y" * 256 + "/o.mp4", "d/" * 2100 + "o.mp4"])
def test_longer_ones_are_one_sentence_before_any_work(tmp_path, run, name):
    code, line = run(tmp_path / name)
    assert code == 2
    assert line.startswith("error: out=")


def test_a_colon_is_a_letter_like_any_other(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("10:30.mp4")[0] == 0
    assert len(list(open_video("10:30.mp4").frames())) == 4


def test_the_same_result_twice_at_once_stops_the_second(tmp_path, run):
    out = tmp_path / "o.mp4"
    for other in ("o.mp4", "o.MP4"):  # they share a work folder
        with only_writer(tmp_path / other):
            code, line = run(out)
        assert code == 2
        assert f"o.mp4 is in use by process {os.getpid()} on " in line
        assert not work_path(out).exists()
    assert run(out)[0] == 0


def test_no_input_is_replaced(tmp_path, video):
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    for out in (video, link):
        with pytest.raises(DataError, match="is the source video itself"):
            check_out(out, video)
        with pytest.raises(DataError, match="is itself one of the inputs"):
            check_out(out, tmp_path / "gone.mp4", video)
    with pytest.raises(ConfigError, match=r"must end with \.mp4"):
        check_out(tmp_path / "o.mov", video)


def test_only_a_result_of_try_on_is_replaced(tmp_path, run, video):
    out = tmp_path / "holiday.mp4"
    out.write_bytes(video.read_bytes())
    code, line = run(out)
    assert code == 2
    assert "holiday.mp4 exists, and try-on did not write it; name another file" in line
    assert out.read_bytes() == video.read_bytes()
    out.unlink()
    assert [run(out)[0], run(out)[0]] == [0, 0]


def test_short_names_keep_their_names():
    assert fitting_name(".o", ".tryon") == ".o.tryon"
    long = [fitting_name("ä" * count, ".mp4") for count in (126, 127, 128)]
    assert len(set(long)) == 3
    assert max(len(os.fsencode(name)) for name in long) <= 255
    assert fitting_name("x" * 400, ".mp4") == fitting_name("x" * 400, ".mp4")


def full(*_words):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["pwrite", "fsync", "mkdir"])
def test_a_full_disk_is_one_sentence_and_the_work_before_it_stays(tmp_path, run, monkeypatch, call):
    real, calls = getattr(os, call), []

    def fills(*words):
        calls.append(words)
        if call != "mkdir" or ".tryon" in str(words[0]):
            full()
        return real(*words)

    monkeypatch.setattr(os, call, fills)
    code, line = run(tmp_path / "o.mp4")
    assert calls
    assert code == 2
    assert line.startswith("error: ")
    assert "No space left on device" in line
    assert not (tmp_path / "o.mp4").exists()
    monkeypatch.setattr(os, call, real)
    assert run(tmp_path / "o.mp4")[0] == 0


def test_a_disk_that_takes_a_part_of_a_record_loses_none_of_it(tmp_path, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: whole(file, data[:7], place))
    latents = FileLatents(tmp_path / "x.f32", (2, 3, 4, 5))
    values = torch.randn(2, 2, 4, 5)
    latents.write([0, 2], values)
    assert torch.equal(latents.read([0, 2]), values)


def test_a_full_disk_counts_no_batch_that_is_not_on_it(tmp_path, monkeypatch):
    latents = FileLatents(tmp_path / "x.f32", (2, 3, 4, 5))
    journal = Journal(tmp_path / "journal.txt", latents)
    journal.record(1)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="make room and rerun"):
        journal.record(2)
    monkeypatch.undo()
    assert journal.done == 1


def test_the_work_folder_of_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    work = WorkFolder(tmp_path / "work")
    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(DiskFull):
        work.section("painting", {})
    with pytest.raises(DiskFull):
        WorkFolder(tmp_path / "other")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG, errno.ENOSPC])
def test_what_only_the_user_can_mend_is_one_sentence_in_every_command(number, capsys):
    def fails(_):
        raise OSError(number, os.strerror(number), "some/file")

    with pytest.raises(SystemExit) as stop:
        run_command(fails, [])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        f"error: some/file: {os.strerror(number)}; mend that and rerun the same command\n"
    )
    with pytest.raises(OSError, match="I/O"):
        run_command(lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")), [])
