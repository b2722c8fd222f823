"""The same jobs on a Ray cluster: rows of references through Ray Data, never frames.

Every actor keeps one worker process of ``executor.py``, so time and memory limits, kills and codes
are the same as on one machine. With ``ray.gpus_per_worker`` above 0 the first pass, which needs no
model, runs in CPU actors next to the GPU ones; otherwise both are one operator.
SRC and OUT must be visible to every machine of the cluster.
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

from configs.checks import check_range
from configs.errors import DataError, UserError
from curation.workers.executor import Failure, Limit, LimitsConfig, Workers

Job = TypeVar("Job")
Result = TypeVar("Result")
Build = Callable[[], Callable[[Any, Callable[[Limit], None]], Any]]
CHECKOUT = Path(__file__).resolve().parents[2]
INSTALL_COMMAND = "make setup-ray"


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """The cluster of ``executor=ray``, and the resources of one worker."""

    address: str | None = None  # None: the one that RAY_ADDRESS names, else one on this machine
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0  # above 0: the first pass runs separately, on CPUs

    def __post_init__(self) -> None:
        check_range(self, "cpus_per_worker", above=0)
        check_range(self, "gpus_per_worker", least=0)


def run_on_ray(
    jobs: Sequence[Job],
    build: Build,
    build_first: Build | None,
    num_workers: int,
    config: RayConfig,
    limits: LimitsConfig,
) -> Iterator[tuple[Job, Any]]:
    """Do all jobs, yielding each with its result when it is done (in any order).

    ``build_first`` is used if GPUs are requested: work that CPUs can do first. ``num_workers`` 0:
    as many as fit the cluster.

    Raises:
        DataError: Ray is not installed, or the cluster lacks the resources of an actor.
        UserError: raised in a worker; the run cannot continue.
    """
    if not jobs:
        return
    ray = _connected(config)
    room = _room(ray, config)
    workers = min(num_workers or room, room, len(jobs))
    rows = [{"job": pickle.dumps(job), "outcome": b""} for job in jobs]
    # one row per block, so that a slow video delays only itself
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
    """One worker process, and the jobs that Ray passes to it."""

    def __init__(self, build: Build, limits: LimitsConfig, folder: str, is_first: bool) -> None:
        os.chdir(folder)  # relative paths mean the same as for the driver
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
            return batch  # the measurements are in a file
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
    """Number of actors that fit the cluster."""
    room = int(_total(ray, "CPU") / config.cpus_per_worker)
    if config.gpus_per_worker > 0:
        room = min(room, int(_total(ray, "GPU") / config.gpus_per_worker))
    if room < 1:
        raise DataError(
            f"a worker needs {config.cpus_per_worker:g} CPUs and {config.gpus_per_worker:g} GPUs; "
            f"the Ray cluster has {_total(ray, 'CPU'):g} and {_total(ray, 'GPU'):g}"
        )
    return room


def _total(ray: Any, resource: str) -> float:
    return float(ray.cluster_resources().get(resource, 0.0))
