"""``configs/...`` is found in the checkout from any folder; a user's own file comes first."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.loading import find_config, read_plain, split_arguments, split_optional
from training.experiments.fingerprints import fingerprint

ROOT = Path(__file__).resolve().parents[2]
STAGE3 = Path("configs/stage3.yaml")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shipped_file_is_found_and_an_own_one_comes_first(elsewhere: Path) -> None:
    assert find_config(STAGE3) == ROOT / STAGE3
    assert split_arguments(["configs/stage3.yaml", "a=1"], "") == (ROOT / STAGE3, ["a=1"])
    assert split_optional([], "", STAGE3) == (ROOT / STAGE3, [])
    (elsewhere / "configs").mkdir()
    assert find_config(STAGE3) == ROOT / STAGE3
    (elsewhere / STAGE3).write_text("seed: 1\n")
    assert find_config(STAGE3) == STAGE3
    assert read_plain(STAGE3) == {"seed": 1}


def test_other_paths_are_taken_as_they_are(elsewhere: Path) -> None:
    for path in ("stage3.yaml", "mine/stage3.yaml", str(elsewhere / "configs/stage3.yaml")):
        assert find_config(path) == Path(path)


def test_a_wrong_name_lists_what_ships_and_a_wrong_folder_stays() -> None:
    with pytest.raises(ConfigError, match=r"nosuch\.yaml does not exist; .*stage1, stage2"):
        read_plain(Path("configs/nosuch.yaml"))
    with pytest.raises(ConfigError, match=r"file configs/nosuch/stage1\.yaml does not exist$"):
        read_plain(Path("configs/nosuch/stage1.yaml"))


def test_a_chain_of_commands_has_the_same_fingerprint_in_every_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = [("training.fit", "configs/demo/stage1.yaml")]
    here = fingerprint(commands)
    monkeypatch.chdir(ROOT)
    assert fingerprint(commands) == here
