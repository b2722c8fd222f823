"""docs/tutorial.md: each of its commands is understood, and all of them run, in order."""

import re
from pathlib import Path

import pytest

from tests.make_lines import called_words, typed_words
from tests.tutorial import GARMENT, PAGE, VIDEO, commands, draw_pictures, lacking, run
from training.cli import data, train, use
from training.cli.app import main
from training.cli.start import check

TEACHES = {  # each must be there: the path from videos to a garment worn
    "setup", "render", "curate", "curate-explain", "plan", "train-stage3", "export", "eval",
    "tryon",
}  # fmt: skip
FEWER = {"max_steps=100": "max_steps=4", "max_steps=150": "max_steps=6"}
"""The slow test's training: enough to be stopped, resumed and used."""


def lines() -> list[str]:
    return [shown.line for shown in commands()]


def test_the_page_has_every_step_of_the_way() -> None:
    assert {typed_words(line)[0] for line in lines()} == TEACHES
    assert all(one in PAGE.read_text(encoding="utf-8") for one in FEWER)
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / picture).stat().st_size < 200_000


@pytest.mark.parametrize("line", [line for line in lines() if line != "make setup"])
def test_settings_and_files_of_a_command_are_known(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[list[str]] = []

    def reads(module: str, words: list[str], settings: str | None = None, **_: object) -> None:
        read.append(words)
        if settings is not None:
            check(settings, words)

    for part in (data, train, use):
        monkeypatch.setattr(part, "start", reads)
    monkeypatch.chdir(tmp_path)
    made = (  # by the commands before
        "raw/train/a.mp4", "data/dance/shards/train-000000.tar",
        "data/bench/shards/bench-000000.tar", "runs/mine/checkpoints/last.ckpt", "exported/mine",
    )  # fmt: skip
    for file in (VIDEO, GARMENT, *made):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    with pytest.raises(SystemExit) as stop:
        main(called_words(line))
    assert stop.value.code == 0
    assert len(read) == 1


def test_a_line_with_a_wrong_key_would_be_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in ("make render ARGS='num_trains=3'", "make plan CONFIG=configs/nosuch.yaml"):
        with pytest.raises(SystemExit) as stop:
            main(called_words(line))
        assert stop.value.code == 2
    with pytest.raises(ValueError, match="SCR= is not read"):
        called_words("make curate SCR=raw")


def test_what_is_shown_is_compared_without_its_numbers() -> None:
    printed = "16 videos under raw: 16 rendered, 0 already there\nin 3 min 4 s, done"
    assert not lacking("2 videos under raw: 9 rendered ...\nin 47 s, done", printed)
    assert lacking("16 videos below raw", printed) == ["16 videos below raw"]


@pytest.mark.slow
def test_the_whole_page_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.tutorial.IMAGES", tmp_path)
    missing: dict[str, list[str]] = {}
    for shown in commands():
        if shown.line == "make setup":  # what runs this test is set up
            continue
        line = shown.line
        for many, few in FEWER.items():
            line = line.replace(many, few)
        found = lacking(shown.output, run(called_words(line), tmp_path))
        missing |= {shown.line: found} if found else {}
    assert not missing
    draw_pictures(tmp_path)
    assert (tmp_path / "tutorial.jpg").stat().st_size > 10_000
