"""Weights of the model zoo: read as arrays alone, and only if they fit."""

import os
import pickle
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import DataError
from curation.perception.config import PerceptionConfig
from curation.perception.detectron2_densepose import check_fit
from curation.perception.zoo_weights import read_zoo_weights


def write_pickle(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_in_plain_containers_are_read(tmp_path: Path, protocol: int) -> None:
    model = OrderedDict(
        weight=np.arange(6, dtype=np.float32).reshape(2, 3), count=np.int64(7), empty=np.zeros(0)
    )
    content = {"model": model, "__author__": "the zoo", "matching_heuristics": True}
    read = read_zoo_weights(write_pickle(tmp_path / "zoo.pkl", content, protocol))
    np.testing.assert_array_equal(read["model"]["weight"], model["weight"])
    assert read["model"]["weight"].dtype == np.float32
    assert read["model"]["count"] == 7
    assert read["matching_heuristics"] is True


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", ["pkl", "pth"])
def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, suffix: str) -> None:
    ran, path = tmp_path / "ran", tmp_path / f"evil.{suffix}"
    content = {"model": {"weight": np.zeros(2)}, "more": Evil(ran)}
    if suffix == "pkl":
        write_pickle(path, content)
    else:
        torch.save(content, path)
    with pytest.raises(DataError, match=r"evil\.p(kl|th) (is not opened|cannot be read)") as told:
        read_zoo_weights(path)
    assert not ran.exists()
    assert "\n" not in str(told.value)
    if suffix == "pkl":
        pickle.loads(path.read_bytes())
        assert ran.is_dir(), "the test's pickle must be evil"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"foo": np.zeros(3)}, "there is no 'model' in it, but foo"),
        ({"conv1_w": np.zeros(3)}, "a bare backbone"),
        ([1, 2], "there is no 'model' in it"),
        ({"model": {}}, "there is no 'model'"),
        (b"bytes", "no 'model' in it"),
    ],
)
def test_other_pickles_are_refused_by_what_they_hold(
    tmp_path: Path, content: Any, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        read_zoo_weights(write_pickle(tmp_path / "other.pkl", content))


def test_garbage_is_one_sentence(tmp_path: Path) -> None:
    for name in ("garbage.pkl", "garbage.pth"):
        path = tmp_path / name
        path.write_bytes(b"garbage, no weights")
        with pytest.raises(DataError, match=f"{name} cannot be read as weights") as told:
            read_zoo_weights(path)
        assert "\n" not in str(told.value)


def test_a_trainers_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.ones(2)}, "iteration": 3}, tmp_path / "model.pth")
    assert read_zoo_weights(tmp_path / "model.pth")["model"]["weight"].tolist() == [1, 1]


Incompatible = namedtuple("Incompatible", "missing_keys unexpected_keys incorrect_shapes")


def test_weights_that_leave_something_random_are_refused_by_name() -> None:
    config = PerceptionConfig(densepose_config="r50.yaml", densepose_weights="zoo.pkl")
    check_fit(Incompatible([], ["more"], []), config)
    with pytest.raises(DataError, match=r"zoo\.pkl do not fit r50\.yaml: 2 tensors are missing, s"):
        check_fit(Incompatible(["head.a", "head.b"], [], []), config)
    with pytest.raises(DataError, match=r"1 tensors have another shape, such as head\.a"):
        check_fit(Incompatible(["head.a"], [], [("head.a", (2,), (3,))]), config)
