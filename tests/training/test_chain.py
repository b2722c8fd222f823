"""A command of a chain: failed, killed and stopped are told apart."""

import pytest

from configs.errors import UserError
from training.chain import Step


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
