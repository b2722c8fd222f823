"""Training steps with and without a latent cache: clips a second, beside what the plan predicts.

    python -m tests.bench.latents CONFIG.yaml [key=value ...] [--steps 20] [--rounds 3]

CONFIG is a training run. All its clips are encoded first, into a folder that is thrown away.
``--random-vae WIDTHS`` puts an AutoencoderKL of such widths with random weights in the codec's
place: 8,16,16,32 is tiny, 128,256,512,512 Stable Diffusion's. A step is forward and backward of one
micro-batch, with the codec and without it in turns; batches are loaded beforehand, for the loader
is measured by ``tests.bench.loader``.
"""

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from configs.loading import load_config
from datasets.loading.collate import PackedBatch
from datasets.loading.datamodule import TryOnData
from models.codecs.vae import build_codec
from models.system import System, build_system
from training.config import TrainConfig
from training.encoding import cache_key
from training.latents import encode_all
from training.module import TryOnModule
from training.plan import cache_ratio


def write_vae(folder: Path, widths: list[int], latent_channels: int) -> Path:
    """An AutoencoderKL with random weights."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    torch.manual_seed(0)
    depth = len(widths)
    build: Any = AutoencoderKL
    build(
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=tuple(widths),
        latent_channels=latent_channels,
        layers_per_block=2 if min(widths) >= 64 else 1,
        norm_num_groups=min(32, min(widths)),
        mid_block_add_attention=min(widths) >= 64,
    ).save_pretrained(folder)
    return folder


def batches_of(config: TrainConfig, count: int) -> list[Any]:
    """The first batches of a run, as the loader gives them."""
    system = config.system
    key = cache_key(config) if config.data.latents else None
    data = TryOnData(config.data, system.height, system.width, config.seed, 1, key)
    data.setup()
    return list(islice(iter(data.loader_from(0)), count))


def step_seconds(module: TryOnModule, system: System, batch: Any, device: torch.device) -> float:
    """One micro-batch: to the device, encoded or not, forward and backward."""
    start = time.perf_counter()
    moved = batch.to(device)
    ready = moved.unpack() if isinstance(moved, PackedBatch) else moved
    module.training_step(ready, 0).backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    module.zero_grad(set_to_none=True)
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--random-vae", default=None)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    words = [*options.overrides, "validation.every_steps=0", "data.num_validation_clips=0"]
    with tempfile.TemporaryDirectory() as folder:
        if options.random_vae:
            widths = [int(width) for width in options.random_vae.split(",")]
            channels = load_config(TrainConfig, options.config, words).system.codec.latent_channels
            vae = write_vae(Path(folder) / "vae", widths, channels)
            words += ["system.codec.kind=kl", f"system.codec.path={vae}"]
        pixels = load_config(TrainConfig, options.config, words)
        cached = load_config(TrainConfig, options.config, [*words, f"data.latents={folder}/cache"])
        start = time.perf_counter()
        encode_all(cached, build_codec(cached.system.codec), cache_key(cached))
        print(f"encoding all clips: {time.perf_counter() - start:.1f} s")
        return compare(pixels, cached, options.steps, options.rounds)


def compare(pixels: TrainConfig, cached: TrainConfig, steps: int, rounds: int) -> dict[str, float]:
    """Median step with and without the codec, in turns."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    system = build_system(pixels.system)
    module = TryOnModule(pixels, system).to(device)
    module.train()
    sides = {"pixels": batches_of(pixels, steps), "latents": batches_of(cached, steps)}
    seconds: dict[str, list[float]] = {"pixels": [], "latents": []}
    for number in range(rounds + 1):  # the first warms up
        for side, batches in sides.items():
            times = [step_seconds(module, system, batch, device) for batch in batches]
            seconds[side] += times if number else []
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    rows = pixels.data.batch_size
    for side, median in medians.items():
        print(f"{side}: {median:.3f} s a step, {rows / median:.2f} windows/s")
    measured, planned = medians["pixels"] / medians["latents"], cache_ratio(pixels)
    print(f"{measured:.2f} times as fast with the cache; the plan's operations say {planned:.2f}")
    return {"measured": measured, "planned": planned, **medians}


if __name__ == "__main__":
    main()
