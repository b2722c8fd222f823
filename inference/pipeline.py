"""``TryOnPipeline``: a checkpoint, ready to put a garment on a person in a video of any length.

In order: ``conditions/perceive``, ``sampling/painter``, ``latent_video``, ``windows``, ``result``.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from configs.errors import ConfigError
from curation.perception.protocols import Perception
from curation.perception.select import choose_perception
from datasets.storage import write_file
from inference.checkpoint_choice import GIVEN, ChosenCheckpoint, choose_checkpoint, model_name
from inference.conditions.garment import prepare_garment
from inference.conditions.given import GivenConditions, read_conditions
from inference.conditions.people import PeopleInVideo
from inference.conditions.perceive import (
    check_category,
    learn_person,
    load_or_find_people,
    perceive,
)
from inference.conditions.stored import ConditionFrame, VideoConditions
from inference.conditions.unseen import check_seen
from inference.progress import (
    CONDITIONS,
    ENCODING,
    FINDING,
    PAINTING,
    STAGES,
    WRITING,
    Progress,
    Tracker,
)
from inference.result import TryOnResult
from inference.result_report import describe_result, first_date
from inference.sampling.latent_video import FileLatents, Journal, unmasked_frames
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.painter import Painter, codec_runs, load_system
from inference.sampling.painting_code import painting_code_sha256
from inference.sampling.sampler_choice import SamplerChoice, choose_sampler
from inference.sampling.solvers import SamplerConfig
from inference.video.source import SourceVideo, VideoLimits, open_video
from inference.video.work_folder import WorkFolder

logger = logging.getLogger(__name__)


class TryOnPipeline:
    """Built once, called for any number of videos.

    Args:
        painter: a trained system.
        perception: makes the conditions of a user's video; None: chosen at first use.
        report: where the weights came from; part of every result's report.
        limits: which videos are rejected; None: none.
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
        self._rates: dict[str, float] = {}  # of ``Tracker``

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | ChosenCheckpoint,
        device: str = "auto",
        weights: str = "ema",
        sampler: SamplerConfig | SamplerChoice | None = None,
        long_video: LongVideoConfig | None = None,
        precision: str = "auto",
        compile: bool = False,
        perception: Perception | None = None,
        limits: VideoLimits | None = None,
        any_stage: bool = False,
        lora: str | Path | None = None,
    ) -> "TryOnPipeline":
        """Load a training checkpoint of stage 2 or 3.

        Args:
            path: ``runs/<name>/checkpoints/last.ckpt``, a folder made by ``make export``, or what
                ``choose_checkpoint`` chose, which the log then states.
            device: auto, cpu, cuda, cuda:1, ...
            weights: ema (their running average, if the checkpoint has one) or raw.
            sampler: None: the one that the checkpoint was made for; a ``SamplerChoice`` overrides
                some of its values, a ``SamplerConfig`` all of them.
            long_video: see ``LongVideoConfig``.
            precision: float32, bfloat16, or auto: bfloat16 on CUDA.
            compile: compile the blocks at first use; see ``Painter``.
            perception: makes the conditions; None: chosen at first use.
            limits: which videos are rejected; None: none.
            any_stage: see ``load_system``.
            lora: adapters trained on this checkpoint; see ``find_adapter``.

        Raises:
            ConfigError: a setting has an unknown value.
            DataError: no checkpoint, or not one for try-on; or an adapter of another one.
        """
        origin = GIVEN
        if isinstance(path, ChosenCheckpoint):
            logger.info("%s", path.sentence)
            path, origin = path.path, path.origin
        loaded = load_system(path, weights, any_stage, lora)
        taken = choose_sampler(loaded.sampler, sampler, str(path))
        return cls(
            Painter(loaded.system, device, taken, long_video, precision, compile),
            perception=perception,
            report={"model": model_name(Path(path), lora), "origin": origin, **loaded.facts},
            limits=limits,
        )

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        weights: str = "ema",
        sampler: SamplerConfig | SamplerChoice | None = None,
        long_video: LongVideoConfig | None = None,
        precision: str = "auto",
        compile: bool = False,
        perception: Perception | None = None,
        limits: VideoLimits | None = None,
        runs: str | Path = "runs",
        lora: str | Path | None = None,
    ) -> "TryOnPipeline":
        """Load what `make tryon` would: your newest run, or else the model that ships.

        The log says in one or two sentences which was taken, with the limits of the shipped model.

        Args:
            checkpoint: a file, a run's folder or an exported model; None: the newest
                ``runs/*stage3*``, or else the shipped model.
            device: see ``from_checkpoint``, as for all that follow.
            weights: ema or raw.
            sampler: None: the checkpoint's own.
            long_video: windows.
            precision: float32, bfloat16 or auto.
            compile: compile the blocks at first use.
            perception: makes the conditions.
            limits: which videos are rejected.
            runs: the folder of your runs.
            lora: adapters.

        Raises:
            ConfigError: see ``from_checkpoint``.
            DataError: see there; or there is neither a run nor a shipped model.
        """
        return cls.from_checkpoint(
            choose_checkpoint(checkpoint, Path(runs)), device, weights, sampler, long_video,
            precision, compile, perception, limits, lora=lora,
        )  # fmt: skip

    @property
    def perception(self) -> Perception:
        """The models that find and segment people; chosen at first use."""
        if self._perception is None:
            self._perception = choose_perception()
        return self._perception

    def __call__(
        self,
        video: str | Path | VideoConditions,
        garment: str | Path,
        category: str = "upper",
        *,
        person: int | None = None,
        garment_kind: str = "auto",
        margin: str | None = None,
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
            video: a file; or conditions made by ``prepare``, which then determine category, person
                and given.
            garment: image file, a product photo on any ground or somebody wearing it; or
                ``video.mp4@3.2``, what is worn 3.2 s into a video.
            category: what it replaces: upper, lower or overall.
            person: number of the person who gets it (``find_people``); None: the main person.
            garment_kind: see ``prepare_garment``.
            margin: of the mask, tight or wide; None: tight for upper, wide for the others.
            given: mask and DensePose as files, instead of perception.
            seed: a different seed gives a different result; 0 or more.
            paste_back: keep the source's own pixels outside the mask.
            label: text drawn into every frame, such as "AI-generated"; empty: none.
            out: an MP4 to write; None: call the result's ``save``.
            work: a folder for unfinished work: after an interruption the same call resumes, with
                the same result. None: a temporary folder, deleted with the result.
            progress: called with a ``Status``; may raise ``Cancelled``.

        Raises:
            ConfigError: a setting has an unknown value.
            VideoUnreadable, VideoTooLong, NoPerson, GarmentUnreadable: see ``errors.py``; all are
                DataError.
        """
        if seed < 0:
            raise ConfigError(f"seed={seed}; 0 or more is expected")
        stages = STAGES if out is not None else STAGES[:-1]
        if isinstance(video, VideoConditions):
            stages = tuple(stage for stage in stages if stage not in (FINDING, CONDITIONS))
        tracker = Tracker(progress, stages, self._rates)
        worn = video.category if isinstance(video, VideoConditions) else category
        check_category(worn)
        prepared = prepare_garment(
            garment, *self.painter.picture_size, worn, garment_kind, lambda: self.perception
        )
        if isinstance(video, VideoConditions):
            conditions = video
        else:
            source = open_video(video, self.limits)
            conditions = self._prepare(source, category, person, given, work, tracker, margin)
        check_seen(conditions)
        settings = {"seed": seed, "garment": str(garment), "paste_back": paste_back, "label": label}
        settings["garment_remarks"] = list(prepared.remarks)
        result = self._paint(conditions, prepared.picture, settings, tracker)
        if out is not None:
            tracker.start(WRITING, result.num_frames)
            result.write(out, tracker.report)
        return result

    def find_people(
        self,
        video: str | Path,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
    ) -> PeopleInVideo:
        """Everyone in a video, with number, picture and places; the main person first."""
        tracker = Tracker(progress, (FINDING,), self._rates)
        source = open_video(video, self.limits)
        return load_or_find_people(source, self.perception, _folder(work), tracker)

    def preview(
        self,
        video: str | Path,
        category: str = "upper",
        person: int | None = None,
        count: int = 6,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
        margin: str | None = None,
    ) -> list[ConditionFrame]:
        """Mask and DensePose of some frames, made in seconds, to check before ``prepare``."""
        tracker = Tracker(progress, (FINDING, CONDITIONS), self._rates)
        config = self.painter.system.config
        learned = learn_person(
            open_video(video, self.limits), category, person, config.height, config.width,
            self.perception, _folder(work), tracker, margin,
        )  # fmt: skip
        return learned.preview(self.perception, count)

    def prepare(
        self,
        video: str | Path,
        category: str = "upper",
        person: int | None = None,
        given: GivenConditions | None = None,
        work: str | Path | WorkFolder | None = None,
        progress: Progress | None = None,
        margin: str | None = None,
    ) -> VideoConditions:
        """Make the conditions of a video, to be checked and then painted from, once or often.

        Arguments and errors as for calling the pipeline.
        """
        tracker = Tracker(progress, (FINDING, CONDITIONS), self._rates)
        source = open_video(video, self.limits)
        return self._prepare(source, category, person, given, work, tracker, margin)

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
        """Paint a video whose conditions are arrays; see ``Painter.paint``."""
        return self.painter.paint(video, mask, iuv, garment, seed, paste_back, progress)

    def _prepare(
        self,
        source: SourceVideo,
        category: str,
        person: int | None,
        given: GivenConditions | None,
        work: str | Path | WorkFolder | None,
        tracker: Tracker,
        margin: str | None,
    ) -> VideoConditions:
        config = self.painter.system.config
        size = config.height, config.width
        needs_iuv = config.densepose == "iuv" or config.network.finds_places
        if given is not None and needs_iuv and given.densepose_format != "iuv":
            raise ConfigError(
                f"densepose {given.densepose} is a picture of parts, but this model needs U and V"
                " too; give a lossless video with I, U, V as red, green, blue, and"
                " densepose_format=iuv"
            )
        if given is not None:
            return read_conditions(source, given, category, *size, _folder(work), tracker)
        models, folder = self.perception, _folder(work)
        return perceive(source, category, person, *size, models, folder, tracker, margin)

    def _paint(
        self,
        conditions: VideoConditions,
        garment: np.ndarray,
        settings: Mapping[str, Any],
        tracker: Tracker,
    ) -> TryOnResult:
        """Paint the latents of the whole video, in the work folder."""
        painter = self.painter
        identity = {
            "conditions": conditions.identity,
            "system": self.system_identity(),
            "garment": hashlib.sha256(garment.tobytes()).hexdigest(),
            **painter.settings,
            "bfloat16": painter.uses_bfloat16,
            "seed": settings["seed"],
        }
        control, kept = self._encode(conditions, tracker)
        folder = conditions.work.section("painting", identity)
        shape = (painter.latent_shape[0], conditions.num_frames, *painter.latent_shape[1:])
        latents = FileLatents(folder / "latents.f32", shape)
        tracker.start(PAINTING)
        painter.paint_latents(
            control, latents, kept, garment, settings["seed"], tracker.report,
            Journal(folder / "journal.txt", latents),
        )  # fmt: skip
        control.close()
        return TryOnResult(
            conditions=conditions,
            painter=painter,
            latents=latents,
            garment=garment,
            paste_back=settings["paste_back"],
            label=settings["label"],
            report=self.report
            | describe_result(conditions, painter, settings, identity, first_date(folder)),
        )

    def _encode(
        self, conditions: VideoConditions, tracker: Tracker
    ) -> tuple[FileLatents, list[bool]]:
        """The control input of all frames, in a file, and which frames are kept unchanged."""
        painter = self.painter
        identity = {"conditions": conditions.identity, "codec": painter.codec_identity}
        folder = conditions.work.section("control", identity)
        shape = (painter.control_channels, conditions.num_frames, *painter.latent_shape[1:])
        control, record = FileLatents(folder / "control.f32", shape), folder / "kept.json"
        if record.is_file():
            return control, json.loads(record.read_text())
        tracker.start(ENCODING, conditions.num_frames)
        kept: list[bool] = []
        for start, images, _, tracks in conditions.cuts():
            for rows in codec_runs(len(images)):
                part = painter.encode_frames(images[rows], tracks.mask[rows], tracks.iuv[rows])
                control.write(range(start + rows.start, start + rows.stop), part)
                kept += unmasked_frames(part)
            tracker.report(len(kept))
        control.sync()
        write_file(record, json.dumps(kept).encode())
        return control, kept

    def system_identity(self) -> list[Any]:
        """Identifies weights and code, so that work painted with others is never resumed."""
        if "sha256" not in self.report:
            self.report["sha256"] = self.painter.weights_sha256()
        adapter = [self.report["lora"]["sha256"]] if "lora" in self.report else []
        return [self.report["sha256"], self.report.get("weights"), *adapter, painting_code_sha256()]


def _folder(work: str | Path | WorkFolder | None) -> WorkFolder:
    return work if isinstance(work, WorkFolder) else WorkFolder(work)
