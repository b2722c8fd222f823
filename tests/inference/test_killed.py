"""A job that is killed, not stopped: in the middle of a write; a whole command at any moment."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tryon_fixtures import write_checkpoint, write_video

from inference.pipeline import TryOnPipeline
from inference.sampling.solvers import SamplerConfig
from tests.warm import WarmPython

ROOT = Path(__file__).resolve().parents[2]
DYING = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = ["tests", "tests/inference"]
import torch
torch.set_num_threads(int(sys.argv[3]))
from tryon_fixtures import colour_perception
from inference.conditions import stored as conditions
from inference.sampling import latent_video
from inference.video import work_folder
from inference.pipeline import TryOnPipeline
from inference.sampling.solvers import SamplerConfig

folder, after = Path(sys.argv[1]), int(sys.argv[2])
conditions._WORK_HEIGHT = 96
pipeline = TryOnPipeline.from_checkpoint(
    folder / "run" / "last.ckpt", device="cpu", perception=colour_perception(),
    sampler=SamplerConfig(solver="ddim", num_steps=2, clip=3.0),
)
write, count = os.pwrite, 0

def torn(file, data, place):
    global count
    count += 1
    if count == after:
        write(file, data[: len(data) // 2], place)
        os.kill(os.getpid(), signal.SIGKILL)
    return write(file, data, place)

os.pwrite = torn
pipeline(folder / "v.mp4", folder / "garment.png", out=folder / "o.mp4", work=folder / "work")
"""


@pytest.fixture(scope="module")
def warm_python():
    python = WarmPython("import inference.pipeline")
    yield python
    python.close()


@pytest.mark.parametrize(
    "after", [12, 60]
)  # of 40 frames of control input, then of painted latents
def test_half_a_written_frame_does_no_harm(
    tmp_path, tiny_system, perception, garment, after, warm_python, small_perception
):
    write_checkpoint(tmp_path / "run" / "last.ckpt", tiny_system)
    write_video(tmp_path / "v.mp4", people=[True] * 40)
    words = [str(tmp_path), str(after), str(torch.get_num_threads())]
    died = warm_python.run(DYING, words, tmp_path)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert not (tmp_path / "o.mp4").exists()
    pipeline = TryOnPipeline.from_checkpoint(
        tmp_path / "run" / "last.ckpt", device="cpu", perception=perception,
        sampler=SamplerConfig(solver="ddim", num_steps=2, clip=3.0),
    )  # fmt: skip
    for name, work in (("o.mp4", tmp_path / "work"), ("whole.mp4", tmp_path / "other")):
        pipeline(tmp_path / "v.mp4", garment, out=tmp_path / name, work=work)
    assert (tmp_path / "o.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.slow
@pytest.mark.perception
def test_sixty_seconds_killed_at_eight_random_moments_give_the_same_bytes(tmp_path, tiny_system):
    checkpoint = write_checkpoint(tmp_path / "run" / "last.ckpt", tiny_system)
    words = [
        sys.executable, "-m", "tests.bench.tryon", "kills", "--checkpoint", str(checkpoint),
        "--seconds", "60", "--kills", "8", "--size", "128", "96", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    found = json.loads((tmp_path / "out" / "kills.json").read_text())
    assert found["same_bytes_after_kills"]
    assert found["same"], "frames, rate and sound as the source's"
    assert sum(kill["killed"] for kill in found["kills"]) == 8
    assert {kill["phase"] for kill in found["kills"]} == {
        "making masks", "painting key frames", "filling sub-videos", "writing",
    }  # fmt: skip
