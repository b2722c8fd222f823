"""An ablation as a chain of ordinary commands, each run once: render, curate, train, judge.

Stages that the variants share are trained once per seed (and once for all ablations that begin with
the same ones), the others once per variant and seed. Every step resumes by itself. Everything a run
or result depends on (commands, the YAML files they name, renderer and curation) is hashed into the
names of curated folders and runs and into the JSON: a second run makes only what is missing or
changed, and nothing is trained on data of other settings.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from configs.errors import ConfigError
from datasets.locks import one_at_a_time
from datasets.storage import write_file
from training.checkpoints.provenance import describe_code, short_commit
from training.experiments.chain import ChainStep
from training.experiments.fingerprints import fingerprint

log = logging.getLogger(__name__)
FINGERPRINT = "fingerprint"
RENDER = "configs/experiments/render.yaml"
CURATE = "configs/demo/curate.yaml"


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One training stage of the chain."""

    name: str = MISSING
    config: str = MISSING  # its YAML
    shared: bool = False  # trained once for all variants, which must not change it
    words: list[str] = field(default_factory=list)  # key=value overrides


@dataclass(frozen=True, kw_only=True)
class VariantConfig:
    """What differs in one row of the table."""

    name: str = MISSING
    text: str = ""  # description in the table
    train: list[str] = field(default_factory=list)  # key=value overrides of unshared stages
    judge: list[str] = field(default_factory=list)
    render: list[str] = field(default_factory=list)  # overrides for its own training clips
    curate: list[str] = field(default_factory=list)  # likewise
    seeds: list[int] | None = None  # its own seeds; None: all
    until: str | None = None  # its last stage; None: all

    @property
    def has_own_data(self) -> bool:
        """Whether it has its own training clips."""
        return bool(self.render or self.curate)


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """A question and the variants compared to answer it. The first variant is the reference."""

    what: str = MISSING
    question: str = MISSING
    data: str = "data/benchmark"
    runs: str = "runs/experiments"
    results: str = "docs/experiments"  # JSON, committed: tables are built from it
    render: list[str] = field(default_factory=list)
    bench: list[str] = field(default_factory=list)  # overrides for its own test videos, if any
    stages: list[StageConfig] = field(default_factory=list)
    variants: list[VariantConfig] = field(default_factory=list)
    judge: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        if not self.stages or len(self.variants) < 2 or not self.seeds:
            raise ValueError("at least one stage, two variants and one seed are expected")
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"variants share a name: {', '.join(names)}")
        shared = [stage.shared for stage in self.stages]
        if shared != sorted(shared, reverse=True):
            raise ValueError("shared stages come before those that the variants change")
        if all(shared) and any(variant.train for variant in self.variants):
            raise ValueError("variants change the training, but all stages are shared")
        if any(shared) and any(variant.has_own_data for variant in self.variants):
            raise ValueError("variants change the training data, so that no stage can be shared")
        known = [stage.name for stage in self.stages]
        for variant in self.variants:
            if variant.until is not None and variant.until not in known:
                raise ValueError(
                    f"variant {variant.name} ends with {variant.until!r}; stages are "
                    f"{', '.join(known)}"
                )


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All commands that make one result."""

    variant: str
    seed: int
    steps: tuple[ChainStep, ...]
    result: Path
    locks: Path  # a folder: parallel ablations take turns where they make the same artifact

    def fingerprint(self) -> str:
        """Hash of all commands and what they read (``fingerprints.py``)."""
        return fingerprint([step.words for step in self.steps])


def plan_chains(config: AblationConfig) -> list[Chain]:
    """The commands of every result, seed by seed, so that the first seed's table comes first."""
    return [
        _chain(config, variant, seed)
        for seed in config.seeds
        for variant in config.variants
        if variant.seeds is None or seed in variant.seeds
    ]


def run_chains(chains: list[Chain]) -> int:
    """Make missing results; returns their number.

    Raises:
        UserError: a command failed; its own message was printed before.
        KeyboardInterrupt: a command was interrupted.
        ConfigError: an earlier result is not JSON.
    """
    done: set[tuple[str, ...]] = set()
    made, code = 0, short_commit(describe_code()["commit"])
    for chain in chains:
        mark = chain.fingerprint()
        there = _read_result(chain.result)
        if there is not None and there.get(FINGERPRINT) == mark:
            log.info("%s: already made", chain.result)
            commit = short_commit(there["code"]["commit"])
            if commit != code:
                log.warning(
                    "%s was made at commit %s, the code is now at %s; delete it to judge again",
                    chain.result, commit, code,
                )  # fmt: skip
            continue
        start = time.monotonic()
        for step in chain.steps:
            if step.words not in done:
                with one_at_a_time(chain.locks / f"{_made_by(step)}.lock", step.shown):
                    step.run()
                done.add(step.words)
        _stamp(chain, mark, time.monotonic() - start)
        made += 1
    return made


def _chain(config: AblationConfig, variant: VariantConfig, seed: int) -> Chain:
    raw, data = f"{config.data}/raw", config.data
    bench = f"{raw}/bench"
    steps = [ChainStep(words=("datasets.synthetic", RENDER, f"out={raw}", *config.render))]
    tests: list[ChainStep] = []  # not part of the training hash: other ablations share the runs
    if config.bench:
        words = ("datasets.synthetic", RENDER, *config.render, "num_train=0",
                 "num_val=0", *config.bench)  # fmt: skip
        folder = f"{config.data}-{fingerprint([words])[:8]}/raw"
        bench = f"{folder}/bench"
        tests = [ChainStep(words=(*words, f"out={folder}"))]
    if variant.render:
        words = ("datasets.synthetic", RENDER, *config.render, "num_bench=0",
                 *variant.render)  # fmt: skip
        data = f"{config.data}-{fingerprint([words])[:8]}"  # variants may share it
        raw = f"{data}/raw"
        steps.append(ChainStep(words=(*words, f"out={raw}")))
    curate = ("curation.run", CURATE, f"src={raw}/train", *variant.curate)
    # a curated folder keeps clips of removed sources: other renders get a folder of their own
    dance = f"{data}/dance-{fingerprint([*(step.words for step in steps), curate])[:8]}"
    steps.append(ChainStep(words=(*curate, f"out={dance}")))
    before: str | None = None
    for stage in _until(config.stages, variant.until):
        is_common = stage.shared or not variant.train  # the same run in every ablation
        whose = "shared" if is_common else f"{config.what}-{variant.name}"
        start = [f"init_from={config.runs}/{before}/checkpoints/last.ckpt"] if before else []
        further = [] if stage.shared else variant.train
        words = (
            "training.fit", stage.config, f"runs={config.runs}", f"seed={seed}",
            f"data.roots=[{dance}]", *start, *stage.words, *further,
        )  # fmt: skip
        # other settings make another run, so that none resumes from weights it did not make
        mark = fingerprint([*(step.words for step in steps), words])[:8]
        before = f"{whose}-{stage.name}-s{seed}-{mark}"
        steps.append(ChainStep(words=(*words, f"name={before}")))
    result = Path(config.results) / config.what / f"{variant.name}-s{seed}.json"
    steps += tests
    steps.append(
        ChainStep(
            words=(
                "training.experiments.judge",
                f"checkpoint={config.runs}/{before}/checkpoints/last.ckpt",
                f"bench={bench}", f"out={result}", f"work={config.runs}/judged",
                f"classifier.cache={config.runs}/classifier", f"seed={seed}", *config.judge,
                *variant.judge,
            ),
        )
    )  # fmt: skip
    locks = Path(config.runs) / ".locks"
    return Chain(variant=variant.name, seed=seed, steps=tuple(steps), result=result, locks=locks)


def _made_by(step: ChainStep) -> str:
    """The name of a step's output: its run, or the value of out=."""
    written = next(word for word in step.words if word.startswith(("name=", "out=")))
    return written.partition("=")[2].replace("/", "_")


def _until(stages: Sequence[StageConfig], last: str | None) -> Sequence[StageConfig]:
    """The stages up to and including this one."""
    names = [stage.name for stage in stages]
    return stages if last is None else stages[: names.index(last) + 1]


def _read_result(result: Path) -> dict[str, Any] | None:
    if not result.is_file():
        return None
    try:
        return json.loads(result.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{result} is not JSON ({error}); delete it") from error


def _stamp(chain: Chain, mark: str, seconds: float) -> None:
    """Add the provenance to the result."""
    content: dict[str, Any] = json.loads(chain.result.read_text(encoding="utf-8"))
    content |= {
        FINGERPRINT: mark, "variant": chain.variant,
        "commands": [step.shown for step in chain.steps],
        "seconds_of_this_run": round(seconds, 1),
    }  # fmt: skip
    write_file(chain.result, (json.dumps(content, indent=1) + "\n").encode())
