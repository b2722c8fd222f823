"""Sub-commands that make, explain and change training data."""

from cyclopts import App

from configs.errors import ConfigError
from training.cli.options import DATA, Config, Flag, Folder, Out, Typed, examples
from training.cli.start import start
from training.cli.words import as_settings, with_config


def add_commands(app: App) -> None:
    """Add this file's sub-commands."""
    app.command(
        curate,
        group=DATA,
        usage="viton-dit curate SRC [--out data/dance] [key=value ...]",
        help_epilogue=examples(
            "curate raw/ --out data/dance",
            "curate raw/ --hold-out 50 selection.quality.min_sharpness=30",
            "curate raw/ --dry-run",
            "curate --bench vvt",
        ),
    )
    app.command(
        curate_explain,
        group=DATA,
        usage="viton-dit curate-explain CLIP_OR_VIDEO [--out data/dance]",
        help_epilogue=examples("curate-explain party.mp4", "curate-explain 0a1b2c3d --out data/x"),
    )
    app.command(
        curate_verify,
        group=DATA,
        usage="viton-dit curate-verify [--out data/dance] [--quick]",
        help_epilogue=examples("curate-verify", "curate-verify --out data/dance --quick"),
    )
    app.command(
        curate_refilter,
        group=DATA,
        usage="viton-dit curate-refilter [--out data/dance] key=value ...",
        help_epilogue=examples(
            "curate-refilter selection.quality.min_sharpness=30 --dry-run",
            "curate-refilter --out data/dance shards.val_share=0.1",
        ),
    )
    app.command(
        curate_purge,
        group=DATA,
        usage="viton-dit curate-purge VIDEO ... [--out data/dance]",
        help_epilogue=examples("curate-purge party.mp4", "curate-purge party.mp4 --copies"),
    )
    app.command(
        render,
        group=DATA,
        usage="viton-dit render [CONFIG.yaml] [key=value ...]",
        help_epilogue=examples("render", "render configs/demo/render.yaml num_train=8 out=data/r"),
    )


def curate(
    src: Typed | None = None,
    /,
    *settings: Typed,
    out: Out = None,
    bench: str | None = None,
    hold_out: int | None = None,
    dry_run: Flag = False,
    config: Config = None,
) -> int | None:
    """Turn raw videos into shards, a manifest and a report; a rerun resumes.

    Args:
        src: Folder with raw videos.
        settings: key=value: any setting of configs/curate.yaml.
        out: The curated folder.
        bench: Prepare a published benchmark instead: vvt, vivid_s or eevee.
        hold_out: How many clips to keep for `eval dance`.
        dry_run: Only say what would be done.
        config: YAML file with settings.
    """
    own = as_settings((src, *settings), ("src",), out=out, dry_run=dry_run)
    keys = {word.partition("=")[0] for word in own}
    if bench is not None and (hold_out is not None or keys & {"src", "out"}):
        raise ConfigError(
            f"BENCH={bench} prepares a published benchmark where it lies; SRC, OUT and HOLD_OUT, "
            "how many clips are held out of your own videos, do not go with it"
        )
    given = as_settings(own, bench=bench if hold_out is None else hold_out)
    words = with_config(given, config, "configs/curate.yaml")
    return start("curation.run", words, settings="curation.run:read_arguments")


def curate_explain(*names: str, out: Folder = "data/dance") -> int | None:
    """Say why a clip or a video was accepted or rejected.

    Args:
        names: A clip's id; or a video's name, path or sha256.
        out: The curated folder.
    """
    return start("curation.explain", [str(out), *names])


def curate_verify(
    *settings: Typed,
    out: Folder = "data/dance",
    quick: Flag = False,
) -> int | None:
    """Check every shard, track and label.

    Args:
        settings: quick=true, as --quick.
        out: The curated folder.
        quick: Do not decode the tracks.
    """
    return start("curation.verify", [str(out), *as_settings(settings, quick=quick)])


def curate_refilter(
    *settings: Typed, out: Folder = "data/dance", dry_run: Flag = False
) -> int | None:
    """Apply new thresholds to what is stored; no video is opened.

    Args:
        settings: key=value: thresholds of configs/curate.yaml.
        out: The curated folder.
        dry_run: Only say what would change.
    """
    return start("curation.refilter", [str(out), *as_settings(settings, dry_run=dry_run)])


def curate_purge(
    *names: str,
    out: Folder = "data/dance",
    copies: Flag = False,
) -> int | None:
    """Remove videos from a curated folder for good.

    Args:
        names: Their names, paths or sha256.
        out: The curated folder.
        copies: Remove copies of them too.
    """
    return start("curation.purge", [str(out), *names, *as_settings((), copies=copies)])


def render(*settings: Typed, config: Config = None) -> int | None:
    """Render dancers as raw videos, with the true answer of unpaired try-on.

    Args:
        settings: A YAML file, and key=value: any of its settings.
        config: YAML file with settings.
    """
    words = with_config(settings, config, "configs/demo/render.yaml")
    reads = "datasets.synthetic.config:SyntheticConfig"
    return start("datasets.synthetic.__main__", words, settings=reads)
