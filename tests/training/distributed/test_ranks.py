"""Two processes on a CPU, DDP and FSDP2, against one process with the same global batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.checkpoints import read_checkpoint
from models.weights.sharded import is_sharded, read_whole
from tests.warm import WarmPython
from training.config import TrainConfig
from training.fit import fit
from training.report import read_scalars

PROGRAM = Path(__file__).with_name("two_ranks.py")
SHARED = ["stage=stage3", "data.num_frames=4", "trainer.global_batch=4"]
PATH = Path("tiny.yaml")

pytestmark = pytest.mark.timeout(300)
BOTH_RANKS = """
import os
rank = int(os.fork() == 0)
os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
from tests.training.distributed.two_ranks import main
main()
if rank == 0:
    assert os.wait()[1] == 0, "rank 1 failed; see above"
"""


def names_of_both() -> dict[str, str]:
    """What torchrun tells every rank of two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test",
            "GROUP_RANK": "0"}  # fmt: skip


def start_two_ranks(path: Path, runs: list[str]) -> list[subprocess.Popen[str]]:
    """As torchrun would start them."""
    names = {**os.environ, "PYTHONPATH": ".", **names_of_both()}
    return [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(path), *runs], cwd=PROGRAM.parents[3], text=True,
            env={**names, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip


def losses(run: Path) -> list[float]:
    return read_scalars(run)["loss/train"][1]


def same_weights(left: Path, right: Path) -> bool:
    first, second = (read_whole(run / "checkpoints" / "last.ckpt") for run in (left, right))
    return all(
        torch.equal(first[kind][name], second[kind][name])
        for kind in ("state_dict", "ema")
        for name in first[kind]
    )


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, clips_root: Path, warm_python: WarmPython
) -> Path:
    """All runs of this file: those of one process here, those of two in one pair of processes."""
    from configs.loading import load_config
    from tests.training.conftest import TINY

    folder = tmp_path_factory.mktemp("ranks")
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    shared = [*SHARED, f"data.roots=[{clips_root}]", f"runs={folder}"]

    def run_alone(*words: str) -> None:
        fit(load_config(TrainConfig, path, [*shared, "data.batch_size=4", *words]), path)

    run_alone("name=alone", "max_steps=4", "validation.every_steps=2")
    run_alone("name=spread", "max_steps=2")
    adapters = f"lora.rank=4 optimizer.lr=0.02 max_steps=3 init_from={folder}/alone"
    run_alone("name=adapters-alone", *adapters.split())
    two = f"{' '.join(shared)} data.batch_size=1"
    sharded = f"{two} trainer.strategy=fsdp2"
    ran = warm_python.run(BOTH_RANKS, [
        str(path),
        f"{two} name=ddp max_steps=4 trainer.strategy=ddp",
        f"{two} name=adapters trainer.strategy=ddp {adapters}",
        f"{sharded} name=sharded max_steps=4 validation.every_steps=2",
        f"{sharded} name=broken max_steps=2",
        f"{sharded} name=broken max_steps=4 data.num_workers=1",
        f"{sharded} name=gathered max_steps=2",
        f"{sharded} name=spread max_steps=4",
        f"{two} name=poisoned max_steps=4 poison=7",
    ], folder, names_of_both(), seconds=280)  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    run_alone("name=gathered", "max_steps=4")
    return folder


@pytest.mark.parametrize("name", ["ddp", "sharded"])
def test_two_ranks_have_the_losses_of_one_with_the_same_global_batch(runs: Path, name: str) -> None:
    assert losses(runs / name) == pytest.approx(losses(runs / "alone"), rel=1e-4)
    alone, other = (read_whole(runs / run / "checkpoints" / "last.ckpt") for run in ("alone", name))
    assert other["position"] == alone["position"] == {"step": 4, "global_batch": 4}
    assert len(other["random_states"]) == 2
    for key, value in alone["state_dict"].items():
        assert torch.allclose(other["state_dict"][key], value, atol=1e-5), key


def test_adapters_learn_alike_on_two_ranks(runs: Path) -> None:
    alone, two = (runs / name for name in ("adapters-alone", "adapters"))
    assert losses(two) == pytest.approx(losses(alone), rel=1e-4)
    first, second = (read_whole(run / "checkpoints" / "last.ckpt") for run in (alone, two))
    assert first["state_dict"].keys() == second["state_dict"].keys()
    assert first["lora"] == second["lora"]
    for key, value in first["state_dict"].items():
        assert torch.allclose(second["state_dict"][key], value, atol=1e-4), key


def test_a_sharded_run_validates_its_average_as_one_process_does(runs: Path) -> None:
    alone, sharded = (read_scalars(runs / name) for name in ("alone", "sharded"))
    assert sharded["validation/ssim"][0] == [2, 4]
    for tag in ("validation/ssim", "gradient/control", "fusion_gate/denoiser", "loss/quartile_3",
                "loss/painted_region"):  # fmt: skip
        assert sharded[tag][1] == pytest.approx(alone[tag][1], rel=1e-4), tag


def test_a_sharded_run_that_was_stopped_goes_on_exactly(runs: Path) -> None:
    assert losses(runs / "broken") == losses(runs / "sharded")
    assert same_weights(runs / "broken", runs / "sharded")


@pytest.mark.parametrize("name", ["gathered", "spread"])
def test_a_checkpoint_loads_in_another_number_of_processes(runs: Path, name: str) -> None:
    """From two ranks, sharded, to one process; and the other way round."""
    assert losses(runs / name) == pytest.approx(losses(runs / "alone"), rel=1e-4)
    steps = [runs / name / "checkpoints" / f"step-{step:08d}.ckpt" for step in (2, 4)]
    assert [is_sharded(step) for step in steps] == [name == "gathered", name == "spread"]


def test_networks_are_read_from_a_sharded_checkpoint(runs: Path) -> None:
    content = read_checkpoint(runs / "sharded" / "checkpoints" / "last.ckpt")
    assert content.ema is not None
    assert content.step == 4
    assert {value.device.type for value in content.network.values()} == {"cpu"}


def test_every_rank_skips_a_step_that_is_bad_on_one(runs: Path) -> None:
    """Sample 7 is the second rank's: of the fourth micro-batch, in the second step."""
    lines = (runs / "poisoned" / "skipped.txt").read_text().splitlines()
    assert len(lines) == 1
    step, reason, keys = lines[0].split("\t")
    assert (step, reason, len(keys.split())) == ("2", "the loss is not finite", 1)
    poisoned, ddp = losses(runs / "poisoned"), losses(runs / "ddp")
    assert poisoned[0] == ddp[0]
    assert all(torch.isfinite(torch.tensor(poisoned)))
    assert read_scalars(runs / "poisoned")["skipped_steps"][1] == [0, 1, 1, 1]
