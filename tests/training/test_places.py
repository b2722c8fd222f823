"""Training with fusion ``places``: fitted before the first step, stored, and the same any way."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from configs.errors import DataError
from datasets.loading.collate import PackedBatch
from datasets.loading.datamodule import TryOnData
from datasets.loading.latents import LatentBatch
from inference.sampling.painter import load_system
from models.codecs.vae import build_codec
from models.system import System, build_system
from tests.place_fixtures import write_place_shards
from training.checkpoints.place_fitting import fit_places
from training.config import TrainConfig
from training.encoding import EncodedBatch, cache_key, encode_batch, sample_format
from training.export import main as export
from training.fit import fit
from training.latents import encode_all
from training.module import TryOnModule
from training.report import read_scalars

PATH = Path("tiny.yaml")
Tiny = Callable[..., TrainConfig]
PLACES = [
    "stage=stage3", "system.network.fusion=places", "system.densepose=iuv",
    "system.garment_scale=2", "system.height=64", "system.width=48", "data.num_frames=4",
    "data.cache_mb=0",
]  # fmt: skip
IMAGES = ["data.num_frames=1", "data.images_per_window=4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place_shards(tmp_path_factory.mktemp("places"), {"train": 4, "val": 1})


@pytest.fixture
def placed(tiny: Tiny, root: Path) -> Tiny:
    return lambda *words, **changes: tiny(*PLACES, f"data.roots=[{root}]", *words, **changes)


def loaded(config: TrainConfig) -> TryOnData:
    system = config.system
    key = cache_key(config) if config.data.latents else None
    data = TryOnData(
        config.data, system.height, system.width, config.seed, 1, key, sample_format(system)
    )
    data.setup()
    return data


def batches(config: TrainConfig, system: System, count: int = 2) -> list[EncodedBatch]:
    found: list[EncodedBatch] = []
    for batch in islice(iter(loaded(config).loader_from(0)), count):
        assert isinstance(batch, LatentBatch) == (config.data.latents is not None)
        ready = batch.unpack() if isinstance(batch, PackedBatch) else batch
        found.append(encode_batch(system, ready))
    return found


@pytest.mark.parametrize("words", [[], IMAGES])
def test_a_cache_gives_the_places_of_the_pixels(
    placed: Tiny, tmp_path: Path, words: list[str]
) -> None:
    words = [*words, "data.latent_dtype=float32", f"data.latents={tmp_path}/cache"]
    cached, pixels = placed(*words), placed(*words, "data.latents=null")
    encode_all(cached, build_codec(cached.system.codec), cache_key(cached))
    system = build_system(pixels.system)
    for left, right in zip(batches(pixels, system), batches(cached, system), strict=True):
        for name in ("latents", "control", "garment", "body", "matched", "outline"):
            ours, theirs = getattr(left, name), getattr(right, name)
            assert ours.shape == theirs.shape, name
            assert torch.allclose(ours, theirs, atol=1e-5), name
        assert 0.1 < left.matched[..., 2].mean() < 0.9


def test_frames_of_one_clip_share_its_garment_and_have_the_loss_of_single_frames(
    placed: Tiny, tmp_path: Path
) -> None:
    config = placed(*IMAGES, "data.batch_size=2")
    module = TryOnModule(config, build_system(config.system), tmp_path)
    for parameter in module.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    batch = next(iter(loaded(config).loader_from(0))).unpack()
    assert batch.is_images
    assert batch.video.shape[:2] == (2, 4)
    folded = encode_batch(module.system, batch)
    assert folded.latents.shape[0] == 8
    assert folded.garment.shape[0] == 2
    timesteps, drop = torch.arange(8) * 100, torch.arange(8) % 3 == 0
    with torch.no_grad():
        together = module.network(
            folded.latents, timesteps,
            module.conditions(
                folded.control, folded.garment, folded.known, drop, folded.body, folded.outline,
                folded.matched,
            ),
        )  # fmt: skip
        for row in range(8):
            one, owner = slice(row, row + 1), slice(row // 4, row // 4 + 1)
            alone = module.network(
                folded.latents[one], timesteps[one],
                module.conditions(
                    folded.control[one], folded.garment[owner], folded.known[one], drop[one],
                    folded.body[one], folded.outline[owner], folded.matched[one],
                ),
            )  # fmt: skip
            assert torch.allclose(together[one], alone, atol=1e-5), row
    frames = batch.video[1, 2][None, None]
    assert torch.allclose(folded.latents[6:7], module.system.codec.encode(frames), atol=1e-6)
    assert len(set(folded.numbers.tolist())) == 8


def test_the_estimator_is_fitted_before_the_first_step_and_stored_everywhere(
    placed: Tiny, tmp_path: Path
) -> None:
    config = placed(*IMAGES, max_steps=1)
    network = build_system(config.system).network
    fit_places(network, loaded(config))
    assert network.garment.places is not None
    expected = network.garment.places.state_dict()
    assert expected["fitted"].tolist() == [1.0] + [0.0] * 8  # the clips show a torso alone
    assert expected["weights"][0].any()
    fit(config, PATH)
    file = tmp_path / "runs/tiny/checkpoints/last.ckpt"
    export([f"checkpoint={tmp_path}/runs/tiny", f"out={tmp_path}/out"])
    for path, weights in ((file, "ema"), (file, "raw"), (tmp_path / "out", "ema")):
        state = load_system(path, weights).system.network.state_dict()
        for name, value in expected.items():
            assert torch.equal(state[f"garment.places.{name}"], value), (path, weights, name)


def test_clips_without_places_are_refused_before_the_first_step(tiny: Tiny, tmp_path: Path) -> None:
    """A folder curated before the affine was recorded would train plain attention in silence."""
    with pytest.raises(DataError, match=r"fusion is places, but no clip under .* curate the vid"):
        fit(tiny(*PLACES, max_steps=1), PATH)
    assert not (tmp_path / "runs/tiny").exists()


@pytest.mark.parametrize("words", [[], IMAGES])
def test_a_stopped_run_goes_on_as_an_unbroken_one(
    placed: Tiny, tmp_path: Path, words: list[str]
) -> None:
    fit(placed("name=whole", *words, max_steps=4), PATH)
    fit(placed("name=broken", *words, max_steps=2), PATH)
    fit(placed("name=broken", *words, max_steps=4), PATH)
    runs = tmp_path / "runs"
    curves = [read_scalars(runs / name)["loss/train"] for name in ("whole", "broken")]
    assert len(curves[0][0]) == 4
    assert curves[0] == curves[1]
    whole, broken = (
        torch.load(runs / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "broken")
    )
    for part in ("state_dict", "ema"):
        assert whole[part].keys() == broken[part].keys()
        for name, value in whole[part].items():
            assert torch.equal(value, broken[part][name]), name


def test_an_export_in_half_precision_keeps_the_estimator_exact(
    placed: Tiny, tmp_path: Path
) -> None:
    config = placed("name=half", f"runs={tmp_path}/runs", max_steps=1)
    fit(config, PATH)
    run = tmp_path / "runs/half"
    export([f"checkpoint={run}", f"out={tmp_path}/out", "dtype=bfloat16"])
    kept = load_system(tmp_path / "out").system.network.garment.places
    whole = load_system(run / "checkpoints/last.ckpt").system.network.garment.places
    assert kept is not None
    assert whole is not None
    assert torch.equal(kept.weights, whole.weights)
    assert torch.equal(kept.components, whole.components)


def test_the_estimator_of_a_start_checkpoint_stays(placed: Tiny) -> None:
    config = placed(*IMAGES)
    network = build_system(config.system).network
    places = network.garment.places
    assert places is not None
    fit_places(network, loaded(config))
    places.weights.mul_(2)
    kept = places.weights.clone()
    fit_places(network, loaded(config))
    assert torch.equal(places.weights, kept)


def test_rows_without_true_places_read_estimated_ones(placed: Tiny, tmp_path: Path) -> None:
    config = placed()
    objective = replace(config.objective, matched_places=0.0)
    losses = []
    for chosen in (config, replace(config, objective=objective)):
        torch.manual_seed(0)
        module = TryOnModule(chosen, build_system(chosen.system), tmp_path)
        for parameter in module.network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        fit_places(module.network, loaded(config))
        batch = next(iter(loaded(config).loader_from(0))).unpack()
        losses.append(float(module.training_step(batch, 0).detach()))
    assert losses[0] != losses[1]
