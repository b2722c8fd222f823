"""Latents in files: stopped and resumed jobs, bounded reads, noise in common."""

import pytest
import torch

from inference.sampling.latent_video import FileLatents, Journal, MemoryLatents, paint_latents
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import draw_noise
from models.conditions import Conditions

SIZE = (4, 6)
FAST = SamplerConfig(solver="ddim", num_steps=2)
LONG = LongVideoConfig(sub_video_length=3, batch_size=2)


class StopError(Exception):
    pass


@pytest.fixture
def conditions(tiny_system):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        caption = tiny_system.network.encode_caption(*tiny_system.captions(1))
        garment = torch.randn(1, 4, 6, 4, generator=generator)
        features = tiny_system.network.encode_garment(garment, caption)
        return tiny_system.network.project(Conditions(caption=caption, garment=features))


def make_control(num_frames, kept=()):
    control = torch.randn(9, num_frames, *SIZE, generator=torch.Generator().manual_seed(1))
    control[8] = 1
    control[8, list(kept)] = 0
    return control


def paint(system, conditions, control, latents, journal=None, stop_after=None, seen=None):
    calls = 0

    def on_progress(done, total):
        nonlocal calls
        calls += 1
        if seen is not None:
            seen.append((done, total))
        if calls == stop_after:
            raise StopError

    kept = (~control[-1].flatten(1).bool().any(dim=1)).tolist()
    paint_latents(
        system, MemoryLatents(control), latents, kept, conditions, FAST, LONG, 3, on_progress,
        journal,
    )  # fmt: skip


def test_a_file_holds_frames_by_number(tmp_path):
    latents = FileLatents(tmp_path / "l.f32", (2, 5, 3, 4))
    values = torch.randn(2, 3, 3, 4)
    latents.write([4, 0, 2], values)
    assert torch.equal(latents.read([0, 2, 4]), values[:, [1, 2, 0]])
    assert (latents.read([1, 3]) == 0).all()
    latents.close()
    again = FileLatents(tmp_path / "l.f32", (2, 5, 3, 4))
    assert torch.equal(again.read([2]), values[:, 2:])
    assert (tmp_path / "l.f32").stat().st_size == 4 * 2 * 5 * 3 * 4


@pytest.mark.parametrize("stop_after", [1, 4, 5, 8])
def test_a_stopped_job_goes_on_to_the_same_bytes(tmp_path, tiny_system, conditions, stop_after):
    control = make_control(14, kept=[5])
    shape = (4, 14, *SIZE)
    whole = FileLatents(tmp_path / "whole.f32", shape)
    calls = []
    paint(tiny_system, conditions, control, whole, seen=calls)
    latents = FileLatents(tmp_path / "l.f32", shape)
    with pytest.raises(StopError):
        paint(
            tiny_system, conditions, control, latents, Journal(tmp_path / "j", latents), stop_after
        )
    latents.close()
    latents = FileLatents(tmp_path / "l.f32", shape)  # as another process would
    journal = Journal(tmp_path / "j", latents)
    before, seen = journal.done, []
    paint(tiny_system, conditions, control, latents, journal, seen=seen)
    assert (tmp_path / "l.f32").read_bytes() == (tmp_path / "whole.f32").read_bytes()
    assert journal.done > before
    assert len(seen) == len(calls) - before  # told once for each batch done, twice for others
    assert seen[-1] == calls[-1]
    finished = []
    paint(tiny_system, conditions, control, latents, journal, seen=finished)
    assert len(finished) == journal.done  # nothing is painted again


def test_frames_read_at_once_do_not_grow_with_the_video(tiny_system, conditions):
    class Counting(MemoryLatents):
        most = 0

        def read(self, frames):
            type(self).most = max(type(self).most, len(frames))
            return super().read(frames)

    for num_frames in (9, 40):
        control = make_control(num_frames, kept=[0])
        latents = Counting(torch.zeros(4, num_frames, *SIZE))
        paint(tiny_system, conditions, control, latents)
    assert Counting.most <= tiny_system.config.num_frames


def test_noise_in_common_is_the_share_that_was_asked_for():
    frames = [[0, 1, 2, 3]]
    own = draw_noise(frames, "start", (4, 32, 32), 5)
    shared = draw_noise(frames, "start", (4, 32, 32), 5, sharing=0.5)
    assert float(shared.std()) == pytest.approx(1.0, abs=0.03)

    def correlation(noise):
        return float((noise[0, :, 0] * noise[0, :, 3]).mean())

    assert abs(correlation(own)) < 0.05
    assert correlation(shared) == pytest.approx(0.5, abs=0.05)
    alone = draw_noise([[3]], "start", (4, 32, 32), 5, sharing=0.5)
    assert torch.equal(shared[:, :, 3:], alone)  # whatever window a frame lies in
    with pytest.raises(ValueError, match="noise_sharing is 1"):
        LongVideoConfig(noise_sharing=1.0)


def test_noise_sharing_reaches_the_painted_frames(tiny_system, conditions):
    control = make_control(6)
    results = []
    for sharing in (0.0, 0.8):
        latents = MemoryLatents(torch.zeros(4, 6, *SIZE))
        config = LongVideoConfig(sub_video_length=3, noise_sharing=sharing)
        paint_latents(
            tiny_system, MemoryLatents(control), latents, [False] * 6, conditions, FAST, config, 3
        )
        results.append(latents.latents)
    assert not torch.allclose(results[0], results[1], atol=1e-2)
