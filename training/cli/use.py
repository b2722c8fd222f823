"""Sub-commands that use a model, score it, or show everything once."""

from collections.abc import Sequence
from importlib.util import find_spec

from cyclopts import App

from configs.errors import ConfigError
from training.cli.options import START, USE, Config, Out, Typed, examples
from training.cli.start import start
from training.cli.words import Word, as_settings, with_config


def add_commands(app: App) -> None:
    """Add this file's sub-commands."""
    app.command(
        demo,
        group=START,
        usage="viton-dit demo [CONFIG.yaml] [--real CLIP] [key=value ...]",
        help_epilogue=examples("demo", "demo --real me.mp4", "demo configs/small/small.yaml"),
    )
    app.command(
        tryon,
        group=USE,
        usage="viton-dit tryon VIDEO GARMENT --out FILE.mp4 [key=value ...]",
        help_epilogue=examples(
            "tryon me.mp4 shirt.jpg -o out.mp4",
            "tryon me.mp4 skirt.jpg -o out.mp4 category=lower seed=1",
            "tryon me.mp4 --preview me.png",
            "tryon --jobs jobs.csv -o results",
            "tryon me.mp4 shirt.jpg -o out.mp4 lora=runs/my-garments",
        ),
    )
    app.command(
        app_,
        name="app",
        group=USE,
        usage="viton-dit app [CONFIG.yaml] [--port N] [key=value ...]",
        help_epilogue=examples("app", "app --port 7861 --checkpoint runs/stage3"),
    )
    app.command(
        eval_,
        name="eval",
        group=USE,
        usage="viton-dit eval BENCH [--pred DIR] [key=value ...]",
        help_epilogue=examples(
            "eval synthetic",
            "eval vvt checkpoint=runs/stage3",
            "eval vvt --pred results/ name=mine",
        ),
    )
    app.command(
        ablate,
        group=USE,
        usage="viton-dit ablate WHAT [key=value ...]",
        help_epilogue=examples("ablate fusion", "ablate longvideo seeds=[0]"),
    )


def demo(*settings: Typed, real: Typed | None = None, config: Config = None) -> int | None:
    """Render dancers, curate, train every stage small, evaluate, write one page.

    Args:
        settings: A YAML file, and key=value: any of its settings.
        real: A video of yours that is dressed too.
        config: YAML file with settings.
    """
    path, *typed = with_config(settings, config, "configs/demo/demo.yaml")
    words = [path, *as_settings(typed, real=real)]
    return start("training.demo", words, settings="training.demo:DemoConfig")


def tryon(
    video: Typed | None = None,
    garment: Typed | None = None,
    /,
    *settings: Typed,
    out: Out = None,
    jobs: Typed | None = None,
    preview: Typed | None = None,
    checkpoint: Typed | None = None,
    config: Config = None,
) -> int | None:
    """Put a garment on the person in a video; a rerun resumes.

    Args:
        video: A video; of several people, the main one is dressed unless person=2 or so is given.
        garment: A picture of a garment; or video.mp4@3.2: what is worn 3.2 s into a video.
        settings: key=value: any setting of configs/tryon.yaml.
        out: The MP4 to write; for a list, the folder.
        jobs: A CSV with columns video,garment instead of one video.
        preview: A picture to write instead: who is in the video, what would be painted.
        checkpoint: A checkpoint, a run's folder, or an exported model.
        config: YAML file with settings.
    """
    options = {"out": out, "jobs": jobs, "preview": preview, "checkpoint": checkpoint}
    words = as_settings((video, garment, *settings), ("video", "garment"), **options)
    words = with_config(words, config, "configs/tryon.yaml")
    return start("inference.tryon", words, settings="inference.job_list:read_inputs",
                 uses_torch=True)  # fmt: skip


def app_(
    *settings: Typed,
    port: int | None = None,
    checkpoint: Typed | None = None,
    config: Config = None,
) -> int | None:
    """Try-on in a browser, http://localhost:7860.

    Args:
        settings: A YAML file, and key=value: any of its settings.
        port: The port to listen on.
        checkpoint: A checkpoint, a run's folder, or an exported model.
        config: YAML file with settings.
    """
    absent = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if absent:
        raise ConfigError(f"the browser app needs {' and '.join(absent)}: `make setup-app`")
    path, *typed = with_config(settings, config, "configs/app.yaml")
    words = [path, *as_settings(typed, port=port, checkpoint=checkpoint)]
    return start("inference.app", words, settings="inference.app:read_config", uses_torch=True)


def eval_(
    bench: Typed | None = None,
    /,
    *settings: Typed,
    pred: Typed | None = None,
    config: Config = None,
) -> int | None:
    """Score a checkpoint, or any method's results.

    Args:
        bench: synthetic, vvt, vivid_s, eevee, dance, or a YAML file.
        settings: key=value: any setting of the YAML file.
        pred: Folder with another method's results.
        config: YAML file with settings, instead of BENCH.
    """
    path, *typed = with_config(_named("eval", (bench, *settings)), config, "")
    if not path:
        raise ConfigError("BENCH is missing; accepted: synthetic, vvt, vivid_s, eevee, dance")
    words = [path, *as_settings(typed, pred=pred)]
    reads = "training.evaluation.config:read_arguments"
    return start("training.evaluate", words, settings=reads, uses_torch=True)


def ablate(what: str | None = None, /, *settings: Typed, config: Config = None) -> int | None:
    """Test a claim in small, on rendered dancers.

    Args:
        what: fusion, stages, data, swapping, longvideo, known, freeze, or a YAML file.
        settings: key=value: any setting of the YAML file.
        config: YAML file with settings, instead of WHAT.
    """
    words = with_config(_named("experiments", (what, *settings)), config, "")
    if not words[0]:
        raise ConfigError(
            "WHAT is missing; accepted: fusion, stages, data, swapping, longvideo, known, freeze"
        )
    reads = "training.experiments.ablate:read_arguments"
    return start("training.experiments.ablate", words, settings=reads)


def _named(folder: str, words: Sequence[Word | None]) -> list[str]:
    """The words with a first name such as ``vvt`` written out as configs/eval/vvt.yaml."""
    given = [str(word) for word in words if word is not None]
    if given and "=" not in given[0] and not given[0].endswith(".yaml"):
        given[0] = f"configs/{folder}/{given[0]}.yaml"
    return given
