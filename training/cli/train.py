"""Sub-commands about weights and training."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from configs.errors import ConfigError
from training.cli.excerpts import Excerpt
from training.cli.options import TRAINING, WEIGHTS, Config, Flag, Out, Typed, examples
from training.cli.start import start
from training.cli.words import as_settings, with_config

FIT = "training.fit:read_arguments"
CAPTION = "weights/caption_dancing_person.safetensors"


def add_commands(app: App) -> None:
    """Add this file's sub-commands."""
    app.command(
        weights,
        group=WEIGHTS,
        usage="viton-dit weights [--fetch NAMES] [--check NAMES]",
        help_epilogue=examples("weights", "weights --fetch metrics", "weights --check all"),
    )
    app.command(
        caption,
        group=WEIGHTS,
        usage="viton-dit caption ENCODER [--prompt TEXT] [--out FILE]",
        help_epilogue=examples(
            "caption t5-v1_1-xxl", 'caption t5-v1_1-xxl --prompt "a dancing person" --overwrite'
        ),
    )
    app.command(
        latents,
        group=TRAINING,
        usage="viton-dit latents [CONFIG.yaml] [key=value ...]",
        help_epilogue=examples("latents", "latents configs/stage2.yaml data.roots=[data/dance]"),
    )
    app.command(
        codec,
        group=TRAINING,
        usage="viton-dit codec [CONFIG.yaml] [--pictures DIR] [--out FILE] [key=value ...]",
        help_epilogue=examples(
            "codec", "codec --pictures photos/ --out runs/codec/mine.safetensors"
        ),
    )
    app.command(
        plan,
        group=TRAINING,
        usage="viton-dit plan [CONFIG.yaml] [--gpu GB] [key=value ...]",
        help_epilogue=examples("plan configs/stage3.yaml --gpu 24", "plan trainer.accumulate=4"),
    )
    app.command(
        train,
        group=TRAINING,
        usage="viton-dit train CONFIG.yaml [key=value ...]",
        help_epilogue=examples(
            "train configs/stage3.yaml optimizer.lr=5e-5",
            "train configs/pretrain.yaml",
            "train configs/demo/stage1.yaml name=mine max_steps=200",
            "train configs/pretrained/lora.yaml data.roots=[data/mine]",
        ),
    )
    app.command(
        export,
        group=TRAINING,
        usage="viton-dit export CHECKPOINT --out FOLDER [key=value ...]",
        help_epilogue=examples(
            "export runs/stage3 --out exported dtype=bfloat16",
            "export runs/lora --out adapter lora=adapter",
        ),
    )


def weights(*settings: Typed, fetch: str | None = None, check: str | None = None) -> int | None:
    """List public weights and which of them you have, download or check them.

    Args:
        settings: key=value: fetch, check, mirror.
        fetch: Names or groups, such as i3d,resnext or metrics, training, all.
        check: Names or groups whose files are to be verified.
    """
    words = as_settings(settings, fetch=fetch, check=check)
    reads = "training.weights.__main__:read_arguments"
    return start("training.weights.__main__", words, settings=reads)


def caption(
    encoder: Typed | None = None,
    /,
    *,
    named: Annotated[str | None, Parameter(name="--encoder", show=False)] = None,
    prompt: str = "a dancing person",
    out: Annotated[str, Parameter(name=["--out", "-o"])] = CAPTION,
    tokens: int | None = None,
    precision: str | None = None,
    overwrite: Flag = False,
) -> int | None:
    """Compute a prompt's embedding, once.

    Args:
        encoder: Folder of DeepFloyd/t5-v1_1-xxl.
        named: The same as an option.
        prompt: The text.
        out: Ends in .safetensors.
        tokens: Length that it is padded to.
        precision: float32 or bfloat16.
        overwrite: Replace an existing file.
    """
    folder = encoder or named
    if folder is None:
        raise ConfigError(
            "ENCODER is missing: the folder of DeepFloyd/t5-v1_1-xxl, which computes the embedding"
        )
    try:
        Excerpt("models.text")["require_encoder"](Path(folder))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if find_spec("transformers") is None:
        raise ConfigError("the prompt's encoder needs transformers: `make setup-text`")
    words = [f"--encoder={folder}"]
    words += [] if tokens is None else [f"--tokens={tokens}"]
    words += [] if precision is None else [f"--precision={precision}"]
    words += ["--overwrite"] if overwrite else []
    return start("models.text", [*words, "--", prompt, out], uses_torch=True)


def latents(*settings: Typed, config: Config = None) -> int | None:
    """Encode every clip once, for data.latents=auto; a rerun resumes.

    Args:
        settings: A stage's YAML file, and key=value: any of its settings.
        config: YAML file with settings.
    """
    words = with_config(settings, config, "configs/stage3.yaml")
    return start("training.latents", words, settings=FIT, uses_torch=True)


def codec(
    *settings: Typed, pictures: Typed | None = None, out: Out = None, config: Config = None
) -> int | None:
    """Train the small image codec that ships, on rendered and real pictures.

    Args:
        settings: A YAML file, and key=value: any of its settings.
        pictures: Folder with photos, videos and SOURCES.tsv.
        out: The codec's file; runs/codec/codec.safetensors unless the YAML names another.
        config: YAML file with settings.
    """
    path, *typed = with_config(settings, config, "configs/codec.yaml")
    words = [path, *as_settings(typed, real=pictures, out=out)]
    reads = "training.codec.__main__:read_arguments"
    return start("training.codec.__main__", words, settings=reads, uses_torch=True)


def plan(*settings: Typed, gpu: float | None = None, config: Config = None) -> int | None:
    """Say how much memory and time a run needs, before it starts.

    Args:
        settings: A stage's YAML file, and key=value: any of its settings.
        gpu: Memory of the card in GB.
        config: YAML file with settings.
    """
    path, *typed = with_config(settings, config, "configs/stage3.yaml")
    words = [path, *as_settings(typed, gpu_gb=gpu)]
    return start("training.plan", words, settings="training.plan:read_arguments")


def train(*settings: Typed, config: Config = None) -> int | None:
    """Train a stage: pretrain, stage1, stage2 or stage3; a rerun resumes.

    Args:
        settings: A stage's YAML file, and key=value: any of its settings.
        config: YAML file with settings.
    """
    words = with_config(settings, config, "")
    if not words[0]:
        raise ConfigError(
            "a stage's YAML file is missing, such as: viton-dit train configs/stage3.yaml"
        )
    return start("training.fit", words, settings=FIT, uses_torch=True)


def export(checkpoint: Typed | None = None, /, *settings: Typed, out: Out = None) -> int | None:
    """Save what inference needs of a run, with a model card.

    Args:
        checkpoint: A checkpoint, or a run's folder, whose last one is used.
        settings: key=value: weights, dtype, limits; lora=adapter and base of adapters.
        out: A new folder, or an earlier export.
    """
    words = as_settings((checkpoint, *settings), ("checkpoint",), out=out)
    return start("training.export", words, settings="training.export:read_arguments")
