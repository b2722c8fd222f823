"""Runs the commands of docs/tutorial.md, and makes its pictures.

``python -m tests.tutorial FOLDER`` runs all in a new folder and writes docs/images/tutorial.jpg
and docs/images/tutorial_rejected.jpg. All of it is made of rendered dancers.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from configs.front_door import CALLED_BY, MAKE
from datasets.storage import write_file
from tests.make_lines import called_words
from training.evaluation.results import read_result
from training.experiments.film_strip import draw_row

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
IMAGES = ROOT / "docs" / "images"
VIDEO, GARMENT = "raw/bench/raw/bench_000.mp4", "raw/bench/garments/bench_000.png"
"""Dressed by the page's last commands."""


@dataclass(frozen=True)
class Shown:
    """A command of the page, and what the page says that it prints (empty: nothing is shown)."""

    line: str
    output: str


def commands() -> list[Shown]:
    """All of them, in order; a ```text block shows what the last line before it prints."""
    found: list[Shown] = []
    blocks = re.findall(r"```(bash|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for kind, text in blocks:
        if kind == "text":
            found[-1] = Shown(found[-1].line, text)
        else:
            found += [Shown(line.split("  #")[0].strip(), "") for line in text.splitlines()]
    return found


def run(words: list[str], folder: Path) -> str:
    """Run ``viton-dit`` with these words in a folder; what it prints.

    Raises:
        AssertionError: it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "viton_dit", *words], cwd=folder, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), CALLED_BY: MAKE},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout)
    return done.stdout


def lacking(shown: str, printed: str) -> list[str]:
    """Pieces of a shown output that were not printed, whatever the numbers; ``...`` is left out."""
    there = _without_numbers(printed)
    pieces = [piece for line in shown.splitlines() for piece in line.split("...")]
    return [piece for piece in pieces if _without_numbers(piece) not in there]


def _without_numbers(text: str) -> str:
    return " ".join(re.sub(r"\d[\d.,:]*( (s|min|h)\b)?", "#", text).split()).replace("# #", "#")


def draw_pictures(folder: Path) -> None:
    """The pictures of the page from the folder in which its commands ran."""
    garment = cv2.imread(str(folder / GARMENT))
    source = read_result(folder / VIDEO)
    rows = [
        draw_row(source, cv2.cvtColor(garment, cv2.COLOR_BGR2RGB), read_result(folder / name))
        for name in ("ships.mp4", "mine.mp4")
    ]
    _write(IMAGES / "tutorial.jpg", np.concatenate(rows))
    explained = next((folder / "data" / "dance" / "explain").glob("*.jpg"))
    _write(IMAGES / "tutorial_rejected.jpg", cv2.imread(str(explained))[..., ::-1])


def _write(path: Path, picture: np.ndarray) -> None:
    width = min(picture.shape[1], 900)
    size = (width, round(picture.shape[0] * width / picture.shape[1]))
    small = cv2.resize(picture[..., ::-1], size, interpolation=cv2.INTER_AREA)
    write_file(path, cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


def main(folder: Path) -> None:
    """Run the page as it stands and draw its pictures."""
    folder.mkdir(parents=True)
    for shown in commands():
        print(f"\n$ {shown.line}", flush=True)
        if shown.line != "make setup":
            print(run(called_words(shown.line), folder), flush=True)
    draw_pictures(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
