"""``TryOnPipeline``: a checkpoint, ready to put a garment on a person in a video of any length.

What happens inside, in order: ``perceiving.py`` (video -> what the network sees, on disk),
``painter.py``, ``latent_video.py`` (windows), ``sampling.py`` (one window), ``solvers.py`` (one
step), ``result.py`` (back into the source's frames).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from configs.errors import ConfigError
from curation.perception.protocols import Perception
from curation.perception.select import choose_perception
from datasets.storage import settings_sha256, write_file
from inference.conditions.garment import prepare_garment
from inference.conditions.given import GivenConditions, read_conditions
from inference.conditions.people import Cast
from inference.conditions.perceive import cast_of, check_category, perceive, study
from inference.conditions.stored import ConditionFrame, VideoConditions
from inference.progress import (
    CONDITIONS,
    ENCODING,
    FINDING,
    PAINTING,
    STAGES,
    WRITING,
    Progress,
    Rates,
    Tracker,
)
from inference.result import TryOnResult
from inference.sampling.latent_video import FileLatents, Journal
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.painter import CODEC_FRAMES, BuildStored, Painter, build_stored, load_system
from inference.sampling.solvers import SamplerConfig
from inference.video.source import SourceVideo, VideoLimits, open_video
from inference.video.work_folder import WorkFolder


class TryOnPipeline:
    """Built once, called for any number of videos.

    Args:
        painter: a trained system.
        perception: makes the conditions of a user's video; None chooses at first use.
        report: where the weights came from; passed on with every result.
        limits: which videos are refused; None refuses none.
    """

    def __init__(
        self,
        painter: Painter,
        perception: Perception | None = None,
        report: dict[str, Any] | None = None,
        limits: VideoLimits | None = None,
    ) -> None:
        self.painter = painter
        self.limits = limits
        self._perception = perception
        self.report = dict(report or {})
        self._rates = Rates()

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
        limits: VideoLimits | None = None,
        any_stage: bool = False,
        build: BuildStored = build_stored,
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
            limits: which videos are refused; None refuses none.
            any_stage: see ``load_system``.
            build: see ``load_system``.

        Raises:
            ConfigError: settings that do not exist.
            DataError: no checkpoint, or one that cannot be used for try-on.
        """
        loaded = load_system(path, weights, any_stage, build)
        return cls(
            Painter(loaded.system, device, sampler, long_video, precision, compile),
            perception=perception,
            report={
                "model": model_name(Path(loaded.checkpoint)),
                "checkpoint": loaded.checkpoint,
                "step": loaded.step,
                "weights": loaded.weights,
                "sha256": loaded.sha256,
            },
            limits=limits,
        )

    @property
    def perception(self) -> Perception:
        """The models that look at people; chosen at first use."""
        if self._perception is None:
            self._perception = choose_perception("auto")
        return self._perception

    def __call__(
        self,
        video: str | Path | VideoConditions,
        garment: str | Path,
        category: str = "upper",
        *,
        person: int | None = None,
        garment_kind: str = "auto",
        given: GivenConditions | None = None,
        seed: int = 0,
        paste_back: bool = True,
        label: str = "",
        out: str | Path | None = None,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
    ) -> TryOnResult:
        """Put a garment on a person in a video file.

        Args:
            video: a file; or conditions that ``prepare`` made of one: category, person and given
                are theirs then.
            garment: image file, a product photo on any ground or somebody wearing it; or
                ``video.mp4@3.2``, what is worn 3.2 s into a video.
            category: what it replaces: upper, lower or overall.
            person: number of the one who is dressed (``find_people``); None is the main person.
            garment_kind: auto, product or worn; see ``prepare_garment``.
            given: mask and DensePose as files, in the place of perception.
            seed: another seed, another result; 0 or more.
            paste_back: outside the mask keep the source's own pixels.
            label: a text drawn into every frame, such as "AI-generated"; empty draws none.
            out: an MP4 to write; None: call the result's ``save``.
            work: a folder to keep unfinished work in: the same call goes on where it was stopped,
                to the same result. None: a temporary folder, gone with the result.
            progress: told how far it is; may raise ``Cancelled``.

        Raises:
            ConfigError: a setting that does not exist.
            VideoUnreadable, VideoTooLong, NoPerson, GarmentUnreadable: see ``errors.py``; all are
                DataError.
        """
        if seed < 0:
            raise ConfigError(f"seed={seed}; 0 or more is expected")
        stages = STAGES if out is not None else STAGES[:-1]
        if isinstance(video, VideoConditions):
            stages = tuple(stage for stage in stages if stage not in (FINDING, CONDITIONS))
        tracker = Tracker(progress, stages, self._rates)
        config = self.painter.system.config
        worn = video.category if isinstance(video, VideoConditions) else category
        check_category(worn)
        picture = prepare_garment(
            garment, config.height, config.width, worn, garment_kind, lambda: self.perception
        )
        if isinstance(video, VideoConditions):
            conditions = video
        else:
            source = open_video(video, self.limits)
            conditions = self._prepare(source, category, person, given, _folder(work), tracker)
        settings = {"seed": seed, "garment": str(garment), "paste_back": paste_back, "label": label}
        result = self._paint(conditions, picture, settings, tracker)
        if out is not None:
            tracker.start(WRITING, result.num_frames)
            result.write(out, tracker.tell)
        return result

    def find_people(
        self,
        video: str | Path,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
    ) -> Cast:
        """Everyone in a video with number, picture and place, the main person first."""
        tracker = Tracker(progress, (FINDING,), self._rates)
        return cast_of(open_video(video, self.limits), self.perception, _folder(work), tracker)

    def preview(
        self,
        video: str | Path,
        category: str = "upper",
        person: int | None = None,
        count: int = 6,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
    ) -> list[ConditionFrame]:
        """Mask and DensePose of some frames, in seconds: to look at before ``prepare``."""
        tracker = Tracker(progress, (FINDING, CONDITIONS), self._rates)
        config, source = self.painter.system.config, open_video(video, self.limits)
        studied = study(
            source, category, person, config.height, config.width, self.perception,
            _folder(work), tracker,
        )  # fmt: skip
        return studied.preview(self.perception, count)

    def prepare(
        self,
        video: str | Path,
        category: str = "upper",
        person: int | None = None,
        given: GivenConditions | None = None,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
    ) -> VideoConditions:
        """Make the conditions of a video, to be looked at and painted from, once or often.

        Arguments and errors as for calling the pipeline.
        """
        tracker = Tracker(progress, (FINDING, CONDITIONS), self._rates)
        source = open_video(video, self.limits)
        return self._prepare(source, category, person, given, _folder(work), tracker)

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
        """Paint a video whose conditions are given as arrays; see ``Painter.paint``."""
        return self.painter.paint(video, mask, densepose, garment, seed, paste_back, progress)

    def _prepare(
        self,
        source: SourceVideo,
        category: str,
        person: int | None,
        given: GivenConditions | None,
        work: WorkFolder,
        tracker: Tracker,
    ) -> VideoConditions:
        config = self.painter.system.config
        if given is not None:
            return read_conditions(
                source, given, category, config.height, config.width, work, tracker
            )
        return perceive(
            source, category, person, config.height, config.width, self.perception, work, tracker
        )

    def _paint(
        self,
        conditions: VideoConditions,
        garment: np.ndarray,
        settings: Mapping[str, Any],
        tracker: Tracker,
    ) -> TryOnResult:
        """Latents of the whole video, in the work folder."""
        painter = self.painter
        identity = {
            "conditions": conditions.identity,
            "system": self.system_identity(),
            "garment": hashlib.sha256(garment.tobytes()).hexdigest(),
            "sampler": asdict(painter.sampler),
            "long_video": asdict(painter.long_video),
            "bfloat16": painter.uses_bfloat16,
            "seed": settings["seed"],
        }
        control, kept = self._encode(conditions, tracker)
        folder = conditions.work.section("painting", identity)
        channels, height, width = painter.latent_shape
        shape = (channels, conditions.num_frames, height, width)
        latents = FileLatents(folder / "latents.f32", shape)
        tracker.start(PAINTING)
        painter.paint_latents(
            control, latents, kept, garment, settings["seed"], tracker.tell,
            Journal(folder / "journal.txt", latents),
        )  # fmt: skip
        control.close()
        return TryOnResult(
            conditions=conditions,
            painter=painter,
            latents=latents,
            paste_back=settings["paste_back"],
            label=settings["label"],
            report=self._report(conditions, settings, identity, _first_date(folder)),
        )

    def _encode(
        self, conditions: VideoConditions, tracker: Tracker
    ) -> tuple[FileLatents, list[bool]]:
        """The control input of all frames, in a file, and which frames stay as they are."""
        painter = self.painter
        identity = {"conditions": conditions.identity, "codec": painter.codec_identity}
        folder = conditions.work.section("control", identity)
        channels, height, width = painter.latent_shape
        shape = (2 * channels + 1, conditions.num_frames, height, width)
        control, record = FileLatents(folder / "control.f32", shape), folder / "kept.json"
        if record.is_file():
            return control, json.loads(record.read_text())
        tracker.start(ENCODING, conditions.num_frames)
        kept: list[bool] = []
        for start, images, _, tracks in conditions.cuts():
            poses = tracks.rendered()
            for first in range(0, len(images), CODEC_FRAMES):
                rows = slice(first, first + CODEC_FRAMES)
                part = painter.encode_frames(images[rows], tracks.mask[rows], poses[rows])
                control.write(range(start + first, start + first + part.shape[1]), part)
                kept += (~part[-1].flatten(1).bool().any(dim=1)).tolist()
            tracker.tell(len(kept))
        control.sync()
        write_file(record, json.dumps(kept).encode())
        return control, kept

    def system_identity(self) -> list[Any]:
        """Names the weights, so that nothing painted by others is taken up again."""
        if "sha256" not in self.report:
            digest = hashlib.sha256()
            for name, value in self.painter.system.network.state_dict().items():
                digest.update(name.encode())
                digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
            self.report["sha256"] = digest.hexdigest()
        return [self.report["sha256"], self.report.get("weights")]

    def _report(
        self,
        conditions: VideoConditions,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any],
        date: str,
    ) -> dict[str, Any]:
        painter, person = self.painter, conditions.person
        shown = {**identity, "paste_back": settings["paste_back"], "label": settings["label"]}
        digest = settings_sha256(shown)
        return {
            **self.report,
            "date": date,
            "video": conditions.source.path.name,
            "garment": Path(settings["garment"]).name,
            "category": conditions.category,
            "person": None if person is None else person.id,
            "seed": settings["seed"],
            "num_frames": conditions.num_frames,
            "size": [conditions.source.height, conditions.source.width],
            "fps": conditions.source.fps,
            "num_frames_without_person": conditions.num_without_person,
            "perception": conditions.perception,
            "codec": painter.system.codec.name,
            "sampler": f"{painter.sampler.solver}, {painter.sampler.num_steps} steps",
            "long_video": painter.long_video.method,
            "device": str(painter.device),
            "job": digest[:16],
        }


def model_name(checkpoint: Path) -> str:
    """What a result calls its model: no path of this machine, but the run's name."""
    if checkpoint.parent.name == "checkpoints":
        return checkpoint.parent.parent.name
    return f"{checkpoint.parent.name}/{checkpoint.stem}"


def _folder(work: str | Path | WorkFolder | None) -> WorkFolder:
    return work if isinstance(work, WorkFolder) else WorkFolder(work)


def _first_date(folder: Path) -> str:
    """The day on which this result was begun: a resumed one says the same as an unbroken one."""
    record = folder / "date.txt"
    if not record.is_file():
        write_file(record, datetime.now(UTC).date().isoformat().encode())
    return record.read_text()
