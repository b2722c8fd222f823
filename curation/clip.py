"""A candidate clip's record and tracks, and a reason to let it go.

Records are immutable: a stage returns a new one with its own fields filled. None means unknown.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from curation.perception.protocols import Person


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One scene of one source video, on its way to a shard. Times are PTS in seconds."""

    source: str  # path below SRC, with forward slashes: metadata, never identity
    source_sha256: str
    scene_start_s: float  # the cut itself, untrimmed
    scene_end_s: float
    start_s: float  # what is kept of the scene
    end_s: float
    source_fps: float | None = None
    source_height: int | None = None  # after rotation and sample aspect
    source_width: int | None = None
    rotation: int = 0  # degrees clockwise that were applied: 0, 90, 180, 270
    crop: tuple[int, int, int, int] | None = None  # top, left, height, width in the upright source
    height: int | None = None  # of the canonical clip
    width: int | None = None
    fps: float | None = None
    num_frames: int | None = None
    num_people: int | None = None
    garment_frame: int | None = None  # index in the canonical clip
    licence: str | None = None
    url: str | None = None
    split: str | None = None  # train, val or bench
    scores: dict[str, float] = field(default_factory=dict)  # signal name -> measured value
    shares: dict[str, str] = field(default_factory=dict)  # the same for every frame: pack_shares
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
        record["crop"] = None if self.crop is None else list(self.crop)  # as JSON gives it back
        return record

    def with_scores(self, **scores: float) -> "Clip":
        """A copy with further measured values."""
        return replace(self, scores={**self.scores, **scores})

    def with_shares(self, **shares: np.ndarray) -> "Clip":
        """A copy with further values of every frame, each (t,) in 0..1."""
        packed = {name: pack_shares(values) for name, values in shares.items()}
        return replace(self, shares={**self.shares, **packed})


def pack_shares(values: np.ndarray) -> str:
    """Shares (t,) in 0..1 as text for a record, in steps of 1 / 65535."""
    return np.rint(np.clip(values, 0, 1) * 65535).astype("<u2").tobytes().hex()


def unpack_shares(text: str) -> np.ndarray:
    """The inverse of ``pack_shares``, (t,) float64."""
    return np.frombuffer(bytes.fromhex(text), dtype="<u2") / 65535


@dataclass(frozen=True, kw_only=True)
class Reject:
    """Why a clip was let go."""

    clip: Clip
    code: str  # short, stable: "two_people", "no_person", "too_short", ...
    evidence: dict[str, Any]  # the numbers that decided, beside their thresholds


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """A clip's pixels on their way to a shard; t frames, all tracks of equal length.

    Filled stage by stage (``dataclasses.replace``); None means not made yet.
    """

    frames: np.ndarray  # (t, height, width, 3) uint8 RGB of the canonical clip
    people: list[Person | None] | None = None  # the one person of each frame, t entries
    iuv: np.ndarray | None = None  # (t, 112, 112, 3) uint8: I, 255 U, 255 V
    boxes: np.ndarray | None = None  # (t, 4) float32: where each grid lies in the frame
    parse: np.ndarray | None = None  # (t, height, width) uint8, datasets.labels.ParseLabel
    mask: np.ndarray | None = None  # (t, height, width) uint8, 255 = to be painted
    garment: np.ndarray | None = None  # (height, width, 3) uint8 on a plain ground
    garment_mask: np.ndarray | None = None  # (height, width) uint8, 255 = garment


class Stage(Protocol):
    """A step that reads the canonical clip: settings as fields, one verdict or more tracks.

    What it makes and what it asks are apart, so that another threshold needs no new tracks.
    """

    @property
    def name(self) -> str:
        """What it is called in records."""
        ...

    def process(self, clip: Clip, tracks: Tracks) -> "tuple[Clip, Tracks] | Reject":
        """The clip and its tracks with this stage's own fields filled, or why it is let go."""
        ...

    def making(self) -> dict[str, Any]:
        """Model and settings that decide its tracks and scores; its thresholds are not here."""
        ...

    def judge(self, clip: Clip) -> Reject | None:
        """Its thresholds, applied to the scores and shares that ``process`` left in the record."""
        ...
