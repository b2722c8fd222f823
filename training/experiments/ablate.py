"""Run an ablation and print its table.

    python -m training.experiments.ablate configs/experiments/fusion.yaml [key=value ...]
    make ablate WHAT=fusion

``page=docs/notes/ablations.md`` also writes table and plot into that page. Videos of every variant
next to the ground truth: ``runs/experiments/WHAT.html``.
"""

import os
import sys
from pathlib import Path

from configs.command import run_command
from configs.errors import ConfigError
from configs.loading import load_config, split_arguments
from training.experiments.ablation import AblationConfig, plan_chains, run_chains
from training.experiments.page import write_page
from training.experiments.plots import plot_intervals, save_svg
from training.experiments.tables import find_place, insert_table, read_results, table

USAGE = 'make ablate WHAT=fusion [ARGS="key=value ..."]'


def main(argv: list[str]) -> None:
    """Make missing results, then build the table from the JSON files."""
    config, pages = read_arguments(argv)
    for page in pages:
        find_place(Path(page), config.what)  # fail now rather than after hours
    chains = plan_chains(config)
    run_chains(chains)
    results = read_results([chain.result for chain in chains])
    texts = {variant.name: variant.text for variant in config.variants}
    text = table(results, config.variants[0].name, texts)
    sys.stdout.write(f"\n{config.question}\n\n{text}")
    plot = Path(config.results) / f"{config.what}.svg"
    save_svg(plot_intervals(results, config.variants[0].name), plot)
    report = write_page(
        Path(config.runs) / f"{config.what}.html", config.question, results,
        config.variants[0].name, texts,
    )  # fmt: skip
    sys.stdout.write(f"\nThe page with videos: {report.resolve().as_uri()}\n")
    for page in pages:
        picture = os.path.relpath(plot, Path(page).parent)
        insert_table(Path(page), config.what, f"{text}\n![{config.what}]({picture})\n")


def read_arguments(argv: list[str]) -> tuple[AblationConfig, list[str]]:
    """The settings, and the pages that the table goes into."""
    pages = [word.partition("=")[2] for word in argv if word.startswith("page=")]
    path, words = split_arguments([w for w in argv if not w.startswith("page=")], USAGE)
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml") if p.stem != "render")
        raise ConfigError(f"{path} does not exist; there are {', '.join(known) or 'none'}")
    return load_config(AblationConfig, path, words), pages


if __name__ == "__main__":
    run_command(main)
