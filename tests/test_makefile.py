"""What `make help` says of a target is what the target reads; what does not go together is said."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GIVEN = set(re.findall(r"^([A-Za-z_]+)\s+\?=$", MAKEFILE, re.MULTILINE)) - {"ARGS"}
TARGETS = re.findall(r"^([a-z][a-z0-9-]*):.*?## (.*)\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)


INPUTS = sorted(GIVEN | {"ARGS"})
ODD = [
    "Anna's", 'say "hi"', "cost$10", "$(shell echo no)", "$$", "`echo no`", "dances #2", "a=b",
    "c:d", "two  words ", "été 夏", "-x", "--help me", "a;b&c|d>e", "back\\slash", "*?[a]{b,c}",
    "!", "~", "%", "(a", "a,b)", "${HOME}",
]  # fmt: skip


def make(*words: str, run: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Make, without a look at the virtual environment, and nothing from an outer make."""
    outer = {*INPUTS, "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS"}
    return subprocess.run(
        ["make", "-o", "setup", f"RUN={run}", *words], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=100, env={k: v for k, v in os.environ.items() if k not in outer},
    )  # fmt: skip


@pytest.fixture
def stub(tmp_path: Path) -> str:
    """A stand-in for Python: it prints the words that a command would get, and runs nothing."""
    script, run = tmp_path / "stub.py", tmp_path / "python"
    script.write_text(
        "import json, os, sys\n"
        "sys.path.insert(0, os.getcwd())\n"
        "from configs import from_make\n"
        "if sys.argv[1:3] == ['-m', 'configs.from_make']:\n"
        "    os.execve = lambda path, argv, env: print(json.dumps(argv[2:]))\n"
        "    sys.exit(from_make.main(sys.argv[3:]))\n"
    )
    run.write_text(f'#!/bin/sh\nexec {sys.executable} -S {script} "$@"\n')
    run.chmod(0o755)
    return str(run)


def commands(*words: str, run: str) -> list[list[str]]:
    """Module and words of every command that a call of make would run."""
    done = make(*words, run=run)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("target", "told", "recipe"), TARGETS, ids=[found[0] for found in TARGETS])
def test_help_names_every_variable_that_a_target_reads_and_no_other(
    target: str, told: str, recipe: str
) -> None:
    found = re.findall(r"{(\w+)[:}]|\$\$MAKE_INPUT_(\w+)", recipe)
    read = {name for pair in found for name in pair} & GIVEN
    named = {name for name in GIVEN if re.search(rf"\b{name}=", told)}
    assert read == named, target


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["curate"], "src=DIR is missing: the folder with raw videos"),
        (["curate", "BENCH=vvt", "HOLD_OUT=50"], "BENCH=vvt prepares a published benchmark"),
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


def test_settings_of_curation_may_stand_in_its_yaml_alone(stub: str) -> None:
    assert commands("curate", "CONFIG=mine.yaml", run=stub) == [
        ["viton_dit", "curate", "--config=mine.yaml"]
    ]


READS = [
    (target, name)
    for target, _, recipe in TARGETS
    for name in sorted(set(re.findall(r"{(\w+)[:}]", recipe)) - {"ARGS"})
]


@pytest.mark.parametrize(("target", "name"), READS, ids=[f"{one}-{two}" for one, two in READS])
def test_a_value_reaches_the_command_as_typed(target: str, name: str, stub: str) -> None:
    odd = "".join(ODD)
    (command,) = [c for c in commands(target, f"{name}={odd}", run=stub) if c[0] != "pip"]
    assert sum(odd in word for word in command[1:]) == 1, command
    for word in command[1:]:
        if odd in word:
            assert re.fullmatch(r"(--)?[\w-]*=?(configs/\w+/)?", word[: word.index(odd)]), word


@pytest.mark.parametrize("odd", ODD)
def test_every_odd_value_reaches_try_on(odd: str, stub: str) -> None:
    words = [f"CONFIG={odd}", f"VIDEO={odd}", f"GARMENT={odd}", f"OUT={odd}"]
    assert commands("tryon", *words, run=stub) == [
        ["viton_dit", "tryon", f"--config={odd}", f"video={odd}", f"garment={odd}", f"out={odd}"]
    ]


@pytest.mark.parametrize("target", [target for target, _, recipe in TARGETS if "{ARGS}" in recipe])
def test_args_are_split_as_a_shell_splits_them_and_nothing_is_filled_in(
    target: str, stub: str
) -> None:
    given = """ARGS=a.b=5 c='d #e' "f='$HOME'" g=$(h)"""
    command = commands(target, given, run=stub)[-1]
    assert {"a.b=5", "c=d #e", "f='$HOME'", "g=$(h)"} <= set(command)


def test_args_with_an_open_quote_are_refused_in_one_sentence(stub: str) -> None:
    done = make("tryon", "ARGS=video=Anna's", run=stub)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("error: ARGS=video=Anna's has a quote")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["curate", "DRY_RUN=1"], "DRY_RUN= is not read; did you mean dry_run=?"),
        (["tryon", "CATEGORY=lower"], 'CATEGORY= is not read; .*ARGS="category=...'),
        (["tryon", "GARMNET=g.png"], "did you mean GARMENT="),
        (["tryon", "a'b=1"], "a'b= is not read"),
        (["help", "src=x"], "did you mean SRC="),
        (["curate", "SRC=x", "bench=50"], "bench= is now HOLD_OUT"),
        (["codec", "real=x"], r"real= is now PICTURES \(of make codec; a clip to dress is REAL"),
        (["tryon", "SRC=x"], "this target reads CONFIG, JOBS, VIDEO, GARMENT, OUT, ARGS"),
    ],
)
def test_a_variable_that_is_not_read_is_refused(words: list[str], told: str, stub: str) -> None:
    done = make(*words, f"PYTHON={sys.executable}", run=stub)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.search(told, done.stderr.splitlines()[0]), done.stderr


def test_no_two_variables_differ_by_case_alone() -> None:
    assert len({name.lower() for name in INPUTS}) == len(INPUTS) > 15


def test_the_help_fits_100_columns() -> None:
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in make("help").stdout.splitlines()]
    assert len(lines) > 40
    assert [line for line in lines if len(line) > 100] == []


def test_a_list_of_targets_may_share_variables(stub: str) -> None:
    found = commands("train-stage1", "export", "OUT=x", run=stub)
    assert [command[-1] for command in found] == ["--config=configs/stage1.yaml", "out=x"]
