"""The table of cards, recipes, memory and hours in docs/training.md, from the plans of the recipes.

    python -m tests.bench.recipes [write=docs/training.md]

Prints the table, or writes it between the two marks of a Markdown file. A recipe's card stands in
its name: ``configs/recipes/24gb_stage1.yaml``, ``8x80gb.yaml``.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from configs.command import run_command
from configs.console import duration_in_words
from configs.errors import ConfigError
from configs.loading import CHECKOUT, load_config
from datasets.storage import write_file
from training.config import TrainConfig
from training.plan import PlanConfig, seconds_per_step, step_flops
from training.planning.memory import estimate_memory, parameter_sizes

RECIPES = CHECKOUT / "configs" / "recipes"
CARDS = {16: ("RTX 4080", 97.5), 24: ("RTX 4090", 165.2), 80: ("H100", 989.4)}
"""GB -> a card of that size and its dense bfloat16 TFLOP/s with float32 sums, by its maker."""
MARKS = ("<!-- recipes: python -m tests.bench.recipes write=docs/training.md -->",
         "<!-- end of recipes -->")  # fmt: skip
HEADER = "| card | recipe | steps | learn / in use (billions) | GB of a card | time |"


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """Where the table goes."""

    write: str | None = None  # a Markdown file with both marks; null: print


def main(argv: list[str]) -> int:
    """Print or write the table."""
    config = load_config(TableConfig, None, argv)
    table = recipe_table()
    if config.write is None:
        sys.stdout.write(f"{table}\n")
        return 0
    path = Path(config.write)
    write_file(path, with_table(path, table).encode())
    return 0


def recipe_table() -> str:
    """All recipes, small cards first."""
    paths = sorted(RECIPES.glob("*.yaml"), key=lambda path: (*_card(path)[::-1], path.name))
    return "\n".join([HEADER, "|---|---|---|---|---|---|", *map(recipe_row, paths)])


def recipe_row(path: Path) -> str:
    """Memory, parameters and time of one recipe, as ``make plan`` computes them."""
    config, (number, size) = load_config(TrainConfig, path), _card(path)
    name, peak = CARDS[size]
    sizes, learning = parameter_sizes(config)
    used = sum(count for key, count in sizes.items() if key.split(".")[0] in config.parts)
    learn = sum(sizes[key] for key in learning)
    seconds = seconds_per_step(config, PlanConfig(peak_tflops=peak), step_flops(config))
    card = f"{size} GB, {name}" if number == 1 else f"{number} x {size} GB, {name}"
    return (
        f"| {card} | `{path.relative_to(CHECKOUT)}` | {config.max_steps:,} | "
        f"{learn / 1e9:.2f} / {used / 1e9:.2f} | {estimate_memory(config).needed / 1e9:.1f} | "
        f"{duration_in_words(config.max_steps * seconds)} |"
    )


def with_table(path: Path, table: str) -> str:
    """A Markdown file's text with the table between the marks.

    Raises:
        ConfigError: no such file, or it lacks a mark.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, first, rest = text.partition(MARKS[0])
    _, second, after = rest.partition(MARKS[1])
    if not first or not second:
        raise ConfigError(f"write={path} must be a file that holds {MARKS[0]} and {MARKS[1]}")
    return f"{before}{first}\n{table}\n{second}{after}"


def _card(path: Path) -> tuple[int, int]:
    """How many cards, and GB of each, by the recipe's name."""
    found = re.match(r"(?:(\d+)x)?(\d+)gb", path.stem)
    if found is None or int(found[2]) not in CARDS:
        raise ConfigError(f"{path} must be named after its card, such as 24gb_stage1.yaml")
    return int(found[1] or 1), int(found[2])


if __name__ == "__main__":
    run_command(main)
