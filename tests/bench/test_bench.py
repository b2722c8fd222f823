"""The benchmark at toy size, in a process that lacks what a bare GPU machine lacks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.clip import CUMULATIVE
from tests.bench.table import Row, markdown
from tests.bench.timing import interleave

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("decord", "av", "webdataset", "omegaconf", "diffusers", "rich")
CODE = f"""
import sys
for name in {ABSENT!r}: sys.modules[name] = None
import torch
torch.set_num_threads(1)
from tests.bench.run import main
common = ['--quick', '--size', 'toy', '--device', 'cpu', '--no-compile', '--out', sys.argv[1]]
assert main([*common, '--parts', 'networks', 'places', 'clip', 'step', 'sampling']) == 0
before = open(sys.argv[1]).read()
import json
rows = json.loads(before)['rows']
assert main([*common, '--parts', 'networks', 'places', 'clip', 'step', 'sampling', '--resume']) == 0
assert json.loads(open(sys.argv[1]).read())['rows'] == rows, 'a resumed run measured again'
assert main([*common[:1], '--size', 'small', *common[3:], '--resume', '--parts', 'step']) == 2
"""


def test_the_benchmark_runs_and_resumes_without_packages_that_a_gpu_machine_may_lack(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert result["size"]["dim"] == 32
    assert result["matmul_flops_per_s"] > 0
    rows = {(row["part"], row["name"]): row for row in result["rows"]}
    for part in ("block", "network"):
        for name in ("forward", "forward+backward"):
            row = rows[part, name]
            assert row["ratio"] == pytest.approx(row["plain_seconds"] / row["seconds"])
            assert row["difference"] < 1e-4
    assert rows["network", "forward+backward"]["target"] == 1.3
    for name in ("forward", "forward+backward"):
        row = rows["places", name]
        assert row["ratio"] == pytest.approx(row["plain_seconds"] / row["seconds"])
    clip = rows["clip", "20 steps, the same solver"]
    assert "diffusers is not installed: DDIM" in clip["note"]
    assert "EXTRAPOLATED from 4 of 20 steps" in clip["note"]
    assert clip["difference"] < 1e-2
    assert [name for part, name in rows if part == "cumulative"] == list(CUMULATIVE)
    assert rows["training step", "checkpointing blocks, eager"]["mfu"] > 0
    assert rows["clip of 2 frames, 20 steps", "eager"]["seconds"] > 0
    page = path.with_suffix(".md").read_text()
    assert "QUICK RUN" in page
    assert page in done.stdout  # without rich the page is the table


def test_cases_are_timed_in_turn() -> None:
    calls: list[str] = []
    cases = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    taken = interleave(cases, repeats=2)
    assert calls == ["a", "b"] * 3
    assert taken["a"].spread is not None


def test_what_was_not_measured_stays_empty_in_the_table() -> None:
    row = Row(part="training step", name="eager", note="out of memory")
    result = {
        "date": "d", "dtype": "float32", "quick": False, "matmul_flops_per_s": 1e9,
        "machine": {"device": "x", "threads": 1, "torch": "t"},
        "size": {"name": "toy", "dim": 1, "depth": 1, "num_heads": 1, "mlp_ratio": 4.0,
                 "frames": 1, "height": 1, "width": 1, "pixels": [8, 8], "batch": 1},
        "rows": [vars(row)],
    }  # fmt: skip
    page = markdown(result)
    assert "| training step | eager |  |  |  |  |  |  |  | 1 |" in page
    assert page.endswith("1. out of memory\n")
