"""Train one stage: ``python -m training.fit CONFIG.yaml key=value ...``.

The order matters: everything that can be checked is checked before anything is loaded. Settings,
machine, start checkpoint, data, networks, weights, steps. Every process of a run executes all of
it; only the first one writes.
"""

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from configs.command import run_command
from configs.errors import ConfigError
from configs.loading import load_config, save_config, split_arguments
from datasets.loading.datamodule import TryOnData
from datasets.shards import find_shards
from models.acceleration import checkpoint_blocks, compile_blocks, parse_checkpointing
from models.system import System, build_system
from training.callbacks.checkpointing import Checkpoints
from training.callbacks.data_counts import DataCounts
from training.callbacks.each_step import FreeGradients
from training.callbacks.ema import Ema
from training.callbacks.pictures import Pictures
from training.callbacks.progress import StepProgress
from training.callbacks.run_log import RunLog
from training.callbacks.step_timer import StepTimer
from training.callbacks.stopping import EXIT_STOPPED, StopSignals, requeue
from training.checkpoints.files import WholeFiles
from training.checkpoints.init_from import (
    check_init_from,
    check_same_clips,
    find_resume,
    start_from,
    start_from_trunk,
)
from training.checkpoints.place_fitting import fit_places
from training.config import TrainConfig
from training.distributed.world import (
    build_strategy,
    environment_plugins,
    find_world,
    global_batch,
    is_slurm,
    launched_rank,
    settle,
)
from training.encoding import cache_key, pinned, sample_format
from training.freezing import format_table, learning_table
from training.frozen_weights import round_frozen
from training.lora.adapters import check_same_base, require_peft
from training.module import TryOnModule
from training.optimizers import check_states
from training.planning.fit_check import check_fits
from training.report import write_report

logger = logging.getLogger(__name__)

USAGE = 'make train-stage3 [CONFIG=configs/stage3.yaml] [ARGS="key=value ..."]'


def read_arguments(argv: list[str]) -> TrainConfig:
    """The settings of ``CONFIG.yaml key=value ...``, if their data are there.

    Raises:
        ConfigError: a file, key or value is refused.
        DataError: one of ``data.roots`` is no curated folder.
    """
    config = load_config(TrainConfig, *split_arguments(argv, USAGE))
    for root in config.data.roots if config.data.latents is None else ():
        find_shards(root, "train")
    return config


def main(argv: list[str]) -> int:
    """Read the settings and train; returns 75 or 130 if a signal stopped the run before its end."""
    path, overrides = split_arguments(argv, USAGE)
    signals = StopSignals()
    module = fit(load_config(TrainConfig, path, overrides), path, signals)
    if not signals.is_stopping:
        return 0
    logger.warning("stopped by a signal at step %d of %d; rerun the same command to resume",
                   module.trainer.global_step, module.config.max_steps)  # fmt: skip
    if is_slurm() and signals.exit_code == EXIT_STOPPED:
        requeue()
    return signals.exit_code


def fit(config: TrainConfig, path: Path, signals: StopSignals | None = None) -> TryOnModule:
    """Train one stage, resuming if it was started before; returns the trained module.

    Args:
        config: the run's settings.
        path: the file they came from, for messages.
        signals: know afterwards whether the run was stopped.
    """
    config = settle(config, find_world(config.trainer))
    is_first = launched_rank() == 0
    if not is_first:
        logging.getLogger("training").setLevel(logging.WARNING)
    check_states(config.optimizer)
    require_peft(config.lora)
    config = pinned(config)
    check_fits(config, path)
    folder = Path(config.runs) / config.name
    resume = find_resume(config, folder)
    start = check_init_from(config, path) if resume is None or config.lora.rank else None
    settings = config.data
    if not config.looks_at_val:
        settings = replace(settings, num_validation_clips=0)  # val shards are not used
    data = TryOnData(
        settings, config.system.height, config.system.width, config.seed,
        config.trainer.accumulate, cache_key(config) if settings.latents else None,
        sample_format(config.system),
    )  # fmt: skip
    data.setup()
    if resume is not None:
        check_same_clips(config, resume[0], data.fingerprint)
    if config.trainer.num_threads:
        torch.set_num_threads(config.trainer.num_threads)
    module = TryOnModule(config, _build(config, start), folder)
    if module.adapters is not None and resume is not None:
        check_same_base(resume[0], module.adapters)
    if resume is None and module.adapters is None and "garment" in config.parts:
        fit_places(module.network, data)
    _accelerate(config, module)
    rows = learning_table(module.network)
    rule = f"preset {config.freeze.preset}" if module.adapters is None else "LoRA"
    logger.info("%s, %s:\n%s", config.stage, rule, format_table(rows))
    if is_first:
        save_config(config, folder / "config.yaml")
    if resume is not None:
        logger.info("%s: resuming from step %d of %d", folder, resume[1], config.max_steps)
    else:
        logger.info("%s: a new run of %d steps on %d clips", folder, config.max_steps,
                    data.num_clips)  # fmt: skip
    if resume is None or resume[1] < config.max_steps:
        _train(config, module, data, folder, resume[0] if resume else None,
               signals or StopSignals())  # fmt: skip
    if is_first:
        logger.info("report: %s", write_report(folder, config, rows))
        if module.adapters is not None:
            logger.info(
                "to use the adapters: `make tryon VIDEO=v.mp4 GARMENT=g.png OUT=o.mp4 "
                'ARGS="checkpoint=%s lora=%s"`', config.init_from, folder,
            )  # fmt: skip
    if module.skipped.total:
        logger.warning("%d steps were skipped in total; their samples: %s",
                       module.skipped.total, module.skipped.file)  # fmt: skip
    return module


def _build(config: TrainConfig, start: Path | None) -> System:
    """The system with its initial weights."""
    lightning.seed_everything(config.seed, verbose=False)
    try:
        system = build_system(config.system)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if start is not None:
        needed = config.parts if config.lora.rank else ()
        start_from(system.network, start, config.init_weights, config.system.codec, needed)
    elif config.trunk_weights is not None:
        start_from_trunk(system.network, Path(config.trunk_weights))
    return system


def _accelerate(config: TrainConfig, module: TryOnModule) -> None:
    """Apply the config's memory and speed settings, which do not change the network's numbers."""
    machine = config.trainer
    if machine.frozen_dtype == "bfloat16":
        round_frozen(module.network)
    checkpoint_blocks(module.network, parse_checkpointing(machine.activation_checkpointing))
    if machine.compile:
        compile_blocks(module.network)


def _train(
    config: TrainConfig,
    module: TryOnModule,
    data: TryOnData,
    folder: Path,
    resume: Path | None,
    signals: StopSignals,
) -> None:
    machine = config.trainer
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    interval = config.validation.every_steps if config.looks_at_val else 0
    sharded = machine.strategy == "fsdp2"
    trainer = lightning.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.num_nodes,
        strategy=build_strategy(machine),
        plugins=[*environment_plugins(), *([] if sharded else [WholeFiles()])],
        precision=machine.precision,  # pyright: ignore[reportArgumentType]  (checked in TrainerConfig)
        accumulate_grad_batches=machine.accumulate,
        max_steps=config.max_steps,
        max_epochs=-1,
        logger=_loggers(config),
        callbacks=build_callbacks(config, data, folder, signals),
        val_check_interval=interval * machine.accumulate if interval else None,
        check_val_every_n_epoch=None,
        limit_val_batches=None if interval else 0,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    with warnings.catch_warnings():
        # our loader is infinite and numbered: it needs neither more workers nor a saved position
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*resuming from a checkpoint.*mid-epoch.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning against torch 2.14
        # of the prediction, which nothing writes into
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except SystemExit as leaving:  # Lightning exits silently on Ctrl-C
            raise (KeyboardInterrupt if trainer.interrupted else leaving) from None


def build_callbacks(
    config: TrainConfig, data: TryOnData, folder: Path, signals: StopSignals
) -> list[lightning.Callback]:
    """Callbacks in any order: they read the module's records; Lightning puts checkpoints last."""
    machine = config.trainer
    return [
        *([Ema(config.ema)] if config.ema.enabled else []),
        FreeGradients(),
        RunLog(),
        StepTimer(global_batch(config)),
        DataCounts(data),
        StepProgress(config.max_steps),
        Pictures(folder / "samples", config.system.fps),
        Checkpoints(
            folder / "checkpoints", machine.checkpoint_every_steps, machine.keep_last,
            machine.keep_best, signals,
        ),
    ]  # fmt: skip


def _loggers(config: TrainConfig) -> list[Logger]:
    """TensorBoard always; Weights & Biases if a project is set."""
    loggers: list[Logger] = [TensorBoardLogger(save_dir=config.runs, name=config.name, version="")]
    if config.trainer.wandb_project is not None:
        from training.callbacks.wandb_logging import build_wandb_logger

        loggers.append(build_wandb_logger(config))
    return loggers


if __name__ == "__main__":
    run_command(main)
