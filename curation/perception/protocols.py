"""The interfaces of the models that detect and label people, whatever their backend.

Frames are uint8 RGB of shape (height, width, 3). Boxes are float32 (left, top, right, bottom) in
pixels of the frame they were found in. Backends are cheap to build; models load at first use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""Order of the 17 rows of ``Person.keypoints``; left and right are the person's own."""

ARBITER_HEIGHT, ARBITER_WIDTH, ARBITER_WINDOW = 27, 48, 100
"""Input of a ``CutArbiter``: size of a frame, frames in a window."""


@dataclass(frozen=True, kw_only=True)
class BackendInfo:
    """Which model did a piece of work; stored in every record it contributed to."""

    name: str
    version: str
    weights_sha256: str | None
    is_approximate: bool  # True: approximates a better model; ``note`` says at what cost
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """One person in one frame."""

    box: np.ndarray  # (4,) float32
    score: float  # 0..1
    keypoints: np.ndarray  # (17, 3) float32: x, y in pixels, visibility in 0..1
    mask: np.ndarray | None = None  # (height, width) uint8, 255 = this person; None: not estimated
    landmarks: np.ndarray | None = None  # (33, 5) BlazePose: x, y, z px, visibility, presence
    track_id: int | None = None  # the same number in every frame of a clip; None: not tracked
    change: float | None = None  # gray levels between two looks (selection/stillness.py)


@dataclass(frozen=True, kw_only=True, eq=False)
class DensePose:
    """One person's surface coordinates on the head's own grid."""

    iuv: np.ndarray  # (112, 112, 3) uint8: I = part 0..24, U and V = 255 x the coordinate
    box: np.ndarray  # (4,) float32: position of the grid in the frame


@runtime_checkable
class PersonDetector(Protocol):
    """Finds people and tracks them through a clip."""

    @property
    def info(self) -> BackendInfo: ...

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """People of each frame, best score first; frames are in time order, of one scene.

        Frames may be far apart in time (2-3 per second in the first pass). An empty inner list
        means no person.
        """
        ...


@runtime_checkable
class DensePoseEstimator(Protocol):
    """Maps the pixels of one person to the body's surface."""

    @property
    def info(self) -> BackendInfo: ...

    def estimate(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[DensePose | None]:
        """Surface coordinates of the one person of each frame; None if there is no person."""
        ...


@runtime_checkable
class HumanParser(Protocol):
    """Labels every pixel of one person (``datasets.labels.ParseLabel``)."""

    @property
    def info(self) -> BackendInfo: ...

    def parse(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[np.ndarray]:
        """Label maps, (height, width) uint8; all background without a person."""
        ...


@runtime_checkable
class ClipParser(HumanParser, Protocol):
    """A parser that learns from a clip before it parses it.

    Long videos are parsed in pieces; without this, each piece would be learned separately.
    """

    def learned(self, frames: Sequence[np.ndarray], people: Sequence[Person | None]) -> HumanParser:
        """A parser for any frames of the clip, learned from these frames, spread over it."""
        ...


@runtime_checkable
class CutArbiter(Protocol):
    """Distinguishes cuts and dissolves from changes that only look like one."""

    @property
    def info(self) -> BackendInfo: ...

    def judge(self, frames: np.ndarray) -> np.ndarray:
        """Probability that each frame is the last before a cut, or a blend of two shots.

        Args:
            frames: (100, 27, 48, 3) uint8 RGB, consecutive.

        Returns:
            (100,) float32 in 0..1; only the middle half is reliable.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Perception:
    """The models of a run, chosen once at its start (``select.py``)."""

    detector: PersonDetector
    densepose: DensePoseEstimator
    parser: HumanParser
    arbiter: CutArbiter | None = None  # of doubtful cuts; None: only rules decide

    def infos(self) -> dict[str, BackendInfo]:
        """Role -> the model used for it."""
        infos = {
            "detector": self.detector.info,
            "densepose": self.densepose.info,
            "parser": self.parser.info,
        }
        return infos if self.arbiter is None else {**infos, "arbiter": self.arbiter.info}


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """Placeholder for a model: it has the model's info and cannot be run."""

    info: BackendInfo

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: {self.info.name} is a placeholder and cannot be run")


def named_perception(infos: Mapping[str, Any]) -> Perception:
    """Placeholders for models, for code that only judges stored results."""
    unknown = BackendInfo(name="unknown", version="", weights_sha256=None, is_approximate=True)
    named: dict[str, Any] = dict.fromkeys(("detector", "densepose", "parser"), unknown)
    named |= {role: BackendInfo(**info) for role, info in infos.items()}
    models: dict[str, Any] = {role: NamedModel(info=info) for role, info in named.items()}
    return Perception(**models)
