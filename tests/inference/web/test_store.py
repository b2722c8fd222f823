import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import DataError
from inference.errors import RequestError
from inference.web.settings import AppLimits
from inference.web.store import Store

ROOT = Path(__file__).parents[3]


def names(folder):
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def test_closing_empties_the_folder(tmp_path):
    store = Store(tmp_path / "room", AppLimits())
    (store.path(store.new_item()) / "sent").write_bytes(b"pictures")
    store.close()
    assert names(tmp_path / "room") == []


def test_a_killed_server_leaves_nothing_for_long_the_next_start_removes_it(tmp_path):
    code = (
        "import os, sys; from inference.web.store import Store\n"
        "from inference.web.settings import AppLimits\n"
        "store = Store(sys.argv[1], AppLimits())\n"
        "(store.path(store.new_item()) / 'sent').write_bytes(b'pictures')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert len(names(tmp_path)) == 1
    store = Store(tmp_path, AppLimits())
    assert names(tmp_path) == []
    store.close()


def test_a_folder_of_something_else_is_never_emptied(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="give it a folder of its own"):
        Store(tmp_path, AppLimits())
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_two_servers_do_not_share_a_folder(tmp_path):
    store = Store(tmp_path, AppLimits())
    item = store.new_item()
    with pytest.raises(DataError, match="used by another fitting room"):
        Store(tmp_path, AppLimits())
    assert store.path(item).is_dir()
    store.close()
    second = Store(tmp_path, AppLimits())
    kept = second.new_item()
    store.close()  # again: no longer its own
    assert second.path(kept).is_dir()
    second.close()


def test_a_full_folder_and_a_full_disk_take_nothing_more(tmp_path):
    store = Store(tmp_path, AppLimits(folder_gb=0.001, free_gb=0.0))
    store.reserve(600_000)
    with pytest.raises(RequestError, match="room is full"):
        store.reserve(600_000)
    store.release(600_000)
    store.reserve(600_000)
    store.close()
    greedy = Store(tmp_path, AppLimits(free_gb=1e9))
    with pytest.raises(RequestError, match="disk of this server is full"):
        greedy.reserve(1)
    greedy.close()


def test_names_are_random_and_long(tmp_path):
    store = Store(tmp_path, AppLimits())
    items = {store.new_item() for _ in range(50)}
    assert len(items) == 50
    assert all(len(item) == 32 for item in items)
    store.close()
