import pytest

from configs.errors import ConfigError
from configs.loading import load_config
from training.config import TrainConfig, TrainerConfig
from training.distributed.world import find_world, global_batch, settle

TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}
SLURM = {"SLURM_NTASKS": "16", "SLURM_NNODES": "4", "SLURM_PROCID": "3", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, (1, 1)), (TORCHRUN, (8, 2)), (SLURM, (4, 4)),
     (SLURM | {"SLURM_JOB_NAME": "bash"}, (1, 1))],
)  # fmt: skip
def test_launchers_say_how_many_processes_there_are(
    environ: dict[str, str], expected: tuple[int, int]
) -> None:
    world = find_world(TrainerConfig(), environ)
    assert (world.devices, world.num_nodes) == expected


def test_settings_that_ask_for_others_than_were_started_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices is 4, and torchrun started 8"):
        find_world(TrainerConfig(devices=4), TORCHRUN)
    assert find_world(TrainerConfig(devices=8, num_nodes=2), TORCHRUN).size == 16


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_the_global_batch_stays_when_the_number_of_devices_changes(devices: int) -> None:
    words = ["trainer.global_batch=16", "data.batch_size=2", f"trainer.devices={devices}"]
    config = load_config(TrainConfig, "configs/stage3.yaml", words)
    settled = settle(config, find_world(config.trainer, {}))
    assert settled.trainer.accumulate == 8 // devices
    assert global_batch(settled) == 16


def test_a_global_batch_that_cannot_be_shared_says_what_can() -> None:
    config = load_config(
        TrainConfig, "configs/stage3.yaml", ["trainer.global_batch=12", "data.batch_size=1"]
    )
    with pytest.raises(ConfigError, match=r"12, which 16 devices .* a multiple of 16"):
        settle(config, find_world(config.trainer, TORCHRUN))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.strategy=deepspeed"], "auto, ddp, fsdp2"),
        (["trainer.strategy=fsdp2", "optimizer.states=8bit"], "does not work with"),
        (["trainer.strategy=fsdp2", "ema.device=cpu"], "does not work with"),
        (["trainer.strategy=fsdp2", "trainer.frozen_dtype=bfloat16"], "not fsdp2"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(TrainConfig, "configs/stage3.yaml", words)
