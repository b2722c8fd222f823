"""Tiny runs of the real stages, from real shards."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from configs.loading import load_config
from tests.benchmark_fixtures import write_bench, write_results
from tests.shard_fixtures import write_shards
from tests.warm import WarmPython
from training.config import TrainConfig

TINY = """
name: tiny
stage: pretrain
system:
  height: 32
  width: 32
  num_frames: 4
  network:
    trunk:
      {in_channels: 4, out_channels: 8, dim: 32, depth: 4, num_heads: 2, caption_dim: 8,
       caption_length: 2}
  codec: {kind: dct, latent_channels: 4}
data: {num_frames: 1, batch_size: 2, num_workers: 0, cache_mb: 64}
optimizer: {lr: 1.0e-3}
ema: {decay: 0.5}
validation: {every_steps: 0, sampler: {num_steps: 2}}
trainer: {accelerator: cpu, log_every_steps: 1}
max_steps: 4
"""


@pytest.fixture(scope="module", autouse=True)
def no_curves() -> Iterator[None]:
    """A run's page without its curves: they take twice as long as a tiny run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.report.draw_curves", lambda _: Figure(figsize=(1, 1)))
        yield


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """Runs programs that train."""
    python = WarmPython("import tests.training.test_fit")
    yield python
    python.close()


@pytest.fixture(scope="session")
def clips_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated folder of five small clips."""
    return write_shards(tmp_path_factory.mktemp("dance"), {"train": 4, "val": 1}, num_frames=8)


@pytest.fixture
def tiny(clips_root: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Makes a tiny run's settings; words are overrides."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)

    def make(*words: str, **changes: Any) -> TrainConfig:
        given = [f"data.roots=[{clips_root}]", f"runs={tmp_path / 'runs'}"]
        return replace(load_config(TrainConfig, path, [*given, *words]), **changes)

    return make


@pytest.fixture
def weights_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture(scope="session")
def bench_and_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark, ``bench``, and perfect results on it, ``pred``."""
    folder = tmp_path_factory.mktemp("scored")
    root = write_bench(folder / "bench")
    for pairing in ("paired", "unpaired"):
        write_results(root, folder / "pred" / pairing, pairing)
    return folder


@pytest.fixture
def setting(tmp_path: Path, weights_dir: Path, bench_and_results: Path) -> dict[str, Any]:
    """An evaluation of results that a test may change."""
    shutil.copytree(bench_and_results, tmp_path, dirs_exist_ok=True)
    return {
        "bench": "synthetic",
        "root": str(tmp_path / "bench"),
        "pred": str(tmp_path / "pred"),
        "out": str(tmp_path / "eval"),
        "shown_videos": 1,
    }
