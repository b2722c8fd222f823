"""Settings: every mistake is one sentence before work starts."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from omegaconf import DictConfig, OmegaConf

from configs.errors import ConfigError
from configs.loading import (
    CHECKOUT,
    find_shipped,
    from_plain,
    load_config,
    save_config,
    split_arguments,
    split_optional,
    to_plain,
)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    lr: float = 1e-4
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be above 0, got {self.lr}")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    steps: int = 10
    init_from: str | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("name: base\nsteps: 5\noptimizer: {lr: 1.0e-3}\n")
    path = tmp_path / "run.yaml"
    path.write_text("extends: base.yaml\nname: run\n")
    return path


def test_own_keys_win_over_extended_ones_and_overrides_over_both(yaml: Path) -> None:
    run = load_config(Run, yaml, ["optimizer.lr=2e-3", "optimizer.betas=[0.8,0.9]"])
    assert (run.name, run.steps) == ("run", 5)
    assert run.optimizer == Optimizer(lr=2e-3, betas=[0.8, 0.9])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.lrr=1"], ["optimizer.lrr", "did you mean 'optimizer.lr'"]),
        (["stepz=1"], ["stepz", "did you mean 'steps'"]),
        (["steps=many"], ["steps", "'many'", "a whole number is expected"]),
        (["optimizer.lr=-1"], ["optimizer", "lr must be above 0, got -1"]),
        (["optimizer=3"], ["optimizer"]),
        (["steps"], ["'steps' is not key=value"]),
    ],
)
def test_a_mistake_names_key_value_and_what_is_accepted(
    yaml: Path, overrides: list[str], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Run, yaml, overrides)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_key_in_a_file_names_the_file(yaml: Path) -> None:
    (yaml.parent / "base.yaml").write_text("name: x\nstps: 5\n")
    with pytest.raises(ConfigError, match=r"base\.yaml.*'stps'.*'steps'"):
        load_config(Run, yaml)


def test_files_that_are_missing_unreadable_or_circular_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(Run, tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("name: [1,\n")
    with pytest.raises(ConfigError, match="not readable YAML"):
        load_config(Run, tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(Run, tmp_path / "list.yaml")
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="cycle"):
        load_config(Run, tmp_path / "a.yaml")


def test_a_required_key_must_be_given() -> None:
    with pytest.raises(ConfigError, match="'name' must be given"):
        load_config(Run, None)


def test_saved_settings_are_read_back_equal(yaml: Path, tmp_path: Path) -> None:
    run = load_config(Run, yaml)
    save_config(run, tmp_path / "saved" / "config.yaml")
    assert load_config(Run, tmp_path / "saved" / "config.yaml") == run
    assert from_plain(Run, to_plain(run), "a checkpoint") == run


def test_arguments_are_a_file_and_overrides() -> None:
    assert split_arguments(["a.yaml", "x=1"], "u") == (Path("a.yaml"), ["x=1"])
    for wrong in ([], ["x=1"], ["a.yaml", "x"]):
        with pytest.raises(ConfigError):
            split_arguments(wrong, "u")


def test_a_file_that_may_be_left_out_is_the_default_where_that_exists(tmp_path: Path) -> None:
    default = tmp_path / "default.yaml"
    assert split_optional(["x=1"], "u", default) == (None, ["x=1"])
    default.touch()
    assert split_optional(["x=1"], "u", default) == (default, ["x=1"])
    assert split_optional([], "u", default) == (default, [])
    assert split_optional(["a.yaml", "x=1"], "u", default) == (Path("a.yaml"), ["x=1"])
    for wrong, told in ((["--help"], "usage: u"), (["x=1", "a.yaml"], "'a.yaml' is not key=value")):
        with pytest.raises(ConfigError, match=told):
            split_optional(wrong, "u", default)


def test_a_user_error_ends_with_one_line_and_code_2() -> None:
    code = (
        "from configs.command import run_command\n"
        "from configs.errors import DataError\n"
        "def main(argv): raise DataError('raw/ is empty')\n"
        "run_command(main, [])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == "error: raw/ is empty\n"


def lock_every_section(config: DictConfig) -> DictConfig:
    """What OmegaConf 2.3.1 does to frozen dataclasses; 2.4 locks the root alone."""
    for key in config:
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            lock_every_section(config[key])
    OmegaConf.set_readonly(config, True)
    return config


def test_settings_load_where_omegaconf_locks_every_section(
    yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structured = OmegaConf.structured
    monkeypatch.setattr(OmegaConf, "structured", lambda s: lock_every_section(structured(s)))
    run = load_config(Run, yaml, ["optimizer.lr=2e-3"])
    assert run.optimizer.lr == 2e-3
    assert from_plain(Run, to_plain(run), "a checkpoint") == run


@dataclass(frozen=True, kw_only=True)
class Models:
    SHORTHAND: ClassVar[str] = "kind"
    kind: str = "auto"
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Job:
    models: Models = field(default_factory=Models)


def test_a_word_for_a_section_is_short_for_its_main_key(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("models: embedded\n")
    job = load_config(Job, path, ["models.device=cuda"])
    assert job.models == Models(kind="embedded", device="cuda")
    assert load_config(Job, path, ["models=installed"]).models.kind == "installed"
    with pytest.raises(ConfigError, match=r"key 'models\.devise' does not exist"):
        load_config(Job, path, ["models.devise=cuda"])


def test_what_ships_is_found_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ships = Path("models/pretrained/tryon")
    assert find_shipped(ships) == CHECKOUT / ships
    for other in (Path("models/pretrained/none"), Path("runs/tryon")):
        assert find_shipped(other) == other
    ships.mkdir(parents=True)  # the user's own
    assert find_shipped(ships) == ships
