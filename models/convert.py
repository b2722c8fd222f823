"""Rewrite weights as safetensors, bit for bit, and report what they are.

    python -m models.convert IN OUT.safetensors [--network] [--weights ema|raw] [--overwrite]

Accepts public trunks (Open-Sora v1.0, PixArt-alpha), recognised by their keys and checked against
a trunk of the same sizes, and this project's training checkpoints. Networks to compare with are
built on the meta device and take no memory. Dtypes are kept.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoints import CheckpointContents, check_network, read_checkpoint
from models.stdit import STDiT, STDiTConfig
from models.viton_dit import PARTS, VitonDiT, VitonDiTConfig
from models.weights.files import (
    SAFETENSORS,
    check_destination,
    file_sha256,
    read_provenance,
    read_torch_file,
    read_weights,
    write_weights,
)
from models.weights.trunk_formats import (
    DESCRIPTIONS,
    OPEN_SORA,
    PIXART,
    Reshaped,
    Shapes,
    check_trunk,
    describe_positions,
    infer_config,
    recognise,
)

_TRUNK, _FUSION = "denoiser", ".fusion."
_STARTS = {
    PIXART: "start with zero output projections, so at first frames do not see each other",
    "network": "not trained yet: the next stage starts them as copies of the trunk",
}
_USES = {
    OPEN_SORA: "trunk_weights=",
    PIXART: "trunk_weights=",
    "network": "init_from=, and checkpoint= of try-on",
}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The tensors taken from a file, and what happens to the rest.

    Attributes:
        title: what the file is, in words.
        kind: "open-sora" or "pixart" for a trunk, "network" for several networks.
        tensors: what is written.
        own: shapes of the network that they are for.
        parameters: those of its names that are parameters (the rest: the null caption).
        reshaped: name -> (old shape, new shape).
        new: names in the network that the file lacks.
        dropped: names in the file that are not written, with the reason.
        notes: for the file's metadata.
    """

    title: str
    kind: str
    tensors: dict[str, Tensor]
    own: Shapes
    parameters: frozenset[str]
    reshaped: Reshaped = field(default_factory=Reshaped)
    new: list[str] = field(default_factory=list[str])
    dropped: dict[str, str] = field(default_factory=dict[str, str])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """A finished conversion, and the hashes of both files."""

    source: Path
    destination: Path
    conversion: Conversion
    source_sha256: str
    destination_sha256: str

    def format(self) -> str:
        """The report as text."""
        made = self.conversion
        dtypes = Counter(str(value.dtype).removeprefix("torch.") for value in made.tensors.values())
        sizes = {name: value.numel() for name, value in made.tensors.items()}
        parameters = sum(size for name, size in sizes.items() if name in made.parameters)
        rows = [
            ("found", f"{made.title}: {self.source}"),
            ("written", f"{self.destination}, for {_USES[made.kind]}"),
            ("matched", f"{len(made.tensors)} of {len(made.own)} tensors of the network, by name"),
            ("parameters", f"{parameters:,} (and {sum(sizes.values()) - parameters:,} of the"
                           " null caption)"),
            ("dtypes", ", ".join(f"{name} ({count})" for name, count in sorted(dtypes.items()))),
            ("renamed", "none: the names are the same"),
            *(("reshaped", f"{name} {old} -> {new}") for name, (old, new) in made.reshaped.items()),
            *(("new", f"{line}: {_STARTS[made.kind]}") for line in group_names(made.new)),
        ]  # fmt: skip
        for reason in dict.fromkeys(made.dropped.values()):
            names = [name for name, why in made.dropped.items() if why == reason]
            rows += [("dropped", f"{line}: {reason}") for line in group_names(names)]
        rows += [("sha256 IN", self.source_sha256), ("sha256 OUT", self.destination_sha256)]
        return "\n".join(f"{label:<12}{text}" for label, text in rows)


def convert(
    source: Path,
    destination: Path,
    *,
    whole_network: bool = False,
    weights: str | None = None,
    overwrite: bool = False,
) -> ConversionReport:
    """Write ``source`` as safetensors.

    Args:
        source: a public trunk, or a training checkpoint.
        destination: ends in .safetensors.
        whole_network: write all networks of a training checkpoint instead of the bare trunk.
        weights: "ema" or "raw" of a training checkpoint; None uses the average if there is one.
        overwrite: replace ``destination``.

    Raises:
        ValueError: the file is neither, or its keys are not exactly the declared ones; an option
            does not apply to it; or the destination exists.
    """
    check_destination(destination, overwrite=overwrite)
    if not source.is_file():
        raise ValueError(f"{source} does not exist")
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"{destination} is the file to convert; give another name")
    if is_training_checkpoint(source):
        contents = read_checkpoint(source)
        take = take_network if whole_network else take_denoiser
        conversion = take(contents, weights, str(source))
    elif whole_network or weights:
        raise ValueError(f"{source} is not a training checkpoint; --network and --weights need one")
    else:
        conversion = take_trunk(read_weights(source), str(source))
    digest = file_sha256(source)
    notes = {**conversion.notes, "kind": conversion.kind, "source": source.name}
    notes["source_sha256"] = digest
    write_weights(destination, conversion.tensors, notes)
    return ConversionReport(
        source=source,
        destination=destination,
        conversion=conversion,
        source_sha256=digest,
        destination_sha256=file_sha256(destination),
    )


def is_training_checkpoint(path: Path) -> bool:
    """Whether a file was written by this project's training (or ``convert --network``).

    Raises:
        ValueError: unreadable.
    """
    if path.suffix == SAFETENSORS:
        return "system" in read_provenance(path)
    return {"system", "state_dict", "global_step"} <= read_torch_file(path).keys()


def take_trunk(state: Mapping[str, Tensor], where: str) -> Conversion:
    """A public trunk, checked against one of its own sizes.

    Raises:
        ValueError: its keys, shapes or dtypes are not exactly the declared ones.
    """
    file = recognise(state, where)
    own, parameters = describe_network(STDiT, infer_config(file, where))
    new = check_trunk(file, own, where)
    return Conversion(
        title=DESCRIPTIONS[file.kind],
        kind=file.kind,
        tensors=file.tensors,
        own=own,
        parameters=parameters,
        reshaped=file.reshaped,
        new=new,
        dropped={
            name: f"recomputed for the grid at hand (it is {position})"
            for name, position in describe_positions(file.ignored).items()
        },
    )


def take_denoiser(contents: CheckpointContents, weights: str | None, where: str) -> Conversion:
    """The bare trunk of a training checkpoint, under Open-Sora's names.

    Raises:
        ValueError: the requested weights are missing, or the keys are not exactly those of its
            system.
    """
    whole = take_network(contents, weights, where)
    prefix, dropped = f"{_TRUNK}.", dict[str, str]()
    tensors: dict[str, Tensor] = {}
    for name, value in whole.tensors.items():
        if not name.startswith(prefix):
            dropped[name] = "not part of the trunk (--network keeps it)"
        elif _FUSION in name:
            dropped[name] = "for the garment, not part of a bare trunk (--network keeps it)"
        else:
            tensors[name.removeprefix(prefix)] = value
    own, parameters = describe_network(STDiT, _network_config(contents, where).trunk)
    notes = {
        name: value for name, value in whole.notes.items() if name not in ("system", "sampler")
    }
    return Conversion(
        title=f"the trunk of {whole.title}",
        kind=OPEN_SORA,
        tensors=tensors,
        own=own,
        parameters=parameters,
        dropped=dropped,
        notes=notes,
    )


def take_network(contents: CheckpointContents, weights: str | None, where: str) -> Conversion:
    """All networks of a training checkpoint.

    Raises:
        ValueError: see ``take_denoiser``.
    """
    if weights == "ema" and contents.ema is None:
        raise ValueError(f"{where} holds no average; use --weights raw")
    state, name = contents.choose(weights or "ema")
    sampler = {} if contents.sampler is None else {"sampler": contents.sampler}
    own, parameters = describe_network(VitonDiT, _network_config(contents, where))
    absent = [part for part in PARTS if not any(name.startswith(f"{part}.") for name in state)]
    check_network(state, own, where, [f"{part}." for part in absent])
    return Conversion(
        title=f"a training checkpoint of step {contents.step}, its {name} weights",
        kind="network",
        tensors=dict(state),
        own=own,
        parameters=parameters,
        new=[name for name in own if name not in state],
        notes={"weights": name, "step": contents.step, "system": contents.system, **sampler},
    )


def describe_network(
    build: type[STDiT] | type[VitonDiT], config: Any
) -> tuple[Shapes, frozenset[str]]:
    """Shapes of a network's state dict, and the names of its parameters; takes no memory."""
    with torch.device("meta"):
        network: nn.Module = build(config)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return shapes, frozenset(name for name, _ in network.named_parameters())


def group_names(names: Iterable[str]) -> list[str]:
    """``blocks.*.attn_temp.* (112 tensors)`` for each kind of module among the names."""
    counts = Counter(map(_module_of, names))
    return [f"{name} ({count} tensor{'s' if count > 1 else ''})" for name, count in counts.items()]


def _module_of(name: str) -> str:
    """The module's pattern for parts that are added or dropped as a whole, else the name's own."""
    pattern = re.sub(r"\.\d+(?=\.)", ".*", name)
    whole = re.match(r"(garment|control|.*\.(?:attn_temp|fusion))\.", pattern)
    return f"{whole[1]}.*" if whole else pattern


def _network_config(contents: CheckpointContents, where: str) -> VitonDiTConfig:
    """The network's config from a checkpoint's plain dicts."""
    try:
        network: dict[str, Any] = dict(contents.system["network"])
        trunk = STDiTConfig(**network.pop("trunk"))
        return VitonDiTConfig(trunk=trunk, **network)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: its system is not of this version: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. User errors are one sentence and code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m models.convert",
        description="Write weights as safetensors, bit for bit, and report what they are.",
    )
    parser.add_argument("source", metavar="IN", help="a public trunk, or runs/.../last.ckpt")
    parser.add_argument("destination", metavar="OUT", help="a name that ends in .safetensors")
    parser.add_argument(
        "--network",
        action="store_true",
        help="write all networks of a training checkpoint, for init_from and try-on;"
        " without it, the bare trunk, for trunk_weights",
    )
    parser.add_argument(
        "--weights",
        choices=("ema", "raw"),
        help="of a training checkpoint: its running average (the default if there is one) or the"
        " weights as trained",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    given = parser.parse_args(argv)
    try:
        report = convert(
            Path(given.source),
            Path(given.destination),
            whole_network=given.network,
            weights=given.weights,
            overwrite=given.overwrite,
        )
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{report.format()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
