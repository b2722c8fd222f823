"""A command of a chain: failed, killed and stopped are told apart; the demo keeps its times."""

import json

import pytest

from configs.errors import UserError
from training.chain import Step
from training.demo import run_steps


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Makes a step whose process does what it is given."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(body, title="One"):
        (tmp_path / f"{title.lower()}.py").write_text(f"import os, signal, sys\n{body}\n")
        return Step(words=(title.lower(), "a=b c"), title=title)

    return make


def test_a_command_is_shown_as_it_is_typed_and_gets_its_words(step, capfd):
    step("assert sys.argv[1:] == ['a=b c']; print('done')").run()
    assert "python -m one 'a=b c'\ndone\n" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("body", "expected", "message"),
    [
        ("sys.exit(2)", UserError, "ended with exit code 2"),
        ("os.kill(os.getpid(), signal.SIGKILL)", UserError, r"was killed \(SIGKILL"),
        ("sys.exit(130)", KeyboardInterrupt, None),
        ("signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)", KeyboardInterrupt, None),
    ],
)
def test_failed_killed_and_stopped_are_told_apart(step, body, expected, message):
    with pytest.raises(expected, match=message):
        step(body).run()


def test_the_demos_times_survive_a_failed_step_and_add_up(step, tmp_path):
    times = tmp_path / "demo" / "steps.json"
    first, second = step("pass"), step("sys.exit(2)", "Two")
    with pytest.raises(UserError, match="exit code 2"):
        run_steps([first, second], times)
    before = json.loads(times.read_text())
    assert [entry["title"] for entry in before] == ["One", "Two"]
    step("pass", "Two")
    after = run_steps([first, second], times)
    assert [entry.command for entry in after] == [first.shown, second.shown]
    assert all(a.seconds > b["seconds"] > 0 for a, b in zip(after, before, strict=True))
