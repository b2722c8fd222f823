import csv
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tryon_fixtures import write_garment, write_video

from configs.command import run_command
from configs.errors import ConfigError, DataError
from datasets.locks import only_run
from inference.conditions.worn_garment import GarmentSource
from inference.job_list import check_outs, read_jobs
from inference.jobs import run_jobs
from inference.jobs_page import write_page
from inference.out_path import only_writer
from inference.tryon import main
from inference.tryon_config import AgnosticChoice, TryOnConfig

pytestmark = pytest.mark.usefixtures("small_perception")


def write_csv(path, rows, header=("video", "garment", "out", "category", "person", "seed")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def folder(tmp_path):
    """Two videos, one empty room, a garment, and where results go."""
    write_video(tmp_path / "a.mp4", people=[True] * 5)
    write_video(tmp_path / "b.mp4", people=[True] * 4)
    write_video(tmp_path / "empty.mp4", people=[False] * 4)
    write_garment(tmp_path / "blue.png")
    return tmp_path


def run(pipeline, path, folder):
    jobs = read_jobs(path, folder / "out", TryOnConfig())
    return list(run_jobs(pipeline, jobs, folder / "out"))


def test_a_list_is_done_once_and_only_what_changed_is_done_again(folder, pipeline):
    rows = [
        ["a.mp4", "blue.png", "", "", "", ""],
        ["empty.mp4", "blue.png", "", "", "", ""],
        ["b.mp4", "blue.png", "named.mp4", "upper", "1", "3"],
    ]
    path = write_csv(folder / "jobs.csv", rows)
    first = run(pipeline, path, folder)
    assert [outcome.job.out.name for outcome in first] == [
        "a--blue.mp4", "empty--blue.mp4", "named.mp4",
    ]  # fmt: skip
    assert [outcome.error is None for outcome in first] == [True, False, True]
    assert "no person found" in str(first[1].error)
    assert not any(outcome.was_done for outcome in first)
    stamps = {o.job.out: o.job.out.stat().st_mtime_ns for o in first if o.error is None}
    again = run(pipeline, path, folder)
    assert [outcome.was_done for outcome in again] == [True, False, True]
    assert {out: out.stat().st_mtime_ns for out in stamps} == stamps
    rows[2][5] = "4"
    changed = run(pipeline, write_csv(path, rows), folder)
    assert [outcome.was_done for outcome in changed] == [True, False, False]
    assert changed[2].report["seed"] == 4
    assert not list((folder / "out" / ".work").glob("*/painting"))  # finished work is removed


def test_the_page_shows_results_and_what_failed(folder, pipeline):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["empty.mp4", "blue.png", "", "", "", ""]]
    outcomes = run(pipeline, write_csv(folder / "jobs.csv", rows), folder)
    page = write_page(folder / "out" / "report.html", outcomes).read_text(encoding="utf-8")
    assert page.count("<video") == 2
    assert 'href="a--blue.mp4"' in page
    assert "no person found" in page
    assert "Synthetic" in page


def test_a_photo_in_which_no_garment_stands_out_fails_unless_it_is_asked_for(folder, pipeline):
    cv2.imwrite(str(folder / "cloth.png"), np.full((80, 60, 3), 128, np.uint8))
    header = ("video", "garment", "out", "garment_kind")
    rows = [["a.mp4", "cloth.png", "1.mp4", ""], ["a.mp4", "cloth.png", "2.mp4", "product"]]
    path = write_csv(folder / "jobs.csv", rows, header)
    refused, taken = run(pipeline, path, folder)
    assert "no garment stands out" in refused.line
    assert "all of it was taken for cloth" in taken.line
    assert taken.report["garment_remarks"]
    page = write_page(folder / "out" / "report.html", [refused, taken]).read_text(encoding="utf-8")
    assert "all of it was taken for cloth" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,garment,hat\na,b,c\n", "has the columns video, garment, hat"),
        ("video\na.mp4\n", "video and garment are required"),
        ("video,garment\n", "a header and no job"),
        ("video,garment\na.mp4,\n", "line 2: garment is empty"),
        ("video,garment,seed\na.mp4,g.png,x\n", "line 2: seed='x'"),
        ("video,garment,person\na.mp4,g.png,0\n", "line 2: person='0'"),
        ("video,garment,category\na.mp4,g.png,hat\n", "line 2: category='hat'"),
        ("video,garment\na.mp4,g.png\na.mp4,g.png\n", "line 3: .* is also the result of line 2"),
        ("video,garment,mask\na.mp4,g.png,m.mp4\n", "give mask and densepose together"),
        ("video,garment,out\na.mp4,g.png,o.mp4\nb.mp4,g.png,x/../o.mp4\n", "result of line 2"),
        ("video,garment\na.mp4,g\0.png\n", "holds zero bytes"),
        (f"video,garment,seed\na.mp4,g.png,{2**63}\n", "from 0 to"),
        (f"video,garment,seed\na.mp4,g.png,{'9' * 5000}\n", "from 0 to"),
    ],
)
def test_a_list_that_is_wrong_gets_one_sentence(tmp_path, text, message):
    path = tmp_path / "jobs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_jobs(path, tmp_path / "out", TryOnConfig())


def test_a_spreadsheets_mark_and_spaces_are_no_trouble_and_no_file_is(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("\ufeffvideo, garment \n a b.mp4 ,g.png\n", encoding="utf-8")
    (job,) = read_jobs(path, tmp_path / "out", TryOnConfig(category="lower", seed=5))
    assert (job.video, job.category, job.seed) == (tmp_path / "a b.mp4", "lower", 5)
    tight = TryOnConfig(agnostic=AgnosticChoice(margin="tight"))
    assert [read_jobs(path, tmp_path, one)[0].margin for one in (TryOnConfig(), tight)] == [
        None, "tight",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"none\.csv does not exist"):
        read_jobs(tmp_path / "none.csv", tmp_path, TryOnConfig())
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as a CSV"):
        read_jobs(path, tmp_path, TryOnConfig())


def test_a_stopped_list_keeps_what_is_done(folder, pipeline):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["b.mp4", "blue.png", "", "", "", ""]]
    jobs = read_jobs(write_csv(folder / "jobs.csv", rows), folder / "out", TryOnConfig())
    next(run_jobs(pipeline, jobs, folder / "out"))
    ledger = json.loads((folder / "out" / "jobs.json").read_text())
    assert len(ledger) == 1
    again = list(run_jobs(pipeline, jobs, folder / "out"))
    assert [outcome.was_done for outcome in again] == [True, False]


def test_an_error_that_nobody_foresaw_costs_one_job(folder, pipeline, monkeypatch):
    rows = [[name, "blue.png", "", "", "", ""] for name in ("a.mp4", "b.mp4", "empty.mp4")]
    path = write_csv(folder / "jobs.csv", rows)
    paint = pipeline.painter.paint_latents
    errors = iter([RuntimeError("CUDA error: out of memory"), None])

    def breaks_once(*words, **settings):
        if (error := next(errors)) is not None:
            raise error
        paint(*words, **settings)

    monkeypatch.setattr(pipeline.painter, "paint_latents", breaks_once)
    first = run(pipeline, path, folder)
    assert [outcome.error is None for outcome in first] == [False, True, False]
    assert "unexpected RuntimeError: CUDA error: out of memory" in first[0].line
    assert first[0].error.__context__ is None  # its frames would hold tensors
    assert "in breaks_once" in (folder / "out" / "errors.log").read_text(encoding="utf-8")
    page = write_page(folder / "out" / "report.html", first).read_text(encoding="utf-8")
    assert "unexpected RuntimeError" in page
    monkeypatch.setattr(pipeline.painter, "paint_latents", paint)
    again = run(pipeline, path, folder)
    assert [outcome.was_done for outcome in again] == [False, True, False]
    assert again[0].error is None


def test_a_job_that_cannot_even_be_looked_at_costs_one_job(folder, pipeline, monkeypatch):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["b.mp4", "blue.png", "", "", "", ""]]
    read = Path.open

    def denied(path, *words, **settings):
        if path.name == "a.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *words, **settings)

    monkeypatch.setattr(Path, "open", denied)
    outcomes = run(pipeline, write_csv(folder / "jobs.csv", rows), folder)
    assert [outcome.error is None for outcome in outcomes] == [False, True]
    assert "Permission denied" in outcomes[0].line


def test_names_of_results_are_never_longer_than_a_file_name_may_be(folder, pipeline):
    names = ["x" * 200, "ü" * 110]
    for name in names:
        shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
        shutil.copy(folder / "blue.png", folder / f"{name}.png")
    rows = [[f"{video}.mp4", f"{cloth}.png"] for video in names for cloth in names]
    path = write_csv(folder / "jobs.csv", rows, header=("video", "garment"))
    jobs = read_jobs(path, folder / "out", TryOnConfig())
    assert len({job.out for job in jobs}) == 4
    assert max(len(os.fsencode(job.out.name)) for job in jobs) <= 255
    assert all(job.out.name.endswith(".mp4") for job in jobs)
    assert [job.out for job in jobs] == [
        job.out for job in read_jobs(path, folder / "out", TryOnConfig())
    ]
    (outcome,) = run_jobs(pipeline, jobs[:1], folder / "out")
    assert outcome.error is None
    assert outcome.job.out.is_file()


def test_a_list_and_a_result_in_use_are_left_alone(folder, pipeline):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["b.mp4", "blue.png", "", "", "", ""]]
    path = write_csv(folder / "jobs.csv", rows)
    with only_run(folder / "out" / "jobs.json"), pytest.raises(DataError, match="out is in use by"):
        run(pipeline, path, folder)
    with only_writer(folder / "out" / "a--blue.mp4"):
        outcomes = run(pipeline, path, folder)
    assert "a--blue.mp4 is in use by process" in outcomes[0].line
    assert outcomes[1].error is None
    assert not list((folder / "out").glob(".*.lock"))


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 3}', b'{"a": {}}', b"\xff\xfe"])
def test_a_record_that_cannot_be_read_is_moved_aside(folder, pipeline, content, caplog):
    path = write_csv(folder / "jobs.csv", [["empty.mp4", "blue.png", "", "", "", ""]])
    (folder / "out").mkdir()
    (folder / "out" / "jobs.json").write_bytes(content)
    run(pipeline, path, folder)
    assert "every job is done again" in caplog.text
    assert (folder / "out" / "jobs.json-before-1").read_bytes() == content


def test_a_result_that_replaces_what_another_job_reads_is_refused(folder):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["b.mp4", "blue.png", "../a.mp4", "", "", ""]]
    jobs = read_jobs(write_csv(folder / "jobs.csv", rows), folder / "out", TryOnConfig())
    with pytest.raises(DataError, match="which this list reads"):
        check_outs(jobs)


def test_a_file_that_disappeared_costs_its_section_of_the_page(folder, pipeline):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["b.mp4", "blue.png", "", "", "", ""]]
    outcomes = run(pipeline, write_csv(folder / "jobs.csv", rows), folder)
    (folder / "a.mp4").unlink()
    page = write_page(folder / "out" / "report.html", outcomes).read_text(encoding="utf-8")
    assert page.count("<video") == 2
    assert "cannot be shown: video" in page


def test_the_command_reports_every_job_and_ends_with_2(folder, pipeline, monkeypatch, capsys):
    rows = [["a.mp4", "blue.png", "", "", "", ""], ["b.mp4", "blue.png", "", "", "", ""]]
    path = write_csv(folder / "jobs.csv", rows)
    monkeypatch.setattr("inference.tryon.build_pipeline", lambda _: pipeline)
    paint = pipeline.painter.paint_latents

    def breaks(control, *words, **settings):
        if control.shape[1] == 5:  # the frames of a.mp4
            raise MemoryError
        paint(control, *words, **settings)

    monkeypatch.setattr(pipeline.painter, "paint_latents", breaks)
    with pytest.raises(SystemExit) as stop:
        run_command(main, [f"jobs={path}", f"out={folder / 'out'}"])
    assert stop.value.code == 2
    assert "2 jobs: 1 result, 0 of them from an earlier run, 1 failed" in capsys.readouterr().out
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "unexpected MemoryError" in page
    assert page.count("<video") == 2


@pytest.mark.parametrize("moment", ["nan", "inf", "-inf", "1e999", "x", ""])
def test_a_moment_that_is_no_number_belongs_to_the_name(moment):
    source = GarmentSource.read(f"dance.mp4@{moment}")
    assert (source.path.name, source.time) == (f"dance.mp4@{moment}", None)
