"""One run, parts of a run, and a Ray cluster: the same shards and the same manifest."""

import functools
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import ConfigError
from curation.ledger import Ledger, SourceRow
from curation.pipeline import Curator, SourceJob, SourceResult, source_row
from curation.run import curate, work_off
from curation.settings import CurateConfig
from curation.workers.attempts import facts_of_failure, is_to_try_again
from curation.workers.executor import Limit, LimitsConfig
from curation.workers.parts import is_in_part, ledger_path
from curation.workers.ray_executor import RayConfig
from tests.curation import hostile as h


def look(config: CurateConfig):
    return h.colour_perception()


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for seed in range(3):
        h.write(root / f"dance {seed}.mp4", h.dance(seed=seed))
    h.write(root / "deep" / "a copy 💃.mp4", h.dance(seed=1))
    h.write(root / "short.mp4", h.dance(3))
    (root / "page.mp4").write_bytes(b"<html>not found</html>")
    return root


@pytest.fixture(scope="module")
def settings(raw) -> CurateConfig:
    return CurateConfig(src=str(raw), workers=1)


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole")
    curate(replace(settings, out=str(out)), look)
    return products(out)


def products(out: Path) -> dict[str, str]:
    """sha256 of all that a run makes for others: shards, their indices, the manifest."""
    files = [*sorted(out.glob("shards/*")), out / "manifest.parquet"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_parts_and_one_finishing_run_make_what_one_run_makes(settings, whole, tmp_path):
    config = replace(settings, out=str(tmp_path / "out"))
    for index in range(2):
        curate(replace(config, job_part=f"{index}/2"), look)
    assert not (tmp_path / "out" / "shards").exists()
    assert len(list((tmp_path / "out").glob("ledger-*-of-2.sqlite"))) == 2
    outcome = curate(config, look)
    assert outcome.num_decoded == 0
    assert products(tmp_path / "out") == whole
    assert [path.name for path in (tmp_path / "out").glob("ledger*.sqlite")] == ["ledger.sqlite"]


@pytest.mark.slow
def test_a_lost_part_is_done_by_the_finishing_run(settings, whole, tmp_path):
    config = replace(settings, out=str(tmp_path))
    curate(replace(config, job_part="0/2"), look)
    outcome = curate(config, look)
    assert 0 < outcome.num_decoded < 6
    assert products(tmp_path) == whole


def test_every_source_is_in_exactly_one_part():
    names = [f"folder/video {i}.mp4" for i in range(200)]
    counts = [sum(is_in_part(name, (i, 7)) for name in names) for i in range(7)]
    assert sum(counts) == len(names)
    assert min(counts) > 10
    with pytest.raises(ConfigError, match=r"job_part is '7/7'; I/N with 0 <= I < N"):
        CurateConfig(job_part="7/7")
    with pytest.raises(ConfigError, match=r"shard=0/8 is now called job_part=0/8"):
        CurateConfig(shard="0/8")


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="ray is not installed: make setup-ray")
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, at its end
@pytest.mark.timeout(300)
def test_ray_makes_the_same_shards_and_manifest(settings, whole, cluster, tmp_path):
    config = replace(settings, executor="ray", out=str(tmp_path))
    curate(config, look)
    assert products(tmp_path) == whole


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(300)
def test_on_a_cluster_with_gpus_the_first_pass_runs_beside_them(settings, whole, cluster, tmp_path):
    cluster.shutdown()
    cluster.init(num_cpus=2, num_gpus=1, include_dashboard=False)  # a GPU by name alone
    config = replace(settings, executor="ray", out=str(tmp_path))
    curate(replace(config, ray=RayConfig(gpus_per_worker=1.0)), look)
    assert products(tmp_path) == whole
    assert list((tmp_path / "signals").glob("pass-*")) == []


def build_sleeper(config: CurateConfig) -> Callable[..., SourceResult]:
    curator = Curator(config, look(config))

    def work(job: SourceJob, set_limit: Callable[[Limit], None]) -> SourceResult:
        if job.name == "hangs.mp4" and not os.environ.get("MENDED"):
            set_limit(Limit(seconds=0.1))
            time.sleep(60)
        return curator.curate(job, set_limit)

    return work


def test_what_a_limit_killed_is_tried_again_by_the_next_run(tmp_path, monkeypatch):
    h.write(tmp_path / "in" / "hangs.mp4", h.dance(3))
    config = CurateConfig(out=str(tmp_path / "out"), workers=1)
    (job,) = h.jobs_in(tmp_path / "in")
    build = functools.partial(build_sleeper, config)
    codes = []
    for is_mended in (False, True, True):
        if is_mended:
            monkeypatch.setenv("MENDED", "1")
        with Ledger(ledger_path(tmp_path / "out", None)) as ledger:
            outcome = work_off([job], build, source_row, config, ledger)
            (row,) = ledger.sources()
            codes.append((outcome.num_decoded, row.code))
    assert codes == [(1, "timed_out"), (1, None), (0, None)]


def test_attempts_end_and_begin_anew_under_other_limits():
    limits = LimitsConfig(max_attempts=2)
    row = SourceRow(sha256="a", name="a", group="a", num_bytes=1, fingerprint="f",
                    code="out_of_memory")  # fmt: skip
    for attempt in (1, 2):
        assert is_to_try_again(row, limits)
        row = replace(row, facts=facts_of_failure(row, limits))
        assert row.facts["attempts"] == attempt
    assert not is_to_try_again(row, limits)
    assert is_to_try_again(row, LimitsConfig(max_attempts=2, max_memory_gb=16))
    assert not is_to_try_again(replace(row, code="not_a_video"), LimitsConfig())
