import socket

import pytest

from configs.command import run_command
from inference.app import main, read_config


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        run_command(main, list(words))
    return stop.value.code, capsys.readouterr().err.strip().splitlines()[-1]


def test_it_listens_to_this_machine_alone_unless_told():
    assert read_config([]).host == "127.0.0.1"
    assert read_config(["host=0.0.0.0", "limits.video_s=5"]).limits.video_s == 5.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["portt=1"], "did you mean 'port'"),
        (["port=70000"], "0 to 65535"),
        (["more"], "does not exist"),
        (["port=1", "more"], "'more' is not key=value"),
        (["limits.video_mb=0"], "at least 1"),
        (["tryon=none.yaml"], "none.yaml does not exist"),
        (["checkpoint=none"], "checkpoint none does not exist; give a .ckpt file, the folder"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(capsys, words, message):
    code, line = run(capsys, *words)
    assert code == 2
    assert line.startswith("error: ")
    assert message in line


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(capsys, tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"never read")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = run(capsys, f"checkpoint={tmp_path / 'last.ckpt'}", f"port={port}")
    assert code == 2
    assert "cannot listen on" in line
    assert "port=7861" in line
