"""Settings of ``make codec``."""

from dataclasses import dataclass, field

from configs.checks import check_range


@dataclass(frozen=True, kw_only=True)
class CodecTraining:
    """How to train the embedded codec, and on what.

    Attributes:
        out: the weights' file, ``.safetensors``; the record is written beside it as ``.json``.
        work: folder of rendered pictures and of the checkpoint to resume from.
        latent_channels: 4 to 192.
        num_clips: rendered dancers to learn from, two frames each.
        num_unseen: rendered dancers of another seed and split, one frame each, to score on.
        num_garments: rendered product pictures to learn from.
        workers: processes that render; 0 uses every core.
        real: a folder of photos and videos with their licences in SOURCES.tsv; None: none.
        real_files: which of them are used, as patterns relative to the folder.
        real_unseen: which of those are only scored on.
        frames_per_video: frames taken from each video, evenly spaced.
        max_steps: optimizer steps.
        batch_size: crops per step.
        crop: height and width of a crop in pixels, a multiple of 8.
        lr: of AdamW, after warm-up; falls to a hundredth along a cosine.
        warmup_steps: steps of linear warm-up.
        latent_noise: largest standard deviation of the noise added to latents, at whitening 0.5.
        ssim_weight: of 1 - SSIM in the loss.
        edge_weight: of the error of neighbouring pixels' differences in the loss.
        ema_decay: of the averaged weights, which are what is written.
        checkpoint_every_steps: steps between checkpoints.
        seed: determines every draw.
    """

    out: str = "runs/codec/codec.safetensors"
    work: str = "runs/codec"
    latent_channels: int = 16
    num_clips: int = 400
    num_unseen: int = 40
    num_garments: int = 80
    workers: int = 0
    real: str | None = None
    real_files: list[str] = field(default_factory=lambda: ["*", "*/*"])
    real_unseen: list[str] = field(default_factory=list)
    frames_per_video: int = 12
    max_steps: int = 8000
    batch_size: int = 8
    crop: int = 80
    lr: float = 2.0e-3
    warmup_steps: int = 200
    latent_noise: float = 0.2
    ssim_weight: float = 0.05
    edge_weight: float = 0.5
    ema_decay: float = 0.998
    checkpoint_every_steps: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("num_clips", "num_unseen", "max_steps", "batch_size", "frames_per_video")
        check_range(self, *counts, "checkpoint_every_steps", least=1)
        check_range(self, "num_garments", "workers", "warmup_steps", "seed", least=0)
        check_range(self, "latent_noise", "ssim_weight", "edge_weight", least=0)
        check_range(self, "latent_channels", least=4, most=192)
        check_range(self, "lr", above=0)
        check_range(self, "ema_decay", least=0, below=1)
        if self.crop < 32 or self.crop % 8:
            raise ValueError(f"crop is {self.crop}; accepted: multiples of 8 from 32 on")
        if not self.out.endswith(".safetensors"):
            raise ValueError(f"out is {self.out!r}; accepted: a name that ends in .safetensors")
        if self.real_unseen and self.real is None:
            raise ValueError("real_unseen names files, but real=DIR is not given")
