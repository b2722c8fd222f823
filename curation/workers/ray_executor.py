"""The same jobs on a Ray cluster: rows of references through Ray Data, never frames.

Every actor keeps one worker process of ``executor.py``, so limits of time and memory, kills and
codes are those of a run on one machine. With ``ray.gpus_per_worker`` above 0 the first pass, which
needs no model, runs in CPU actors beside the GPU ones; without, both are one operator.
SRC and OUT must lie where every machine of the cluster sees them.
"""

import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from configs.errors import ConfigError, DataError, UserError
from curation.workers.executor import Failure, Limit, LimitsConfig, Workers

Job = TypeVar("Job")
Result = TypeVar("Result")
Build = Callable[[], Callable[[Any, Callable[[Limit], None]], Any]]
CHECKOUT = Path(__file__).resolve().parents[2]
INSTALL_COMMAND = "pip install -e '.[ray]'"


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """The cluster of ``executor=ray``, and what one worker takes of it."""

    address: str | None = None  # None: the one that RAY_ADDRESS names, else one on this machine
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0  # above 0: the first pass runs beside it, on CPUs

    def __post_init__(self) -> None:
        if self.cpus_per_worker <= 0 or self.gpus_per_worker < 0:
            raise ConfigError(
                f"cpus_per_worker is {self.cpus_per_worker} and gpus_per_worker "
                f"{self.gpus_per_worker}; above 0 and at least 0 are accepted"
            )


def run_on_ray(
    jobs: Sequence[Job],
    build: Build,
    build_first: Build | None,
    num_workers: int,
    config: RayConfig,
    limits: LimitsConfig,
) -> Iterator[tuple[Job, Any]]:
    """Do all jobs, yielding each with its result as it is done (in any order).

    Args:
        jobs: picklable descriptions of work.
        build: called once in each worker; returns the function that does a job.
        build_first: the same for what a CPU can do beforehand; used when GPUs are asked for.
        num_workers: actors; 0: as many as the cluster has room for.
        config: the cluster, and what an actor takes of it.
        limits: of each job.

    Raises:
        DataError: Ray is not installed, or the cluster lacks what an actor asks for.
        UserError: a worker reported one: the run cannot go on.
    """
    if not jobs:
        return
    ray = _connected(config)
    room = _room(ray, config)
    workers = min(num_workers or room, room, len(jobs))
    rows = [{"job": pickle.dumps(job), "outcome": b""} for job in jobs]
    # one row a block, so that a slow video holds back nothing but itself
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    if build_first is not None and config.gpus_per_worker > 0:
        dataset = dataset.map_batches(
            _Actor,
            fn_constructor_args=(build_first, limits, os.getcwd(), True),
            batch_size=1,
            num_cpus=1,
            concurrency=(1, max(1, int(_total(ray, "CPU")) - workers)),
        )
    dataset = dataset.map_batches(
        _Actor,
        fn_constructor_args=(build, limits, os.getcwd(), False),
        batch_size=1,
        num_cpus=config.cpus_per_worker,
        num_gpus=config.gpus_per_worker or None,
        concurrency=workers,
    )
    for row in dataset.iter_rows():
        job, outcome = pickle.loads(row["job"]), pickle.loads(row["outcome"])
        if isinstance(outcome, UserError):
            raise outcome
        yield job, outcome


class _Actor:
    """One worker process, and the jobs that Ray hands to it."""

    def __init__(self, build: Build, limits: LimitsConfig, folder: str, is_first: bool) -> None:
        os.chdir(folder)  # relative paths mean what they mean to the driver
        self._workers = Workers(build, 1, limits.base_s, limits.max_memory_gb)
        self._is_first = is_first

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if batch["outcome"][0]:
            return batch  # the operator before this one failed
        job = pickle.loads(batch["job"][0])
        outcome: Any
        try:
            ((_, outcome),) = self._workers.run([job])
        except UserError as error:
            outcome = error
        if self._is_first and not isinstance(outcome, Failure | UserError):
            return batch  # what was measured lies in a file
        return {"job": batch["job"], "outcome": np.array([pickle.dumps(outcome)], dtype=object)}


def _connected(config: RayConfig) -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.data  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError(
            f"executor=ray, but Ray is not installed: {INSTALL_COMMAND}, or choose executor=local"
        ) from error
    if not ray.is_initialized():
        path = ":".join([str(CHECKOUT), *filter(None, sys.path)])
        ray.init(
            address=config.address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
        )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return ray


def _room(ray: Any, config: RayConfig) -> int:
    """How many actors the cluster has room for."""
    room = int(_total(ray, "CPU") / config.cpus_per_worker)
    if config.gpus_per_worker > 0:
        room = min(room, int(_total(ray, "GPU") / config.gpus_per_worker))
    if room < 1:
        raise DataError(
            f"a worker asks for {config.cpus_per_worker:g} CPUs and {config.gpus_per_worker:g} "
            f"GPUs, the Ray cluster has {_total(ray, 'CPU'):g} and {_total(ray, 'GPU'):g}"
        )
    return room


def _total(ray: Any, resource: str) -> float:
    return float(ray.cluster_resources().get(resource, 0.0))
