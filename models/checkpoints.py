"""Load weights from files into networks, strictly.

A loader that silently loads nothing is the best-known bug of this family of models. These raise,
and load nothing, unless the missing and unexpected keys are exactly the declared ones
(``weights/trunk_formats.py`` declares them for public trunks). ``weights/files.py`` reads the
files.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from models.stdit import STDiT
from models.weights.files import (
    SAFETENSORS,
    file_sha256,
    list_some,
    read_provenance,
    read_weights,
)
from models.weights.sharded import is_sharded, read_whole
from models.weights.trunk_formats import (
    DESCRIPTIONS,
    OPEN_SORA,
    PIXART,
    Shapes,
    check_trunk,
    describe_faults,
    describe_positions,
    describe_shapes,
    recognise,
)

EXPORTED = "model.safetensors"
"""The weights file in a folder written by ``make export``."""
NETWORK_PREFIX = "network."
"""Prefix of the network's keys in a training checkpoint's ``state_dict``."""
_NEEDED = ("system", "state_dict", "global_step")


@dataclass(frozen=True, kw_only=True)
class LoadedTrunk:
    """The result of loading a trunk from a file.

    Attributes:
        kind: "open-sora" or "pixart".
        matched: names that were loaded.
        missing: names that kept their values, as declared for the kind.
        ignored: position tables of the file, which are recomputed, each with its grid and scale.
    """

    kind: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: Mapping[str, str]

    @property
    def description(self) -> str:
        """The kind in words."""
        return DESCRIPTIONS[self.kind]


@dataclass(frozen=True, kw_only=True)
class CheckpointContents:
    """The content of a training checkpoint.

    Attributes:
        system: SystemConfig as plain dicts.
        network: state dict of VitonDiT as trained.
        ema: state dict of its exponential moving average, or None.
        step: optimizer steps taken.
        sampler: SamplerConfig as plain values, how the network is sampled; None: older checkpoints.
    """

    system: dict[str, Any]
    network: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    step: int
    sampler: dict[str, Any] | None = None

    def choose(self, weights: str) -> tuple[dict[str, Tensor], str]:
        """The chosen state dict, and "ema" or "raw" for which it is.

        Args:
            weights: "raw", or "ema": the average if there is one.
        """
        taken = self.ema if weights == "ema" and self.ema else self.network
        return taken, "ema" if taken is self.ema else "raw"


def load_trunk(trunk: STDiT, path: str | Path, kind: str | None = None) -> LoadedTrunk:
    """Load public weights into a bare trunk or VitonDiT's denoiser.

    Half-precision values are exact in float32 parameters. A denoiser keeps its ``fusion``. An image
    model has no temporal attention: the trunk's gets zero output projections, so that at first each
    frame is the image model's.

    Args:
        trunk: the network to load into.
        path: .pth or .safetensors, as published or as ``convert`` writes it.
        kind: "open-sora" or "pixart" requires that kind; None accepts both.

    Raises:
        ValueError: unreadable, of the other kind, or keys, shapes or dtypes that are not exactly
            the declared ones; nothing is loaded then.
    """
    file = recognise(read_weights(path), str(path))
    if kind not in (None, file.kind):
        temporal = [name for name in file.tensors if ".attn_temp." in name]
        has = f"it has {list_some(temporal, 5)}" if temporal else "it has no blocks.*.attn_temp"
        wanted = "a video" if kind == OPEN_SORA else "an image"
        raise ValueError(f"{path} is not {wanted} model: {has}")
    own = trunk.state_dict()
    missing = check_trunk(file, {name: tuple(own[name].shape) for name in own}, str(path))
    trunk.load_state_dict({**own, **file.tensors}, strict=True)
    if file.kind == PIXART:
        for block in trunk.blocks:
            nn.init.zeros_(cast(Any, block).attn_temp.proj.weight)
            nn.init.zeros_(cast(Any, block).attn_temp.proj.bias)
    return LoadedTrunk(
        kind=file.kind,
        matched=tuple(file.tensors),
        missing=tuple(missing),
        ignored=describe_positions(file.ignored),
    )


def load_network(
    network: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    allow_missing: Sequence[str] = (),
) -> None:
    """Load a state dict, strictly.

    Args:
        network: the network to load into.
        state: its weights.
        where: origin of the state, for errors.
        allow_missing: prefixes of keys that may be missing; those keep their values. Either all
            keys of a prefix are missing or none.

    Raises:
        ValueError: keys are missing or unexpected, or shapes differ; nothing is loaded then.
    """
    own = network.state_dict()
    check_network(state, {name: tuple(own[name].shape) for name in own}, where, allow_missing)
    network.load_state_dict({**own, **state}, strict=True)


def check_network(
    state: Mapping[str, Tensor], own: Shapes, where: str, allow_missing: Sequence[str] = ()
) -> None:
    """Check a state dict like ``load_network``, for a network with the shapes ``own``.

    Raises:
        ValueError: see ``load_network``.
    """
    excused = tuple(prefix for prefix in allow_missing if _is_wholly_absent(prefix, state))
    faults = describe_faults(
        missing=[name for name in own if name not in state and not name.startswith(excused)],
        unexpected=[name for name in state if name not in own],
        reshaped=describe_shapes(state, own),
    )
    if faults:
        raise ValueError(f"{where} does not fit the network; {faults}")


def read_checkpoint(path: str | Path) -> CheckpointContents:
    """Read a training checkpoint, or a network written by ``convert --network`` or ``export``.

    Args:
        path: a file, a folder with one file per rank, or a folder written by ``make export``.

    Raises:
        ValueError: unreadable, not written by this project, or an adapter (``weights/adapters``).
    """
    exported = Path(path) / EXPORTED
    if Path(path).suffix == SAFETENSORS or exported.is_file():
        return _read_network(exported if exported.is_file() else Path(path))
    content = read_whole(path, only=(*_NEEDED, "ema", "sampler", "lora"))
    if "lora" in content:
        base = content["lora"]["base"]["path"]
        raise ValueError(
            f"{path} holds a LoRA adapter of {base}, not a model: give both, checkpoint={base}"
            f" lora={path}; `make export CHECKPOINT={path} OUT=FOLDER` makes one of them"
        )
    lacking = [key for key in _NEEDED if key not in content]
    if lacking:
        raise ValueError(
            f"{path} is not a training checkpoint of this project: it has no {lacking[0]!r}"
        )
    network = {
        name.removeprefix(NETWORK_PREFIX): tensor
        for name, tensor in cast("dict[str, Tensor]", content["state_dict"]).items()
        if name.startswith(NETWORK_PREFIX)
    }
    if not network:
        raise ValueError(f"{path} has no key that starts with {NETWORK_PREFIX!r}")
    return CheckpointContents(
        system=content["system"],
        network=network,
        ema=content.get("ema"),
        step=int(content["global_step"]),
        sampler=content.get("sampler"),
    )


def read_sampler(path: str | Path) -> dict[str, Any] | None:
    """``CheckpointContents.sampler`` alone, without the weights.

    Raises:
        ValueError: unreadable.
    """
    exported = Path(path) / EXPORTED
    if Path(path).suffix == SAFETENSORS or exported.is_file():
        return read_provenance(exported if exported.is_file() else path).get("sampler")
    return read_whole(path, only=("sampler",)).get("sampler")


def is_checkpoint(path: Path) -> bool:
    """Whether ``read_checkpoint`` finds a checkpoint there, even a damaged one."""
    return path.is_file() or is_sharded(path) or (path / EXPORTED).is_file()


def checkpoint_sha256(path: Path) -> str:
    """The SHA-256 of a checkpoint file, or of a folder's files in the order of their names."""
    if path.is_file():
        return file_sha256(path)
    digests = [file_sha256(file) for file in sorted(path.iterdir())]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _read_network(path: Path) -> CheckpointContents:
    """Read one set of weights; if it is the average, it is used for both."""
    notes = read_provenance(path)
    if "system" not in notes:
        raise ValueError(
            f"{path} does not hold a complete network of this project; write one with"
            " python -m models.convert IN OUT --network"
        )
    network = read_weights(path)
    return CheckpointContents(
        system=notes["system"],
        network=network,
        ema=network if notes.get("weights") == "ema" else None,
        step=int(notes["step"]),
        sampler=notes.get("sampler"),
    )


def _is_wholly_absent(prefix: str, state: Iterable[str]) -> bool:
    return not any(name.startswith(prefix) for name in state)


if __name__ == "__main__":  # where the command was before: a silent success would mislead
    sys.stderr.write("error: this command is now: python -m models.convert IN OUT\n")
    sys.exit(2)
