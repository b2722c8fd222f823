"""README, "Try it on your video": its commands and its Python, run by a newcomer."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tryon_fixtures import write_checkpoint

from configs.from_make import PREFIX, words_of
from datasets.synthetic.cast import draw_clip, draw_target_garment
from datasets.synthetic.clips import render_frames, render_garment
from datasets.tracks import encode_video
from inference.video.provenance import read_record
from inference.video.source import open_video
from training.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
SECTION = "## Try it on your video\n"


def section() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.split(SECTION)[1].split("\n## ")[0]


def commands() -> list[list[str]]:
    """What the section's try-on commands run: the words behind ``viton-dit``."""
    (block,) = re.findall(r"```bash\n(.*?)```", section(), re.DOTALL)
    found = []
    for line in block.splitlines():
        line = line.split("   #")[0].strip()
        if not line.startswith("make tryon"):
            continue
        shown = subprocess.run(
            f"{line} --dry-run", shell=True, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        recipe = next(s for s in shown.splitlines() if "configs.from_make viton_dit" in s)
        given = dict(word.split("=", 1) for word in shlex.split(line)[2:])
        environment = {PREFIX + name: value for name, value in given.items()}
        patterns = shlex.split(recipe.split("configs.from_make viton_dit")[1])
        found.append(words_of(patterns, environment))
    return found


@pytest.fixture
def newcomer(tmp_path, tiny_system, monkeypatch):
    """A folder with a video, a garment, a list, the project's settings and a small model."""
    spec = draw_clip(3, "bench", 0, height=256, width=192, num_frames=10, fps=10)
    frames = np.stack([frame for frame, _ in render_frames(spec)])
    (tmp_path / "me.mp4").write_bytes(encode_video(frames, 10))
    picture = render_garment(draw_target_garment(spec), 128, 96)
    cv2.imwrite(str(tmp_path / "shirt.jpg"), picture[..., ::-1])
    (tmp_path / "jobs.csv").write_text("video,garment\nme.mp4,shirt.jpg\n", encoding="utf-8")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    write_checkpoint(tmp_path / "runs/demo-stage3/checkpoints/last.ckpt", tiny_system)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inference.conditions.stored._WORK_HEIGHT", 192)
    return tmp_path


def run(words) -> int | None:
    with pytest.raises(SystemExit) as stop:
        main([*words, "device=cpu"])
    return stop.value.code


@pytest.mark.perception
def test_the_readmes_try_on_works_as_written(newcomer, capsys):
    torch.manual_seed(0)
    preview, one, many = commands()
    assert run(preview) == 0
    assert cv2.imread(str(newcomer / "me.png")).shape[0] > 700
    assert "person 1" in capsys.readouterr().out
    assert run(one) == 0
    result = open_video(newcomer / "me_in_shirt.mp4")
    assert (result.height, result.width, result.fps) == (256, 192, 10)
    assert sum(1 for _ in result.frames()) == 10
    assert read_record(str(newcomer / "me_in_shirt.mp4"))["model"] == "demo-stage3"
    assert not list(newcomer.glob(".*.tryon"))
    assert run(many) == 0
    assert (newcomer / "results" / "me--shirt.mp4").is_file()
    assert "me--shirt.mp4" in (newcomer / "results" / "report.html").read_text(encoding="utf-8")
    (newcomer / "me_in_shirt.mp4").unlink()
    (snippet,) = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    assert (newcomer / "me_in_shirt.mp4").is_file()
