"""Every YAML file loads under its schema; a key that does not exist is refused by name."""

import re
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.loading import load_config
from curation.settings import CurateConfig
from datasets.synthetic.dataset import SyntheticConfig
from inference.tryon import TryOnConfig
from inference.web.settings import AppConfig
from training.codec.config import CodecTraining
from training.config import TrainConfig
from training.demo import DemoConfig
from training.evaluate import EvaluationConfig
from training.experiments.ablation import AblationConfig

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = {
    r"(curate|sources/.*)\.yaml": CurateConfig,
    r"render\.yaml": SyntheticConfig,
    r"codec\.yaml": CodecTraining,
    r"tryon\.yaml": TryOnConfig,
    r"app\.yaml": AppConfig,
    r"(demo/demo|small/small)\.yaml": DemoConfig,
    r"eval/.*\.yaml": EvaluationConfig,
    r"(base|pretrain|stage[123])\.yaml": TrainConfig,
    r"pretrained/(images|video|lora)\.yaml": TrainConfig,
    r"recipes/.*\.yaml": TrainConfig,
    r"experiments/(fusion|swapping|longvideo|stages|freeze|data|known)\.yaml": AblationConfig,
}
FILES = sorted((ROOT / "configs").rglob("*.yaml"))


def schema_of(path: Path) -> type:
    name = path.relative_to(ROOT / "configs").as_posix()
    found = [schema for pattern, schema in SCHEMAS.items() if re.search(f"(^|/){pattern}$", name)]
    assert len(found) == 1, f"{name} has {len(found)} schemas"
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_settings_file_loads_under_its_schema(path: Path) -> None:
    # What the stages share lacks what they differ in.
    needed = ["name=x", "stage=stage1", "data.num_frames=1"] if path.name == "base.yaml" else []
    load_config(schema_of(path), path, needed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_unknown_key_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ConfigError, match="'no_such_key'"):
        load_config(schema_of(path), path, ["no_such_key=1"])
