"""Where a run's weights come from: fresh, another run (``init_from``), or itself (``resume``)."""

import logging
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from configs.loading import to_plain
from models.checkpoints import load_network, load_trunk, read_checkpoint
from models.codecs.vae import CodecConfig, check_same_codec
from models.viton_dit import VitonDiT
from models.weights.sharded import read_whole
from training.checkpoints.files import LAST, list_steps, locate_checkpoint, newest_readable
from training.config import TrainConfig
from training.distributed.world import global_batch
from training.freezing import PARTS

logger = logging.getLogger(__name__)

_BEFORE = {
    "stage1": ("pretrain", "make pretrain"),
    "stage2": ("stage1", "make train-stage1"),
    "stage3": ("stage2", "make train-stage2"),
}
_FREE_TO_CHANGE = ("max_steps", "resume", "runs", "init_from", "validation", "trainer")
_FREE_KEYS = (
    "data.roots",  # the clips are compared by content: check_same_clips
    "data.num_workers", "data.cache_mb", "data.batch_size", "data.latents", "data.latent_dtype",
    "data.read_timeout_s", "data.max_bad_share", "data.max_bad_in_a_row",
    "data.num_validation_clips", "ema.device",
)  # fmt: skip


def check_init_from(config: TrainConfig, config_path: Path) -> Path | None:
    """The checkpoint named by ``init_from``, or None if it is not set.

    Raises:
        DataError: it or the ``trunk_weights`` file does not exist; the message says what to do
            first.
    """
    if config.trunk_weights is not None and not Path(config.trunk_weights).is_file():
        raise DataError(
            f"trunk_weights = {config.trunk_weights} does not exist; give an Open-Sora v1.0 or"
            " PixArt-alpha file, or train a trunk with `make pretrain`"
        )
    if config.init_from is None:
        return None
    found = locate_checkpoint(Path(config.init_from))
    if found is not None:
        return found
    advice = "set init_from to a training checkpoint"
    if config.stage in _BEFORE:
        before, command = _BEFORE[config.stage]
        default = config_path.parent.name == "configs"
        chosen = "" if default else f" CONFIG={config_path.with_name(f'{before}.yaml')}"
        advice = f"run `{command}{chosen}` first, or {advice}"
    raise DataError(
        f"{config.stage} starts from {config.init_from}, which does not exist; {advice}"
    )


def start_from(
    network: VitonDiT,
    file: Path,
    weights: str,
    codec: CodecConfig | None = None,
    needed: Collection[str] = (),
) -> None:
    """Load another run's weights; networks it did not have start as copies of its trunk.

    Args:
        network: the network to load into.
        file: the other run's checkpoint.
        weights: ema or raw.
        codec: whose latents the network will see; None: not compared with the checkpoint's.
        needed: networks that must not start as copies: adapters belong to trained ones.

    Raises:
        ConfigError: the keys do not match, and the message names them; another codec's latents; or
            a needed network is absent.
    """
    try:
        contents = read_checkpoint(file)
        if codec is not None:
            check_same_codec(codec, contents.system["codec"], str(file))
        state, kind = contents.choose(weights)
        # filtered by what the run trained: older averages also hold networks not yet in use
        absent = [
            part
            for part in PARTS[1:]
            if not any(key.startswith(f"{part}.") for key in contents.network)
        ]
        lacking = [part for part in absent if part in needed]
        if lacking:
            raise ConfigError(
                f"lora adapts trained networks, and {file} has no {' and no '.join(lacking)}; set"
                " init_from to a checkpoint that has, such as one of stage 3"
            )
        allowed = [f"{part}." for part in absent]
        state = {key: value for key, value in state.items() if not key.startswith(tuple(allowed))}
        load_network(network, state, where=str(file), allow_missing=allowed)
        network.initialise_from_trunk(absent)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    kind = "averaged" if kind == "ema" else "raw"
    fresh = f"; copied from its trunk: {', '.join(absent)}" if absent else ""
    logger.info("starting from the %s weights of %s, step %d%s", kind, file, contents.step, fresh)


def start_from_trunk(network: VitonDiT, file: Path) -> None:
    """Load public trunk weights and copy them into extractor and ControlNet.

    Args:
        network: all three networks, fresh.
        file: Open-Sora v1.0 or PixArt-alpha, as published or converted to safetensors.

    Raises:
        ConfigError: no such file, or its keys are not exactly the declared ones.
    """
    try:
        loaded = load_trunk(network.denoiser, file)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    network.initialise_from_trunk()
    logger.info(
        "starts from %s, %s: %d tensors%s",
        file,
        loaded.description,
        len(loaded.matched),
        "".join(f"; {name}, {what}, is recomputed" for name, what in loaded.ignored.items()),
    )
    temporal = [name for name in loaded.missing if ".attn_temp." in name]
    if temporal:
        logger.info(
            "temporal attention is not in that file (%d tensors): its output starts at zero, so "
            "frames start as the image model's and motion has to be learned",
            len(temporal),
        )
    logger.info(
        "extractor, garment attention and ControlNet are copied from it; their contribution to "
        "the trunk starts at zero"
    )


def find_resume(config: TrainConfig, folder: Path) -> tuple[Path, int] | None:
    """The run's own newest readable checkpoint and its step, or None when the run is new.

    Args:
        config: settings after ``world.settle``.
        folder: the run's folder.

    Raises:
        ConfigError: the folder holds a run with other settings, or ``resume`` is never.
        DataError: there are checkpoints but none can be read.
    """
    checkpoints = folder / "checkpoints"
    if not list_steps(checkpoints) and not (checkpoints / LAST).exists():
        return None
    if config.resume == "never":
        raise ConfigError(
            f"{folder} already holds a run and resume is never; choose another name, or remove it"
        )
    file = newest_readable(checkpoints)
    if file is None:
        raise DataError(
            f"no checkpoint in {checkpoints} can be read; remove that folder to start over"
        )
    try:
        contents = read_whole(file, only=("config", "global_step"))
        written, step = contents["config"], int(contents["global_step"])
    except (ValueError, KeyError) as error:
        raise DataError(
            f"{file} is not a complete training checkpoint; remove it ({error})"
        ) from error
    defaults = to_plain(TrainConfig(name=config.name, stage=config.stage))
    _check_removed(written, defaults, folder)
    stored = _filled(written, defaults)  # settings newer than the run had their defaults
    changed = _first_difference(stored, to_plain(config)) or _other_batch(stored, config)
    if changed is not None:
        key, before, now = changed
        raise ConfigError(
            f"{folder} holds a run with {key} = {before}, now it is {now}; choose another name, "
            "or remove that folder"
        )
    return file, step


def check_same_clips(config: TrainConfig, file: Path, fingerprint: str) -> None:
    """Refuse to resume on other data; the same clips may lie under another path.

    Clips that changed under the paths of the checkpoint only get a warning, when it is loaded.

    Args:
        config: the run's settings now.
        file: the checkpoint that the run resumes from.
        fingerprint: of the clips now, ``TryOnData.fingerprint``.

    Raises:
        ConfigError: the roots are others, and their clips are others, too.
    """
    contents = read_whole(file, only=("config", "TryOnData"))
    before = contents["config"]["data"]["roots"]
    same = contents.get("TryOnData", {}).get("fingerprint") == fingerprint
    if list(before) != list(config.data.roots) and not same:
        raise ConfigError(
            f"{file.parents[1]} holds a run with data.roots = {before}, now it is"
            f" {list(config.data.roots)}, which holds other clips; give the same clips, choose"
            " another name, or remove that folder"
        )


def _check_removed(
    written: dict[str, Any], known: dict[str, Any], folder: Path, prefix: str = ""
) -> None:
    """Refuse settings that this version does not have, unless they change nothing."""
    for key, value in written.items():
        name = f"{prefix}{key}"
        if key not in known and name.partition(".")[0] in _FREE_TO_CHANGE:
            logger.warning(
                "%s: the setting %s = %s was removed, without effect", folder, name, value
            )
        elif key not in known:
            if name not in TrainConfig.REMOVED or value != TrainConfig.REMOVED[name]:
                raise ConfigError(
                    f"{folder} holds a run with {name} = {value}, which this version does not have;"
                    " choose another name, or remove that folder"
                )
            logger.info("%s: %s = %s was removed: every run works so now", folder, name, value)
        elif isinstance(value, dict) and isinstance(known[key], dict):
            _check_removed(value, known[key], folder, f"{name}.")


def _filled(written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The written settings, with defaults for everything missing."""
    filled = {**defaults, **written}
    for key, default in defaults.items():
        if isinstance(default, dict) and isinstance(filled[key], dict):
            filled[key] = _filled(filled[key], default)
    return filled


def _other_batch(stored: dict[str, Any], config: TrainConfig) -> tuple[str, Any, Any] | None:
    """Samples are numbered by global batch: a run can only resume with the same global batch."""
    names = ("accumulate", "devices", "num_nodes")
    before = prod([stored["data"]["batch_size"], *(stored["trainer"][name] for name in names)])
    now = global_batch(config)
    if before == now:
        return None
    return f"trainer.global_batch={before}: a global batch", before, now


def _first_difference(
    stored: dict[str, Any], current: dict[str, Any], prefix: str = ""
) -> tuple[str, Any, Any] | None:
    for key, value in current.items():
        name = f"{prefix}{key}"
        if name in _FREE_TO_CHANGE or name in _FREE_KEYS:
            continue
        before = stored[key]
        if isinstance(value, dict) and isinstance(before, dict):
            nested = _first_difference(before, value, f"{name}.")
            if nested is not None:
                return nested
        elif before != value:
            return name, before, value
    return None
