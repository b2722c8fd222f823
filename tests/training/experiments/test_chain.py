"""A command of a chain: failed, killed and stopped are told apart."""

import os
import signal
import threading

import pytest

from configs.errors import UserError
from training.experiments.chain import ChainStep


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Makes a step whose process does what it is given."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(body, title="One"):
        (tmp_path / f"{title.lower()}.py").write_text(f"import os, signal, sys\n{body}\n")
        return ChainStep(words=(title.lower(), "a=b c"), title=title)

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


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGTERM, UserError), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_chain_that_is_told_to_stop_waits_for_what_its_command_still_writes(
    step, tmp_path, number, expected
):
    written, listens = tmp_path / "checkpoint", tmp_path / "listens"
    slow = step(
        "import time\n"
        "told = []\n"
        f"signal.signal({number:d}, lambda *_: told.append(1))\n"
        f"open({str(listens)!r}, 'w').write(str(os.getpid()))\n"
        "while not told: time.sleep(0.01)\n"
        "time.sleep(0.6)\n"  # longer than subprocess waits after Ctrl-C
        f"open({str(written)!r}, 'w').close()"
    )

    def tell():
        while not (listens.exists() and listens.read_text()):
            threading.Event().wait(0.01)
        if number == signal.SIGINT:  # a terminal tells all programs in it
            os.kill(int(listens.read_text()), number)
        os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    # a shell starts what runs in its background with SIGINT ignored
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    teller = threading.Thread(target=tell)
    teller.start()
    try:
        with pytest.raises(expected, match=r"stopped in python -m one|^$"):
            slow.run()
    finally:
        signal.signal(signal.SIGINT, interrupt)
    teller.join()
    assert written.exists()
    assert signal.getsignal(signal.SIGTERM) == before
