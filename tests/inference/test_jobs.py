import csv
import json

import pytest
from tryon_fixtures import write_garment, write_video

from configs.errors import ConfigError
from inference.jobs import read_jobs, run_jobs
from inference.jobs_page import write_page
from inference.tryon_config import TryOnConfig


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
