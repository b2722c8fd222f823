"""The settings of a training run: the four stages differ in these settings, not in code."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from configs.checks import check_choices, check_range
from datasets.loading.config import DataConfig
from inference.sampling.solvers import SamplerConfig
from models.acceleration import parse_checkpointing
from models.system import SystemConfig
from training.freezing import PARTS, STAGES, FreezeConfig
from training.lora.config import LoraConfig
from training.objective import ObjectiveConfig
from training.optimizers import OptimizerConfig

RESUME = ("auto", "never")
INIT_WEIGHTS = ("ema", "raw")
ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
BEST_BY = ("auto", "ssim", "lpips", "vfid_i3d", "vfid_resnext")
EMA_DEVICES = ("auto", "cpu")
FROZEN_DTYPES = ("float32", "bfloat16")
STRATEGIES = ("auto", "ddp", "fsdp2")
STAGE_PARTS = {
    "pretrain": ["denoiser"],
    "stage1": ["denoiser", "garment"],
    "stage2": ["denoiser", "garment", "control"],
    "stage3": ["denoiser", "garment", "control"],
}
"""Networks used by each stage unless its YAML sets ``parts``."""


@dataclass(frozen=True, kw_only=True)
class EmaConfig:
    """Exponential moving average of the trainable weights."""

    enabled: bool = True
    decay: float = 0.9999  # reached as (1 + step) / (10 + step) grows
    device: str = "auto"  # the weights' device; or cpu: saves GPU memory, costs a copy a step

    def __post_init__(self) -> None:
        check_range(self, "decay", least=0, below=1)
        check_choices(self, device=EMA_DEVICES)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Videos sampled from held-out clips with fixed noise; and how this network is sampled.

    ``sampler`` holds in validation and, written into the checkpoint, wherever that is used, unless
    a user overrides it (``SamplerChoice``).
    """

    every_steps: int = 1000  # 0: never
    best_by: str = "auto"  # metric that chooses the best checkpoint; auto: vfid_i3d, else ssim
    sampler: SamplerConfig = field(default_factory=SamplerConfig)

    def __post_init__(self) -> None:
        check_range(self, "every_steps", least=0)
        check_choices(self, best_by=BEST_BY)


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Devices, precision, checkpoints and logging of a run."""

    accelerator: str = "auto"
    devices: int = 1  # per node; torchrun and Slurm set it themselves
    num_nodes: int = 1
    strategy: str = "auto"  # one device, or ddp; fsdp2 shards weights and states over the devices
    precision: str = "32-true"
    accumulate: int = 1  # micro-batches in one optimizer step
    global_batch: int = 0  # windows a step sees over all devices; above 0: accumulate follows
    checkpoint_every_steps: int = 500
    keep_last: int = 2  # checkpoints: the newest; 2, so that a damaged one does not end a run
    keep_best: int = 1  # and those that validation likes best (validation.best_by)
    log_every_steps: int = 10
    num_threads: int = 0  # torch threads on a CPU; 0: torch's default
    activation_checkpointing: str = "none"  # blocks, or every_<n>: recompute instead of keeping
    compile: bool = False  # torch.compile, one graph per kind of block and shape
    frozen_dtype: str = "float32"  # bfloat16: store frozen blocks as bf16-mixed rounds them anyway
    max_skipped: int = 20  # consecutive non-finite steps that end the run
    wandb_project: str | None = None  # also log to Weights & Biases; make setup-wandb

    def __post_init__(self) -> None:
        check_choices(
            self, accelerator=ACCELERATORS, precision=PRECISIONS, frozen_dtype=FROZEN_DTYPES,
            strategy=STRATEGIES,
        )  # fmt: skip
        parse_checkpointing(self.activation_checkpointing)
        if self.frozen_dtype == "bfloat16" and self.precision != "bf16-mixed":
            raise ValueError(
                f"frozen_dtype bfloat16 needs precision bf16-mixed, which rounds these weights"
                f" at every use, not {self.precision!r}"
            )
        if self.strategy == "fsdp2" and self.frozen_dtype == "bfloat16":
            raise ValueError("frozen_dtype bfloat16 works on one device or with ddp, not fsdp2")
        counts = ("devices", "num_nodes", "accumulate", "checkpoint_every_steps", "log_every_steps")
        check_range(self, *counts, "keep_last", "max_skipped", least=1)
        check_range(self, "num_threads", "global_batch", "keep_best", least=0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of one stage.

    ``init_from`` names another run whose weights this one starts from; ``resume`` is whether this
    run continues from its own checkpoint. ``REMOVED`` holds settings of older versions, with the
    value as with which every run works now.
    """

    REMOVED: ClassVar[dict[str, Any]] = {
        "data.posterior": "mean",
        "objective.known_frames": False,
        "objective.min_snr": None,
    }

    name: str
    stage: str
    runs: str = "runs"  # the run's folder is runs/name
    seed: int = 0
    max_steps: int = 10_000
    init_from: str | None = None  # a training checkpoint: runs/<stage before>/checkpoints/last
    init_weights: str = "ema"  # which of its weights, if it has both; or raw
    trunk_weights: str | None = None  # for stage 1: public, Open-Sora v1.0 or PixArt-alpha
    resume: str = "auto"  # auto: continue from the run's own checkpoint; never: refuse to
    parts: list[str] = field(default_factory=list)  # empty: those of the stage
    system: SystemConfig = field(default_factory=SystemConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"name {self.name!r} must be a plain folder name")
        check_choices(self, stage=STAGES, resume=RESUME, init_weights=INIT_WEIGHTS)
        check_range(self, "max_steps", least=1)
        if not self.parts:
            object.__setattr__(self, "parts", list(STAGE_PARTS[self.stage]))
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or "denoiser" not in self.parts:
            raise ValueError(f"parts = {list(self.parts)}: use denoiser, and garment and control")
        if self.init_from is not None and self.trunk_weights is not None:
            raise ValueError("init_from and trunk_weights are both given; a run starts from one")
        if self.lora.rank and self.init_from is None:
            raise ValueError(
                f"lora.rank = {self.lora.rank} adapts a trained model, and init_from is null; set"
                " init_from to its checkpoint, its run's folder or its exported folder"
            )
        if self.lora.rank and self.trainer.strategy == "fsdp2":
            raise ValueError("lora works on one device or with trainer.strategy ddp, not fsdp2")
        if self.trainer.strategy == "fsdp2":
            for name, value in (("optimizer.states", self.optimizer.states),
                                ("ema.device", self.ema.device)):  # fmt: skip
                if value in ("8bit", "cpu"):
                    raise ValueError(f"{name} = {value} does not work with trainer.strategy fsdp2")
        if self.data.num_frames > self.system.num_frames:
            raise ValueError(
                f"data.num_frames = {self.data.num_frames} is more than system.num_frames = "
                f"{self.system.num_frames}, the most the system supports"
            )

    @property
    def looks_at_val(self) -> bool:
        """Whether held-out clips are sampled during training; if not, no val shards are needed."""
        return self.validation.every_steps > 0 and self.data.num_validation_clips > 0
