"""``TryOnPipeline``: a checkpoint, ready to put a garment on the person in a video.

What happens inside, in order: ``conditions.py`` (video -> what the network sees), ``painter.py``,
``long_video.py`` (windows), ``sampling.py`` (one window), ``solvers.py`` (one step).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from configs.errors import ConfigError
from curation.perception.protocols import Perception
from curation.perception.select import choose_perception
from inference.conditions import VideoConditions, perceive
from inference.garment import prepare_garment
from inference.long_video import LongVideoConfig
from inference.painter import Painter, Progress, load_system, paste_back
from inference.solvers import SamplerConfig
from inference.video_files import SourceFrame, SourceVideo, open_video, write_result


@dataclass(frozen=True, kw_only=True)
class TryOnResult:
    """A painted video that still has to be looked at or saved.

    Only the rectangle around the person is held in memory; the frames of the source are read once
    more while the result is.
    """

    source: SourceVideo
    conditions: VideoConditions
    painted: np.ndarray  # (t, height, width, 3) uint8, the rectangle around the person
    paste_back: bool
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Frames a second, the source's."""
        return self.source.fps

    def frames(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The result's frames at the source's size, one after the other."""
        for frame in self._frames():
            yield frame.image

    def save(self, path: str | Path, progress: Progress | None = None) -> Path:
        """Write an MP4 with the source's size, frame rate and sound, marked as synthetic."""
        comment = (
            f"Synthetic video: clothing replaced by VITON-DiT ({self.report.get('checkpoint', '')}"
            f", step {self.report.get('step', '?')}), {self.report.get('date', '')}"
        )
        write_result(path, self._frames(progress), self.source, comment)
        return Path(path)

    def _frames(self, progress: Progress | None = None) -> Iterator[SourceFrame]:
        framing, mask = self.conditions.framing, self.conditions.mask
        for index, frame in zip(range(len(self.painted)), self.source.frames(), strict=False):
            result = framing.put_back(frame.image, self.painted[index])
            if self.paste_back:
                whole_mask = framing.put_back(
                    np.zeros(frame.image.shape[:2], np.uint8), mask[index]
                )
                result = paste_back(frame.image, result, whole_mask)
            yield replace(frame, image=result)
            if progress is not None:
                progress("writing", index + 1, len(self.painted))


class TryOnPipeline:
    """Built once, called for any number of videos.

    Args:
        painter: a trained system.
        perception: makes the conditions of a user's video; None chooses at first use.
        report: where the weights came from; passed on with every result.
    """

    def __init__(
        self,
        painter: Painter,
        perception: Perception | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        self.painter = painter
        self._perception = perception
        self.report = dict(report or {})

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str = "auto",
        weights: str = "ema",
        sampler: SamplerConfig | None = None,
        long_video: LongVideoConfig | None = None,
        precision: str = "auto",
        compile: bool = False,
        perception: Perception | None = None,
    ) -> "TryOnPipeline":
        """Load a training checkpoint of stage 2 or 3.

        Args:
            path: ``runs/<name>/checkpoints/last.ckpt``.
            device: auto, cpu, cuda, cuda:1, ...
            weights: ema (their running average, where there is one) or raw.
            sampler: see ``SamplerConfig``.
            long_video: see ``LongVideoConfig``.
            precision: float32, bfloat16, or auto: bfloat16 on CUDA.
            compile: compile the blocks at first use; see ``Painter``.
            perception: makes the conditions; None chooses at first use.

        Raises:
            ConfigError: settings that do not exist.
            DataError: no checkpoint, or one that cannot be used for try-on.
        """
        loaded = load_system(path, weights)
        return cls(
            Painter(loaded.system, device, sampler, long_video, precision, compile),
            perception=perception,
            report={
                "checkpoint": loaded.checkpoint,
                "step": loaded.step,
                "weights": loaded.weights,
            },
        )

    def __call__(
        self,
        video: str | Path,
        garment: str | Path,
        category: str = "upper",
        seed: int = 0,
        paste_back: bool = True,
        progress: Progress | None = None,
    ) -> TryOnResult:
        """Put a garment on the person in a video file.

        Args:
            video: file with one person; several: the surest found is dressed.
            garment: image file, a product photo on any ground.
            category: what it replaces: upper, lower or overall.
            seed: another seed, another result; 0 or more.
            paste_back: outside the mask keep the source's own pixels.
            progress: told what is being done and how far it is.

        Raises:
            ConfigError: a setting that does not exist.
            DataError: a file that cannot be used, or nobody in the video.
        """
        if seed < 0:
            raise ConfigError(f"seed={seed}; 0 or more is expected")
        config = self.painter.system.config
        source = open_video(video)
        picture = prepare_garment(garment, config.height, config.width)
        if self._perception is None:
            self._perception = choose_perception("auto")
        conditions = perceive(
            source, category, config.height, config.width, self._perception, progress
        )
        painted = self.painter.paint(
            conditions.frames,
            conditions.mask,
            conditions.densepose,
            picture,
            seed,
            progress=progress,
        )
        infos = self._perception.infos()
        report = {
            **self.report,
            "date": datetime.now(UTC).date().isoformat(),
            "video": str(video),
            "garment": str(garment),
            "category": category,
            "seed": seed,
            "num_frames": len(painted),
            "num_frames_without_person": conditions.num_without_person,
            "perception": {role: f"{info.name} {info.version}" for role, info in infos.items()},
            "codec": self.painter.system.codec.name,
            "sampler": f"{self.painter.sampler.solver}, {self.painter.sampler.num_steps} steps",
            "long_video": self.painter.long_video.method,
            "device": str(self.painter.device),
        }
        return TryOnResult(
            source=source,
            conditions=conditions,
            painted=painted,
            paste_back=paste_back,
            report=report,
        )

    def paint(
        self,
        video: UInt8[np.ndarray, "t h w 3"],
        mask: UInt8[np.ndarray, "t h w"],
        densepose: UInt8[np.ndarray, "t h w 3"],
        garment: UInt8[np.ndarray, "h2 w2 3"],
        seed: int = 0,
        paste_back: bool = False,
        progress: Progress | None = None,
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Paint a video whose conditions are given; see ``Painter.paint``."""
        return self.painter.paint(video, mask, densepose, garment, seed, paste_back, progress)
