"""What `make help` says of a target is what the target reads; what does not go together is said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GIVEN = set(re.findall(r"^([A-Za-z_]+)\s+\?=$", MAKEFILE, re.MULTILINE)) - {"ARGS"}
TARGETS = re.findall(r"^([a-z][a-z0-9-]*):.*?## (.*)\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Make, without a look at the virtual environment."""
    return subprocess.run(
        ["make", "-o", "setup", f"RUN={sys.executable}", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


@pytest.mark.parametrize(("target", "told", "recipe"), TARGETS, ids=[found[0] for found in TARGETS])
def test_help_names_every_variable_that_a_target_reads_and_no_other(
    target: str, told: str, recipe: str
) -> None:
    read = {name for name in GIVEN if f"$({name})" in recipe}
    named = {name for name in GIVEN if re.search(rf"\b{name}=", told)}
    assert read == named, target


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["curate"], "src=DIR is missing: the folder with raw videos"),
        (["curate", "BENCH=vvt", "bench=50"], "BENCH=vvt prepares a published benchmark"),
        (["curate", "BENCH=vvt", "SRC=raw"], "BENCH=vvt prepares a published benchmark"),
        (["curate", "BENCH=vvt", "OUT=data/x"], "BENCH=vvt prepares a published benchmark"),
        (["curate", "BENCH=vvt", "dry_run=1"], "dry_run=true is for videos; this run makes vvt"),
        (["curate-explain", "OUT=data/none"], "give one clip_id, or one source"),
        (["curate-purge", "OUT=data/none"], "no source is named"),
    ],
)
def test_what_is_missing_or_does_not_go_together_is_one_sentence(
    words: list[str], told: str
) -> None:
    done = make(*words)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode == 2
    assert len(said) == 1, done.stderr
    assert said[0].startswith("error: ")
    assert told in said[0]


def test_settings_of_curation_may_stand_in_its_yaml_alone() -> None:
    shown = make("--dry-run", "curate", "CONFIG=mine.yaml").stdout
    assert "src=" not in shown
    assert "out=" not in shown
    assert "mine.yaml" in shown
