"""A candidate clip's record and tracks, the rules it is checked by, and the stages that fill it.

Records are immutable: a stage returns a new one with its own fields filled. None means unknown.
A rule is stated once, as the ``Check`` that its owner builds; rejecting, explaining, reporting and
judging again all read that check.
"""

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from curation.perception.protocols import Person
from curation.step_times import StepTimes

AT_LEAST, AT_MOST, MORE, LESS = ">=", "<=", ">", "<"
HOLDS = {AT_LEAST: operator.ge, AT_MOST: operator.le, MORE: operator.gt, LESS: operator.lt}
NEAR = 0.1
"""A value within this share of its threshold counts as near it."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One scene of one source video, on its way to a shard. Times are PTS in seconds."""

    source: str  # path below SRC, with forward slashes: metadata, not identity
    source_sha256: str
    scene_start_s: float  # the cut itself, untrimmed
    scene_end_s: float
    start_s: float  # the part of the scene that is kept
    end_s: float
    source_fps: float | None = None
    source_height: int | None = None  # after rotation and sample aspect
    source_width: int | None = None
    rotation: int = 0  # degrees clockwise that were applied: 0, 90, 180, 270
    crop: tuple[int, int, int, int] | None = None  # top, left, height, width of the upright source
    height: int | None = None  # of the canonical clip
    width: int | None = None
    fps: float | None = None
    num_frames: int | None = None
    num_people: int | None = None
    garment_frame: int | None = None  # index in the canonical clip
    garment_affine: tuple[float, ...] | None = None  # 2 x 3: its pixel -> the picture's
    licence: str | None = None
    url: str | None = None
    split: str | None = None  # train, val or bench
    scores: dict[str, float] = field(default_factory=dict)  # signal -> measured value
    shares: dict[str, str] = field(default_factory=dict)  # one value per frame, by pack_shares
    verdicts: dict[str, str] = field(default_factory=dict)  # stage name -> what it decided

    @property
    def clip_id(self) -> str:
        """Content-based name, ``[a-z0-9_-]+``: source hash, start and end in milliseconds."""
        start_ms, end_ms = round(self.start_s * 1000), round(self.end_s * 1000)
        return f"{self.source_sha256[:16]}_{start_ms:08d}_{end_ms:08d}"

    def as_record(self) -> dict[str, Any]:
        """Every field as plain values, for the ledger (``asdict`` copies deeply and slowly)."""
        record = dict(vars(self))
        for name in ("scores", "shares", "verdicts"):
            record[name] = dict(record[name])
        for name in ("crop", "garment_affine"):  # as JSON returns them
            record[name] = None if record[name] is None else list(record[name])
        return record

    def cut_to(self, part: slice) -> "Clip":
        """A copy that has only these of its frames."""
        fps = self.fps or 1.0
        return replace(
            self,
            start_s=self.start_s + part.start / fps,
            end_s=self.start_s + part.stop / fps,
            num_frames=part.stop - part.start,
        )

    def with_scores(self, **scores: float) -> "Clip":
        """A copy with more measured values."""
        return replace(self, scores={**self.scores, **scores})

    def with_shares(self, **shares: np.ndarray) -> "Clip":
        """A copy with more per-frame values, each (t,) in 0..1."""
        packed = {name: pack_shares(values) for name, values in shares.items()}
        return replace(self, shares={**self.shares, **packed})


def pack_shares(values: np.ndarray) -> str:
    """Shares (t,) in 0..1 as text for a record, in steps of 1 / 65535."""
    return np.rint(np.clip(values, 0, 1) * 65535).astype("<u2").tobytes().hex()


def unpack_shares(text: str) -> np.ndarray:
    """The inverse of ``pack_shares``, (t,) float64."""
    return np.frombuffer(bytes.fromhex(text), dtype="<u2") / 65535


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured value and the limit it must keep; without a rule it is only reported."""

    verdict: str  # the step that decides: probe, quality, people, the name of a stage, ...
    signal: str
    value: float | str | None  # None: not measured
    rule: str | None = None  # one of HOLDS
    threshold: float | None = None
    key: str = ""  # of configs/curate.yaml
    code: str = ""  # reject code, short and stable; "": breaking the rule rejects nothing
    meaning: str = ""  # of the code, for people
    evidence: Mapping[str, Any] | None = None  # stored by a rejection; None: value and threshold

    @property
    def is_passed(self) -> bool | None:
        """Whether the value satisfies the rule; None without a rule or a value."""
        if self.rule is None or self.threshold is None or not isinstance(self.value, int | float):
            return None
        return HOLDS[self.rule](self.value, self.threshold)

    @property
    def is_near(self) -> bool:
        """Whether a threshold 10% higher or lower would change the result."""
        if self.is_passed is None or not isinstance(self.value, int | float):
            return False
        assert self.rule is not None
        assert self.threshold is not None
        moved = (self.threshold * (1 - NEAR), self.threshold * (1 + NEAR))
        return any(HOLDS[self.rule](self.value, limit) != self.is_passed for limit in moved)

    @property
    def reject(self) -> "Reject":
        """The rejection stored if this check fails."""
        evidence = self.evidence
        if evidence is None:
            evidence = {self.signal: self.value, self.key.rpartition(".")[2]: self.threshold}
        return Reject(code=self.code, evidence=dict(evidence))


@dataclass(frozen=True, kw_only=True)
class Reject:
    """Why a source or a clip is rejected."""

    code: str  # "two_people", "no_person", "too_short", ...
    evidence: dict[str, Any]  # the numbers that decided, next to their thresholds


def first_failed(checks: Iterable[Check]) -> Reject | None:
    """The first check that fails and has a code, as a rejection; None: all pass."""
    return next((c.reject for c in checks if c.code and c.is_passed is False), None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """A clip's pixels on their way to a shard; t frames, all tracks of equal length.

    Filled stage by stage (``dataclasses.replace``); None means not made yet.
    """

    frames: np.ndarray  # (t, height, width, 3) uint8 RGB of the canonical clip
    everyone: list[list[Person]] | None = None  # in each decoded frame, before any is cut
    people: list[Person | None] | None = None  # the one person of each frame, t entries
    iuv: np.ndarray | None = None  # (t, 112, 112, 3) uint8: I, 255 U, 255 V
    boxes: np.ndarray | None = None  # (t, 4) float32: position of each grid in the frame
    parse: np.ndarray | None = None  # (t, height, width) uint8, datasets.labels.ParseLabel
    mask: np.ndarray | None = None  # (t, height, width) uint8, 255 = to be inpainted
    garment: np.ndarray | None = None  # (height, width, 3) uint8 on a plain background
    garment_mask: np.ndarray | None = None  # (height, width) uint8, 255 = garment


class Stage(Protocol):
    """A step on the canonical clip, with its settings as fields. It measures, and states its rules.

    The two are separate, so that a changed threshold needs no new tracks.
    """

    @property
    def name(self) -> str:
        """Its name in records; also its key in configs/curate.yaml if it has settings."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the stages whose tracks it reads; all read the clip's frames and people."""
        ...

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """The clip and its tracks, with this stage's own fields filled as far as possible."""
        ...

    def checks(self, clip: Clip) -> list[Check]:
        """Its rules, applied to the scores and shares that ``process`` stored in the record."""
        ...

    def provenance_key(self) -> dict[str, Any]:
        """The model and settings that determine its tracks and scores; not its thresholds."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class StagesRun:
    """The result of running stages on a clip, up to the one that rejected it."""

    clip: Clip
    tracks: Tracks
    reject: Reject | None
    ran: tuple[str, ...]  # names of the stages that measured, in order


def run_stages(
    stages: Sequence[Stage],
    clip: Clip,
    tracks: Tracks,
    *,
    done: Collection[str] = (),
    watch: StepTimes | None = None,
) -> StagesRun:
    """Run the stages in order until a check fails; of those ``done``, only the checks."""
    watch, ran = watch or StepTimes(), []
    for stage in stages:
        if stage.name not in done:
            with watch.measure(stage.name):
                clip, tracks = stage.process(clip, tracks)
            ran.append(stage.name)
        reject = first_failed(stage.checks(clip))
        if reject is not None:
            clip = replace(clip, verdicts={**clip.verdicts, stage.name: reject.code})
            return StagesRun(clip=clip, tracks=tracks, reject=reject, ran=tuple(ran))
    return StagesRun(clip=clip, tracks=tracks, reject=None, ran=tuple(ran))
