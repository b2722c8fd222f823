"""Writing a trained codec: the weights, and a record of data, settings and scores beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets.storage import file_sha256, write_file
from models.codecs.dct import DctCodec
from models.codecs.learned import LearnedCodec, SmallAutoencoder, pack
from models.codecs.vae import Codec
from models.weights.files import write_weights
from training.codec.config import CodecTraining
from training.codec.crops import Crops
from training.codec.learn import schedule_of
from training.codec.real import RealFile
from training.codec.rendered import Picture
from training.codec.scores import NOISE, SIZES, framed, score_codecs
from training.codec.whitening import measure_latents

WHITENING = 0.5
"""Of the codecs that are compared, as in the demo; only ``psnr_noisy`` depends on it."""
_LOCAL = ("work", "workers", "checkpoint_every_steps")
"""Settings that change nothing of what is learned; not in the record."""
STATISTICS_BATCHES = 40
"""Batches over which the latents' statistics are measured, after those that were trained on."""


def write_codec(
    config: CodecTraining, network: SmallAutoencoder, crops: Crops, commit: str
) -> LearnedCodec:
    """Measure the latents' statistics and write the file; the codec as read back from it."""
    batches = (crops.batch(config.max_steps + number) for number in range(STATISTICS_BATCHES))
    mean, std, gain = measure_latents(network.float(), batches)
    write_weights(
        config.out, pack(network, mean, std, gain),
        {"seed": config.seed, "steps": config.max_steps, "commit": commit},
    )  # fmt: skip
    return LearnedCodec(config.latent_channels, WHITENING, config.out)


def score_unseen(
    config: CodecTraining, learned: Codec, rendered: Sequence[Picture], real: Sequence[RealFile]
) -> dict[str, Any]:
    """Scores of the codec and of the DCT of as many channels, by kind of frame and size."""
    codecs = {"learned": learned, "dct": DctCodec(config.latent_channels, WHITENING)}
    kinds = {"rendered": rendered, "real": [one for file in real for one in file.pictures]}
    scores: dict[str, Any] = {}
    for kind, pictures in kinds.items():
        for size in SIZES:
            frames = framed(pictures, size)
            if len(frames):
                scores[f"{kind} {size[0]}x{size[1]}"] = score_codecs(codecs, frames)
    return scores


def write_record(
    config: CodecTraining,
    command: str,
    commit: str,
    seen: Sequence[RealFile],
    unseen: Sequence[RealFile],
    scores: Mapping[str, Any],
) -> Path:
    """Write ``<out>.json``: everything that says where the codec came from and what it does."""
    out = Path(config.out)
    record = {
        "file": out.name,
        "sha256": file_sha256(out),
        "bytes": out.stat().st_size,
        "command": command,
        "commit": commit,
        "settings": {key: value for key, value in asdict(config).items() if key not in _LOCAL},
        "schedule": schedule_of(config),
        "data": {
            "rendered": f"{config.num_clips} dancers and {config.num_garments} product pictures of "
            f"datasets/synthetic, seed {config.seed}, split train",
            "rendered_unseen": f"{config.num_unseen} dancers, seed {config.seed + 1}, split bench",
            "real": {file.name: file.licence for file in seen},
            "real_unseen": {file.name: file.licence for file in unseen},
        },
        "scores": scores,
        "about_schedule": "[from step, max_steps]: the learning rate falls towards max_steps",
        "about_scores": "psnr (dB) and ssim: means over frames that no training saw. edges: mean "
        "step across the borders of 8 x 8 blocks over the mean step inside them, minus that of the "
        f"frames themselves. psnr_noisy: with noise of std {NOISE} on latents at whitening "
        f"{WHITENING}",
    }
    path = out.with_suffix(".json")
    write_file(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def score_table(scores: Mapping[str, Any]) -> str:
    """The scores as lines of text."""
    lines = [f"{'frames':18} {'codec':8}   PSNR   SSIM   edges  noisy"]
    for frames, by_codec in scores.items():
        for codec, one in by_codec.items():
            lines.append(
                f"{frames:18} {codec:8} {one['psnr']:6.2f} {one['ssim']:6.4f} {one['edges']:+7.3f}"
                f" {one['psnr_noisy']:6.2f}"
            )
    return "\n".join(lines)
