"""A trained system that paints videos of any size and length whose conditions are given."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from configs.errors import ConfigError, DataError
from configs.loading import from_plain
from datasets.clips import fit_garment
from datasets.loading.densepose_batch import draw_iuv
from datasets.places import body_cells, outline_of
from datasets.sample import bytes_to_signed, compose_agnostic, signed_to_bytes
from inference.checkpoint_choice import find_adapter
from inference.progress import PAINTING, Progress, Tracker
from inference.sampling.detail import MOST, ClothDetail
from inference.sampling.latent_video import Journal, Latents, paint_latents, paint_video
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.seam import paste
from inference.sampling.solvers import SamplerConfig
from inference.video.framing import CropWindow, frame_everything
from models.acceleration import compile_blocks, round_blocks
from models.checkpoints import checkpoint_sha256, load_network, read_checkpoint
from models.conditions import Conditions
from models.system import System, SystemConfig, build_system
from models.weights.adapters import Adapter, add_adapter, read_adapter

WEIGHTS = ("ema", "raw")
PRECISIONS = ("auto", "float32", "bfloat16")
CODEC_FRAMES = 16  # frames encoded or decoded at once


@dataclass(frozen=True, kw_only=True)
class LoadedSystem:
    """A system with a checkpoint's weights, and where they came from."""

    system: System
    checkpoint: str
    step: int
    weights: str  # ema or raw: which were actually loaded
    sha256: str  # of the checkpoint's file
    sampler: dict[str, Any] | None  # which it was made for; see ``choose_sampler``
    lora: Adapter | None = None  # added to the weights

    @property
    def facts(self) -> dict[str, Any]:
        """Checkpoint, step, weights and sha256, and those of an adapter, for reports."""
        facts = {name: getattr(self, name) for name in ("checkpoint", "step", "weights", "sha256")}
        if self.lora is not None:
            about = ("path", "step", "weights", "sha256", "rank")
            facts["lora"] = {name: getattr(self.lora, name) for name in about}
        return facts


def load_system(
    path: str | Path,
    weights: str = "ema",
    any_stage: bool = False,
    lora: str | Path | None = None,
) -> LoadedSystem:
    """Load a training checkpoint of stage 2 or 3, and add an adapter to it.

    Args:
        path: ``runs/<name>/checkpoints/last.ckpt``, or a folder made by ``make export``.
        weights: ema (their running average, if the checkpoint has one) or raw.
        any_stage: accept earlier stages too, for comparison: networks that they do not have yet
            contribute nothing, as at the start of their own stage.
        lora: an adapter of this checkpoint, see ``find_adapter``; None: none.

    Raises:
        ConfigError: unknown ``weights``, or a system that does not fit this version.
        DataError: no checkpoint, or one that cannot be used for try-on; an adapter of another one.
    """
    if weights not in WEIGHTS:
        raise ConfigError(f"weights={weights!r}; one of {', '.join(WEIGHTS)} is expected")
    if not Path(path).exists():
        raise DataError(f"checkpoint {path} does not exist; `make demo` trains a small one")
    try:
        content = read_checkpoint(path)
        taken, kind = content.choose(weights)
        parts = {name.partition(".")[0] for name in taken}
        absent = [part for part in ("garment", "control") if part not in parts]
        if absent and not any_stage:
            raise DataError(
                f"checkpoint {path} has no {' and no '.join(absent)} network; "
                "try-on needs a checkpoint of stage 2 or 3"
            )
        adapter = None if lora is None else read_adapter(find_adapter(lora), weights)
        if adapter is not None:
            taken = add_adapter(taken, adapter, str(path))
        system = build_system(from_plain(SystemConfig, content.system, str(path)))
        load_network(system.network, taken, str(path), [f"{part}." for part in absent])
    except (DataError, ConfigError):
        raise
    except ValueError as error:
        raise DataError(str(error)) from error
    return LoadedSystem(
        system=system,
        checkpoint=str(path),
        step=content.step,
        weights=kind,
        sha256=checkpoint_sha256(Path(path)),
        sampler=(adapter and adapter.sampler) or content.sampler,
        lora=adapter,
    )


class Painter:
    """Conditions in, frames out.

    Args:
        system: networks with their weights; modified: moved to the device, rounded or compiled.
        device: auto, cpu, cuda, cuda:1, ...
        sampler: solver, steps, guidance.
        long_video: windows.
        precision: float32, bfloat16 (autocast, with the blocks' weights stored in it), or auto:
            bfloat16 on CUDA.
        compile: compile the blocks at first use: a minute or more for each window shape, then
            faster steps.
    """

    def __init__(
        self,
        system: System,
        device: str = "auto",
        sampler: SamplerConfig | None = None,
        long_video: LongVideoConfig | None = None,
        precision: str = "auto",
        compile: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"precision={precision!r}; one of {', '.join(PRECISIONS)} is expected"
            )
        self.system = system
        self.device = torch.device(_resolve_device(device))
        self.system.network.to(self.device).eval()
        self.sampler = sampler or SamplerConfig()
        self.long_video = long_video or LongVideoConfig()
        self.uses_bfloat16 = precision == "bfloat16" or (
            precision == "auto" and self.device.type == "cuda"
        )
        if self.uses_bfloat16:
            round_blocks(self.system.network)
        if compile:
            compile_blocks(self.system.network)

    @torch.no_grad()
    def paint(
        self,
        video: UInt8[np.ndarray, "t h w 3"],
        mask: UInt8[np.ndarray, "t h w"],
        iuv: UInt8[np.ndarray, "t h w 3"],
        garment: UInt8[np.ndarray, "h2 w2 3"],
        seed: int = 0,
        paste_back: bool = False,
        progress: Progress | None = None,
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Paint a video whose conditions are given.

        Frames of another size than the system's are scaled to fit inside it, and back.

        Args:
            video: the frames.
            mask: 255 = to be painted. Frames without any are kept.
            iuv: DensePose: I, U, V.
            garment: on a plain ground.
            seed: selects the noise; 0 or more.
            paste_back: keep the video's own pixels outside the mask, exactly. Off for metrics.
            progress: called with the stage and its progress.
        """
        tracker = Tracker(progress, (PAINTING,))
        tracker.start(PAINTING)
        control = torch.cat(
            [
                self.encode_frames(video[rows], mask[rows], iuv[rows])
                for rows in codec_runs(len(video))
            ],
            dim=1,
        )
        with self._autocast():
            latents = paint_video(
                self.system, control, self.garment_conditions(garment), self.sampler,
                self.long_video, seed, tracker.report,
            )  # fmt: skip
        painted = np.empty_like(video)
        framing = self.framing_of(video[0])
        labels = (
            np.stack([framing.take_labels(row) for row in iuv[rows]])
            for rows in codec_runs(len(video))
        )
        detail = self.detail(garment, framing.height, labels, self.system.config.fps)
        large = detail.framing(framing)
        for rows in codec_runs(len(video)):
            images, _ = detail(
                rows,
                self.decode_frames(latents[:, rows]),
                np.stack([large.take_mask(row) for row in mask[rows]]),
                np.stack([large.take_labels(labels) for labels in iuv[rows]]),
                source=np.stack([large.take(frame) for frame in video[rows]]),
            )
            for index, image in enumerate(images, rows.start):
                painted[index] = framing.put_back(video[index], image)
                if paste_back:
                    person = detail.person(iuv[index])
                    painted[index] = paste(video[index], painted[index], mask[index], person)
        return painted

    @torch.no_grad()
    def paint_latents(
        self,
        control: Latents,
        latents: Latents,
        kept: Sequence[bool],
        garment: UInt8[np.ndarray, "h2 w2 3"],
        seed: int,
        on_progress: Callable[[int, int], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Paint a video whose control input is already encoded; see ``latent_video.py``."""
        with self._autocast():
            paint_latents(
                self.system, control, latents, kept, self.garment_conditions(garment), self.sampler,
                self.long_video, seed, on_progress, journal,
            )  # fmt: skip

    @torch.no_grad()
    def encode_frames(
        self,
        video: UInt8[np.ndarray, "t h w 3"] | Sequence[np.ndarray],
        mask: UInt8[np.ndarray, "t h w"],
        iuv: UInt8[np.ndarray, "t h w 3"],
    ) -> Float[Tensor, "k t y x"]:
        """What ``System.unpack_control`` takes apart again, for some frames, on the CPU."""
        framing = self.framing_of(video[0])
        frames = _to_signed(np.stack([framing.take(frame) for frame in video])).to(self.device)
        labels = torch.from_numpy(np.stack([framing.take_labels(labels) for labels in iuv]))
        labels = labels.to(self.device)
        poses = draw_iuv(labels, self.system.config.densepose)[None]
        masks = torch.from_numpy(np.stack([framing.take_mask(row) for row in mask]) > 127)
        masks = rearrange(masks, "t h w -> 1 t 1 h w").float().to(self.device)
        control = self.system.encode_control(compose_agnostic(frames, masks), masks, poses)
        if self.system.config.network.finds_places:
            body = rearrange(body_cells(labels), "t k y x -> 1 k t y x")
            control = self.system.pack_control(control, body)
        return control[0].float().cpu()

    @torch.no_grad()
    def decode_frames(self, latents: Float[Tensor, "c t y x"]) -> UInt8[np.ndarray, "t h w 3"]:
        """Latents -> pictures of the system's size."""
        return _to_bytes(self.system.codec.decode(latents[None].to(self.device))[0])

    def garment_conditions(self, garment: np.ndarray) -> Conditions:
        """Caption and garment as every window sees them: computed once per video."""
        config, network = self.system.config, self.system.network
        scale = config.garment_scale
        fitted = fit_garment(garment, scale * config.height, scale * config.width)
        picture = _to_signed(fitted[None])[:, 0]
        outline = torch.from_numpy(outline_of(fitted))[None].to(self.device) / 255
        garment_latents = self.system.codec.encode_images(picture.to(self.device))
        caption = network.encode_caption(*self.system.captions(1))
        features = network.encode_garment(garment_latents, caption, outline)
        return network.project(Conditions(caption=caption, garment=features))

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the garment's picture that shows all that results can show."""
        config = self.system.config
        scale = max(config.garment_scale, MOST if config.network.warped_garment else 1)
        return scale * config.height, scale * config.width

    def detail(
        self, garment: np.ndarray, height: int, iuv: Iterable[np.ndarray], fps: float
    ) -> ClothDetail:
        """See ``ClothDetail``."""
        with torch.no_grad(), self._autocast():
            conditions = self.garment_conditions(garment)
        return ClothDetail(self.system, conditions, garment, height, iuv, fps)

    def framing_of(self, frame: np.ndarray) -> CropWindow:
        """How a (height, width, ...) frame is scaled to the system's size, and back."""
        config = self.system.config
        return frame_everything(frame.shape[0], frame.shape[1], config.height, config.width)

    def weights_sha256(self) -> str:
        """Of the network's weights, for systems that come from no file."""
        digest = hashlib.sha256()
        for name, value in self.system.network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a frame's latents."""
        channels, _, height, width = self.system.config.latent_shape
        return channels, height, width

    @property
    def control_channels(self) -> int:
        """Of ``encode_frames``."""
        return self.system.config.control_channels

    @property
    def settings(self) -> dict[str, Any]:
        """Sampler and windows, as plain values: part of what a result depends on."""
        return {"sampler": asdict(self.sampler), "long_video": asdict(self.long_video)}

    @property
    def codec_identity(self) -> dict[str, Any]:
        """What encoded frames depend on."""
        config = self.system.config
        return {
            "codec": asdict(config.codec),
            "size": [config.height, config.width],
            "conditions": [config.densepose, config.network.finds_places],
        }

    def _autocast(self) -> Any:
        if not self.uses_bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def codec_runs(num_frames: int) -> Iterator[slice]:
    """Runs of frames that the codec encodes or decodes at once."""
    for start in range(0, num_frames, CODEC_FRAMES):
        yield slice(start, min(start + CODEC_FRAMES, num_frames))


def _resolve_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device={device}, but torch sees no CUDA device; use device=cpu")
    return device


def _to_signed(frames: np.ndarray) -> Float[Tensor, "1 t 3 h w"]:
    signed = bytes_to_signed(torch.from_numpy(frames.copy()))
    return rearrange(signed, "t h w c -> 1 t c h w").contiguous()


def _to_bytes(video: Float[Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    return rearrange(signed_to_bytes(video.cpu()), "t c h w -> t h w c").numpy()
