"""List, fetch and check public weights.

    python -m training.weights                             # list all, and which are present
    python -m training.weights fetch=i3d,resnext           # by name, or metrics, training, all
    python -m training.weights fetch=metrics mirror=https://HOST
    python -m training.weights check=all                   # hashes, keys and shapes of what is here

They are stored in ``$WEIGHTS_DIR``, else ``weights/``.
"""

import sys
from dataclasses import dataclass

from configs.command import run_command
from configs.console import size_in_words
from configs.errors import ConfigError
from configs.front_door import as_called
from configs.loading import load_config
from training.weights.catalogue import GROUPS, weights_folder
from training.weights.fetching import State, choose, fetch, states, verify
from training.weights.records import read_records

USAGE = 'make weights [FETCH=NAME,NAME] [ARGS="check=NAME,NAME mirror=https://HOST"]'


@dataclass(frozen=True, kw_only=True)
class WeightsCommand:
    """What to do; nothing given: list."""

    fetch: str | None = None
    check: str | None = None
    mirror: str | None = None  # replaces every host

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.startswith(("http://", "https://")):
            raise ValueError(f"mirror is {self.mirror!r}; https://HOST or http://HOST is accepted")
        if self.mirror is not None and self.fetch is None:
            raise ValueError("mirror has no effect without fetch")


def main(argv: list[str]) -> None:
    """Fetch and check as requested, or list all weights."""
    command = read_arguments(argv)
    if command.fetch is not None:
        for path in fetch(choose(command.fetch), command.mirror):
            sys.stdout.write(f"fetched {path}\n")
    if command.check is not None:
        _check(command.check)
    if command.fetch is None and command.check is None:
        _list()


def read_arguments(argv: list[str]) -> WeightsCommand:
    """What is requested; every name exists."""
    if any("=" not in word for word in argv):
        raise ConfigError(f"usage: {USAGE}")
    command = load_config(WeightsCommand, None, argv)
    for names in (command.fetch, command.check):
        if names is not None:
            choose(names)
    return command


def _check(words: str) -> None:
    """Check the named entries; of a group or ``all``, those that are present."""
    named = set(words.split(","))
    here = {state.entry.name for state in states() if state.is_whole}
    for entry in choose(words):
        if entry.name in here or entry.name in named:
            verify(entry)
            sys.stdout.write(f"{entry.name}: right\n")
        else:
            sys.stdout.write(f"{entry.name}: absent\n")


def _list() -> None:
    records = read_records(weights_folder())
    lines: list[str] = []
    says: dict[tuple[str, str], list[str]] = {}
    for group in GROUPS:
        lines.append(f"{group}")
        for state in states():
            entry = state.entry
            if entry.group != group:
                continue
            size = "size unknown" if entry.num_mb is None else size_in_words(1e6 * entry.num_mb)
            lines.append(
                f"  {entry.name:17} {size:>12}  {entry.licence:13} {_here(state, records):7} "
                f"{entry.purpose}"
            )
            lines += [f"{'':34}{public.file}" for public in entry.files]
            if entry.given_as is not None:
                lines.append(f"{'':34}given as {entry.given_as}")
            says.setdefault((entry.licence, entry.licence_by), []).append(entry.name)
    lines.append("licences, and where they are stated")
    lines += [f"  {', '.join(names)}: {key[0]}, {key[1]}" for key, names in says.items()]
    lines += [
        f"Folder: {weights_folder()}/ (WEIGHTS_DIR names another). yes*: here, its sha256 is "
        "recorded at first use.",
        "Fetch: make weights FETCH=NAME,NAME; metrics, training, curation and all are names, too.",
        'Another host: make weights FETCH=all ARGS="mirror=https://HOST"',
        'Check: make weights ARGS="check=all"',
    ]
    sys.stdout.write(as_called("\n".join(lines)) + "\n")


def _here(state: State, records: dict[str, str]) -> str:
    if not state.here:
        return "absent"
    if not state.is_whole:
        return f"{len(state.here)} of {len(state.entry.files)}"
    return "yes" if all(public.file in records for public in state.here) else "yes*"


if __name__ == "__main__":
    run_command(main)
