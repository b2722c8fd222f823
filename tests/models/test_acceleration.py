import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.acceleration import checkpoint_blocks, parse_checkpointing


def gradients(network, noisy, conditions):
    network.zero_grad()
    network(*noisy, conditions).square().mean().backward()
    return {name: value.grad.clone() for name, value in network.named_parameters()}


@pytest.mark.parametrize("every", [1, 2])
def test_recomputed_blocks_give_the_same_gradients(tiny, make_conditions, noisy, every):
    def step():
        dropped = make_conditions(tiny, drop=torch.tensor([True, False]))
        return gradients(tiny, noisy, dropped)

    plain = step()
    names = list(tiny.state_dict())
    # 4 blocks of the trunk, 3 of the extractor, 2 of the ControlNet
    assert checkpoint_blocks(tiny, every) == (9 if every == 1 else 5)
    recomputed = step()
    assert list(tiny.state_dict()) == names
    for name, value in plain.items():
        assert torch.allclose(value, recomputed[name], atol=1e-7), name


def test_recomputed_blocks_keep_less(tiny, make_conditions, noisy):
    def kept() -> int:
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        conditions = make_conditions(tiny)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            tiny(*noisy, conditions).sum()
        return total

    everything = kept()
    checkpoint_blocks(tiny)
    assert kept() < 0.2 * everything


def test_checkpointing_is_read_from_a_word():
    assert [parse_checkpointing(word) for word in ("none", "blocks", "every_3")] == [0, 1, 3]
    for word in ("every_0", "every", "all", ""):
        with pytest.raises(ValueError, match="activation_checkpointing is"):
            parse_checkpointing(word)


SLOW = pytest.mark.slow  # half a minute of tracing the backward pass; a minute of C++


@pytest.fixture(
    scope="module",
    params=[
        "eager",
        pytest.param("aot_eager", marks=SLOW),
        pytest.param("inductor", marks=SLOW),
    ],
)
def compiled(request: pytest.FixtureRequest) -> dict[str, Any]:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler here")
    script = Path(__file__).parent / "compiled_blocks.py"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), request.param],
        capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.timeout(300)
def test_compiled_blocks_predict_and_learn_as_eager_ones(compiled):
    assert compiled["num_blocks"] == 9
    assert compiled["names_stay"]
    assert compiled["sampling"] < 1e-5
    assert compiled.get("training", 0) < 1e-5
    assert compiled["recomputed"] < 1e-5


def test_blocks_are_compiled_once_for_each_kind_and_shape_and_never_for_a_step(compiled):
    first = compiled["graphs_of_a_first_step"]
    # first and other blocks of trunk and ControlNet; the extractor's, which has no time
    assert first <= 5
    assert compiled["graphs_of_all_steps"] == first
    assert first < compiled["graphs_with_another_shape"] <= 2 * first
    assert compiled["graphs_back_at_the_first_shape"] == compiled["graphs_with_another_shape"]
