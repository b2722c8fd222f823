"""One source through all of curation: what a worker process does.

header -> one cheap pass with people -> stretches that pass -> canonical clip -> a person in every
frame -> DensePose, label map, mask, garment -> tracks in a content-addressed folder.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.console import counted
from configs.errors import DataError
from curation.clip import Clip, Reject, Stage, first_failed
from curation.clip_maker import ClipMaker, fingerprint, infos_of, rejected_row, with_hashes
from curation.first_pass.first_pass import SampleStore, batches_of, measure_source
from curation.first_pass.signals import (
    PersonSamples,
    Signals,
    join_samples,
    read_signals,
    write_signals,
)
from curation.ledger import ClipRow, SourceRow
from curation.perception.check import check_perception
from curation.perception.protocols import Perception, Person, PersonDetector
from curation.perception.transnet_arbiter import choose_arbiter
from curation.selection.candidates import Candidate, RejectedClip, find_candidates
from curation.selection.people import collect_samples
from curation.selection.probe import header_checks
from curation.selection.stillness import looks_apart, with_changes
from curation.settings import CurateConfig
from curation.stages.agnostic import MaskGarment
from curation.stages.check_labels import CheckLabels
from curation.stages.clip_files import encode_png
from curation.stages.densepose import MapSurface
from curation.stages.follow_person import FollowPerson
from curation.stages.garments import CutGarment
from curation.stages.parsing import ParseClothes
from curation.stages.product_photo import lay_out_product
from curation.step_times import StepTimes
from curation.video.canonical import CropPlan, read_clip
from curation.video.decode import Header, read_header
from curation.video.sources import Source
from curation.workers.executor import Limit
from datasets.storage import write_file
from datasets.tracks import encode_clip
from datasets.video.reader import UnreadableVideoError

logger = logging.getLogger(__name__)

DETECTOR_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class SourceJob:
    """A source to curate."""

    source: Source
    sha256: str
    name: str
    fingerprint: str  # of everything that decides its result
    known: dict[str, ClipRow]  # clips made earlier, by request: they are reused


@dataclass(frozen=True, kw_only=True)
class SourceResult:
    """The result for one source."""

    row: SourceRow
    clips: list[ClipRow]
    was_decoded: bool


BuildStage = Callable[[CurateConfig, Perception], Stage]
STAGES: tuple[BuildStage, ...] = (
    lambda config, models: FollowPerson(
        detector=models.detector,
        config=config.selection.people,
        min_duration_s=config.selection.quality.min_duration_s,
    ),
    lambda config, models: MapSurface(estimator=models.densepose, config=config.densepose),
    lambda config, models: ParseClothes(parser=models.parser, config=config.parsing),
    lambda config, models: MaskGarment(config=config.agnostic),
    lambda config, models: CheckLabels(
        config=config.labels,
        category=config.agnostic.category,
        min_duration_s=config.selection.quality.min_duration_s,
    ),
    lambda config, models: CutGarment(config=config.garments),
)
"""Every stage on a clip, in order; the same for videos, photographs and benchmarks."""


def build_stages(config: CurateConfig, perception: Perception) -> tuple[Stage, ...]:
    """The stages in order, with their settings and models; models load at first use."""
    return tuple(build(config, perception) for build in STAGES)


def build_maker(config: CurateConfig, perception: Perception) -> ClipMaker:
    """The ``ClipMaker`` that makes or reuses a clip's tracks."""
    follow, *stages = build_stages(config, perception)
    assert isinstance(follow, FollowPerson), "it decides which frames the clip has"
    return ClipMaker(
        out=Path(config.out),
        follow=follow,
        stages=stages,
        infos=infos_of(perception),
        category=config.agnostic.category,
    )


ChoosePerception = Callable[[CurateConfig], Perception]
"""Chooses the models of a run; also called once in each worker."""


def chosen_perception(config: CurateConfig) -> Perception:
    """The models that the settings select."""
    # imports every model adapter, which commands that only judge do not need
    from curation.perception.select import choose_perception

    arbiter = choose_arbiter(config.first_pass.arbiter)
    return replace(choose_perception(config.perception), arbiter=arbiter)


def build_worker(
    config: CurateConfig, choose: ChoosePerception
) -> Callable[[SourceJob, Callable[[Limit], None]], SourceResult]:
    """The function that does a job; called once in each worker process."""
    perception = choose(config)
    check_perception(perception, config.perception)
    return Curator(config, perception).curate


def build_measurer(
    config: CurateConfig, choose: ChoosePerception
) -> Callable[[SourceJob, Callable[[Limit], None]], None]:
    """The function a worker without a GPU runs first: the first pass."""
    return Curator(config, choose(config)).measure


class Curator:
    """The stages, built once in each worker."""

    def __init__(self, config: CurateConfig, perception: Perception) -> None:
        self.config = config
        self.perception = perception
        self.out = Path(config.out)
        self._infos = infos_of(perception)
        self.maker = build_maker(config, perception)
        cv2.setNumThreads(1)

    def curate(self, job: SourceJob, set_limit: Callable[[Limit], None]) -> SourceResult:
        """Curate one source; a corrupt or unreadable file is a result, not an error."""
        source = job.source
        try:
            header = read_header(source.path)
            reject = first_failed(header_checks(header, self.config.probe))
            if reject is not None:
                facts = {"header": asdict(header)}
                return self._refuse(job, reject.code, reject.evidence, facts=facts)
            self._set_limit(header, set_limit)
            signals, was_decoded = self._signals(source, header)
            facts = self._facts(source, header, signals)
            checks = header_checks(header, self.config.probe, signals.num_interlaced)
            reject = first_failed(checks)
            if reject is not None:
                return self._refuse(job, reject.code, reject.evidence, facts=facts)
        except UnreadableVideoError as error:
            return self._refuse(job, error.code, {"detail": error.detail})
        base = Clip(
            source=source.name,
            source_sha256=source.sha256,
            scene_start_s=0.0,
            scene_end_s=signals.end_s,
            start_s=0.0,
            end_s=signals.end_s,
        )
        selection, canonical = self.config.selection, self.config.canonical
        rows: list[ClipRow] = []
        for outcome in find_candidates(base, signals, selection, canonical):
            if isinstance(outcome, RejectedClip):
                rows.append(rejected_row(outcome))
                continue
            row, is_new = self._make_clip(job, outcome, signals)
            was_decoded |= is_new
            rows.append(row)
        return SourceResult(row=source_row(job, facts=facts), clips=rows, was_decoded=was_decoded)

    def _facts(self, source: Source, header: Header, signals: Signals) -> dict[str, Any]:
        """What the ledger holds of a decoded source."""
        return {
            "header": asdict(header),
            "signals": self._signals_path(source).name,
            "num_frames": signals.num_frames,
            "duration_s": signals.end_s,
            "seconds": signals.seconds,
            "is_partial": _ends_early(header, signals) or len(signals.fault_times_s) > 0,
            "faults": len(signals.fault_times_s),
            "interlaced_frames": signals.num_interlaced,
            "joined_recordings": len(signals.joins_s) + 1 if len(signals.joins_s) else None,
        }

    def measure(self, job: SourceJob, set_limit: Callable[[Limit], None]) -> None:
        """Run only the first pass, which needs no model, and store it for ``curate``."""
        source = job.source
        try:
            header = read_header(source.path)
            is_rejected = first_failed(header_checks(header, self.config.probe)) is not None
            if is_rejected or self._signals_path(source).is_file():
                return
            self._set_limit(header, set_limit)
            signals, store = self._measure(source, header)
        except UnreadableVideoError:
            return  # ``curate`` hits the same error and reports it
        with closing(store):
            path = self._pass_path(source)
            store.save(path.with_suffix(".samples.npz"))
            write_file(path, partial(write_signals, signals))

    def _set_limit(self, header: Header, set_limit: Callable[[Limit], None]) -> None:
        seconds = header.duration_s or self.config.first_pass.max_duration_s
        set_limit(Limit(seconds=self.config.time_limit_s(seconds, self.perception)))

    def _pass_path(self, source: Source) -> Path:
        """Signals before people are detected; their samples are stored next to them."""
        path = self._signals_path(source)
        return path.with_name(f"pass-{path.name}")

    def _measured(self, source: Source, header: Header) -> tuple[Signals, SampleStore]:
        path = self._pass_path(source)
        if path.is_file():
            return read_signals(path), SampleStore.load(path.with_suffix(".samples.npz"))
        return self._measure(source, header)

    def _measure(self, source: Source, header: Header) -> tuple[Signals, SampleStore]:
        first_pass, arbiter = self.config.first_pass, self.perception.arbiter
        return measure_source(source.path, first_pass, header.sample_aspect, arbiter)

    def _signals_path(self, source: Source) -> Path:
        # the arbiter's identity is part of the name only if there is an arbiter
        decisive = {k: v for k, v in asdict(self.config.first_pass).items() if k != "arbiter"}
        models = [self._infos[role] for role in ("detector", "arbiter") if role in self._infos]
        settings = fingerprint(decisive, *models)
        return self.out / "signals" / f"{source.sha256[:32]}-{settings[:12]}.signals"

    def _signals(self, source: Source, header: Header) -> tuple[Signals, bool]:
        path = self._signals_path(source)
        if path.is_file():
            return read_signals(path), False
        signals, store = self._measured(source, header)
        watch = StepTimes()
        with closing(store), watch.measure("people in samples"):
            signals = replace(signals, samples=find_people(store, self.perception.detector))
        signals = replace(signals, seconds={**signals.seconds, **watch.seconds})
        write_file(path, partial(write_signals, signals))
        pass_path = self._pass_path(source)
        for part in (pass_path, pass_path.with_suffix(".samples.npz")):
            part.unlink(missing_ok=True)
        return signals, True

    def _make_clip(
        self, job: SourceJob, candidate: Candidate, signals: Signals
    ) -> tuple[ClipRow, bool]:
        """The clip's row, and whether anything was decoded for it."""
        is_bench = job.source.sidecar.split == "bench"
        companions = job.source.companions_sha256 if is_bench else None
        request = self.maker.request(candidate, companions)
        known = job.known.get(request)
        row = None if known is None else self.maker.reuse_or_redo(known, candidate)
        if row is not None:
            return with_hashes(row, signals, self.config.duplicates.hash_fps), False
        watch = StepTimes()
        extra = partial(self._bench_files, job.source, candidate, signals) if is_bench else None
        try:
            with watch.measure("decode clip"):
                frames = _cut_out(job.source.path, candidate.clip, candidate.plan, signals)
            row = self.maker.make(candidate, frames, request, watch, extra)
        except UnreadableVideoError as error:  # rejects this clip only
            reject = Reject(code=error.code, evidence={"detail": error.detail})
            return rejected_row(RejectedClip(clip=candidate.clip, reject=reject)), True
        return with_hashes(row, signals, self.config.duplicates.hash_fps), True

    def _bench_files(
        self, source: Source, candidate: Candidate, signals: Signals, clip: Clip
    ) -> dict[str, bytes]:
        """The garment to put on, and the ground truth wearing it, cut exactly like the clip."""
        files: dict[str, bytes] = {}
        height, width = candidate.plan.height, candidate.plan.width
        if source.target_path is not None:
            target = lay_out_product(source.target_path, height, width)
            if target.is_whole:
                raise DataError(
                    f"{source.target_path}: no garment stands out from its background; give a "
                    "photo on another ground, or a PNG that is transparent around the garment"
                )
            files["target.png"] = encode_png(target.picture)
        if source.truth_path is not None:
            try:
                frames = _cut_out(source.truth_path, clip, candidate.plan, signals)
            except UnreadableVideoError as error:
                raise UnreadableVideoError(error.code, f"ground truth: {error.detail}") from error
            if len(frames) != clip.num_frames:
                raise DataError(
                    f"{source.truth_path} has {counted(len(frames), 'frame')}, {source.name} has "
                    f"{clip.num_frames}; the ground truth must show the same motion frame by frame"
                )
            assert clip.fps is not None
            files["truth.mp4"] = encode_clip(frames, clip.fps)
        return files

    def _refuse(
        self,
        job: SourceJob,
        code: str,
        evidence: dict[str, Any],
        facts: dict[str, Any] | None = None,
    ) -> SourceResult:
        row = source_row(job, code=code, evidence=evidence, facts=facts or {})
        return SourceResult(row=row, clips=[], was_decoded=False)


def find_people(store: SampleStore, detector: PersonDetector) -> PersonSamples:
    """People in the samples of one source, and how much their pixels change."""
    parts: list[PersonSamples] = []
    lag = looks_apart(store.fps)
    frames: list[np.ndarray] = []
    people: list[list[Person]] = []  # of the last ``lag`` frames, and of the batch
    done = 0
    for batch in batches_of(store, list(range(len(store.times_s))), DETECTOR_BATCH):
        earlier = len(frames)
        frames = [*frames, *batch]
        people = [*people, *detector.detect(batch)]
        changed = with_changes(frames, people, lag)[earlier:]
        times_s = store.times_s[done : done + len(batch)]
        parts.append(collect_samples(times_s, changed, *batch[0].shape[:2]))
        frames, people = frames[-lag:], people[-lag:]
        done += len(batch)
    return join_samples(parts)


def _cut_out(path: Path, clip: Clip, plan: CropPlan, signals: Signals) -> np.ndarray:
    """The clip's frames (t, height, width, 3) uint8 from a video of the same size as its source."""
    assert clip.fps is not None
    assert clip.source_height is not None
    assert clip.source_width is not None
    return read_clip(
        path,
        start_s=clip.start_s,
        end_s=clip.end_s,
        fps=clip.fps,
        plan=plan,
        upright=(clip.source_height, clip.source_width),
        orientation=signals.orientation,
    )


def source_row(
    job: SourceJob,
    *,
    code: str | None = None,
    evidence: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> SourceRow:
    """The ledger's row of a source."""
    source = job.source
    return SourceRow(
        sha256=source.sha256,
        name=source.name,
        also_named=list(source.also_named),
        sidecar=asdict(source.sidecar),
        group=source.group,
        num_bytes=source.num_bytes,
        fingerprint=job.fingerprint,
        code=code,
        evidence=evidence or {},
        facts=facts or {},
    )


def _ends_early(header: Header, signals: Signals) -> bool:
    """Whether the file ends before the duration in its header."""
    declared = header.duration_s
    if declared is None or signals.num_frames < 2 or len(signals.joins_s):
        return False
    length = signals.end_s - float(signals.times_s[0])
    return length < declared - max(0.5, 0.05 * declared)
