from copy import deepcopy

import numpy as np
import pytest
import torch
from tryon_fixtures import write_checkpoint

from configs.errors import ConfigError, DataError
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.painter import Painter, load_system
from inference.sampling.solvers import SamplerConfig
from models.conditions import Conditions

FAST = SamplerConfig(solver="ddim", num_steps=2, clip=3.0)


def make_job(num_frames=7, height=64, width=96, seed=0):
    random = np.random.default_rng(seed)
    video = random.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)
    densepose = random.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)
    mask = np.zeros((num_frames, height, width), np.uint8)
    mask[:, height // 4 : height // 2, width // 4 : width // 2] = 255
    garment = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    return video, mask, densepose, garment


@pytest.fixture
def painter(tiny_system):
    return Painter(tiny_system, "cpu", FAST)


@pytest.mark.parametrize("shape", [(32, 48), (64, 96), (90, 50), (40, 120)])
def test_a_painted_video_has_the_shape_of_the_one_that_came_in(painter, shape):
    video, mask, densepose, garment = make_job(3, *shape)
    painted = painter.paint(video, mask, densepose, garment)
    assert painted.shape == video.shape
    assert painted.dtype == np.uint8


def test_paste_back_keeps_the_pixels_outside_the_mask_and_changes_those_inside(painter):
    video, mask, densepose, garment = make_job()
    painted = painter.paint(video, mask, densepose, garment, paste_back=True)
    assert np.array_equal(painted[mask == 0], video[mask == 0])
    deep = mask.copy()
    deep[:, :24] = 0
    deep[:, :, :36] = 0
    assert (painted[deep > 0] != video[deep > 0]).mean() > 0.9
    raw = painter.paint(video, mask, densepose, garment)
    assert (raw[mask == 0] != video[mask == 0]).any()


def test_frames_without_a_mask_are_returned_as_the_codec_shows_them(painter):
    video, mask, densepose, garment = make_job(6, 32, 48)
    mask[[2, 5]] = 0
    painted = painter.paint(video, mask, densepose, garment)
    signed = torch.from_numpy(video[[2, 5]].astype(np.float32) / 127.5 - 1)
    codec = painter.system.codec
    shown = codec.decode(codec.encode(signed.permute(0, 3, 1, 2)[None]))[0].permute(0, 2, 3, 1)
    expected = ((shown + 1) * 127.5).round().numpy()
    assert np.abs(painted[[2, 5]] - expected).max() <= 1


def test_the_seed_decides_and_so_does_every_condition(painter):
    job = make_job(3)
    first = painter.paint(*job, seed=1)
    assert np.array_equal(first, painter.paint(*job, seed=1))
    assert (first != painter.paint(*job, seed=2)).mean() > 0.1
    others = make_job(3, seed=5)
    for place in (0, 2, 3):
        changed = list(job)
        changed[place] = others[place]
        assert (first != painter.paint(*changed, seed=1)).mean() > 0.02, place


def test_blocks_kept_in_bfloat16_give_the_bits_that_autocast_alone_gives(tiny_system):
    tiny_system = deepcopy(tiny_system)  # a painter takes it over
    network = tiny_system.network
    latents = torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(0))

    def predict() -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            caption = network.encode_caption(*tiny_system.captions(1))
            garment = network.encode_garment(latents[:, :, 0], caption)
            conditions = network.project(Conditions(caption=caption, garment=garment))
            return network(latents, torch.tensor([400]), conditions)

    cast_at_each_use = predict()
    Painter(tiny_system, "cpu", FAST, precision="bfloat16")
    assert network.denoiser.blocks[0].mlp.fc1.weight.dtype == torch.bfloat16
    assert network.denoiser.blocks[0].scale_shift_table.dtype == torch.float32
    assert torch.equal(predict(), cast_at_each_use)


def test_bfloat16_stays_near_float32(tiny_system):
    job = make_job(3, 32, 48)
    sampler = SamplerConfig(solver="ddim", num_steps=2, guidance_scale=1.0, clip=3.0)
    exact = Painter(tiny_system, "cpu", sampler, precision="float32").paint(*job)
    rough = Painter(deepcopy(tiny_system), "cpu", sampler, precision="bfloat16").paint(*job)
    assert np.abs(exact.astype(float) - rough).mean() < 8


def test_ar_and_iar_paint_every_frame_of_a_long_video(tiny_system):
    video, mask, densepose, garment = make_job(12, 32, 48)
    for method in ("ar", "iar"):
        painter = Painter(tiny_system, "cpu", FAST, LongVideoConfig(method=method))
        painted = painter.paint(video, mask, densepose, garment, paste_back=True)
        inside = mask[0] > 0
        assert all((painted[i][inside] != video[i][inside]).mean() > 0.5 for i in range(12))


def test_a_checkpoint_is_loaded_whole_and_the_average_is_preferred(tmp_path, tiny_system):
    average = {name: tensor + 1 for name, tensor in tiny_system.network.state_dict().items()}
    path = write_checkpoint(tmp_path / "last.ckpt", tiny_system, ema=average)
    for weights, expected in (("ema", average), ("raw", tiny_system.network.state_dict())):
        loaded = load_system(path, weights)
        assert (loaded.step, loaded.weights) == (7, weights)
        assert loaded.system.config == tiny_system.config
        for name, tensor in loaded.system.network.state_dict().items():
            assert torch.equal(tensor, expected[name])
    bare = write_checkpoint(tmp_path / "bare.ckpt", tiny_system)
    assert load_system(bare, "ema").weights == "raw"


def test_an_earlier_stage_can_be_loaded_to_be_compared_with_and_paints_without_control(
    tmp_path, tiny_system
):
    early = write_checkpoint(tmp_path / "stage1.ckpt", tiny_system, drop=["control."])
    network = load_system(early, any_stage=True).system.network
    for name, tensor in network.state_dict().items():
        if not name.startswith("control."):
            assert torch.equal(tensor, tiny_system.network.state_dict()[name])
    for layer in network.control.output_projections:
        assert not layer.weight.any()
        assert not layer.bias.any()


def test_a_checkpoint_that_cannot_be_used_gets_one_sentence(tmp_path, tiny_system):
    with pytest.raises(DataError, match="does not exist; `make demo`"):
        load_system(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("nothing")
    with pytest.raises(DataError, match=r"text\.ckpt"):
        load_system(tmp_path / "text.ckpt")
    early = write_checkpoint(tmp_path / "stage1.ckpt", tiny_system, drop=["control."])
    with pytest.raises(
        DataError, match="has no control network; try-on needs a checkpoint of stage 2"
    ):
        load_system(early)
    lacking = write_checkpoint(tmp_path / "l.ckpt", tiny_system, drop=["denoiser.final_layer."])
    with pytest.raises(DataError, match="missing"):
        load_system(lacking)
    with pytest.raises(ConfigError, match="weights='best'"):
        load_system(early, "best")


def test_settings_of_the_machine_are_checked(tiny_system):
    with pytest.raises(ConfigError, match="precision='half'"):
        Painter(tiny_system, "cpu", precision="half")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device=cuda"):
            Painter(tiny_system, "cuda")
