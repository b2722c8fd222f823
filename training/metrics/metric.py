"""What a metric is: a pure function, of one video or of two sets of clips, and one frozen record.

A record holds everything the tables, the cache and the report need; ``catalogue.py`` lists them. A
new metric of single videos is a file with both::

    def measure(inputs: VideoInputs) -> VideoNumber: ...

    FLICKER = Metric(key="flicker", label="flicker", is_higher_better=False, definition="...",
                     compute=measure)
"""

import typing
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from training.metrics.protocols import Protocol

T = TypeVar("T")
KINDS = {
    "video": "one number per video, mean over videos, bootstrap interval over videos",
    "set": "one distance between all clips of a method and all real ones",
}
NO_TRUTH = "no ground truth: what the unpaired result should look like is unknown"
NOT_PAINTED = "no painted pixel in any frame"

FrameValues = Float[np.ndarray, " t"]
"""A number for every frame; NaN where a frame has none."""


@typing.runtime_checkable
class FrameDistance(typing.Protocol):
    """A learned distance of two videos (``lpips.py``)."""

    def per_frame(
        self,
        prediction: UInt8[np.ndarray, "t h w 3"],
        truth: UInt8[np.ndarray, "t h w 3"],
        region: Bool[np.ndarray, "t h w"],
    ) -> tuple[FrameValues, FrameValues]:
        """Of whole frames, and of the region."""
        ...


@typing.runtime_checkable
class FeaturesOfPictures(typing.Protocol):
    """A network's features of pictures (``dinov2.py``)."""

    def of(self, pictures: UInt8[np.ndarray, "n 224 224 3"]) -> Float[np.ndarray, "n dim"]:
        """One feature of length 1 for each picture."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoInputs:
    """All inputs of a metric: one method's result for one item."""

    prediction: UInt8[np.ndarray, "t h w 3"]
    source: UInt8[np.ndarray, "t h w 3"]  # the video with the old garment
    truth: UInt8[np.ndarray, "t h w 3"] | None  # what a perfect method returns; paired: the source
    mask: UInt8[np.ndarray, "t h w"]  # 255 = was to be painted
    garment_region: Bool[np.ndarray, "t h w"]  # the garment worn in the source, inside the mask
    garment: UInt8[np.ndarray, "h2 w2 3"]  # picture of the target garment
    pairing: str  # "paired" or "unpaired"
    protocol: Protocol
    segment_borders: list[int] | None = None  # frames that begin a new segment; None: not known
    lpips: FrameDistance | None = None  # the protocol's, where its weights are there
    features: FeaturesOfPictures | None = None  # DINOv2's, where its weights are there
    result_memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    item_memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @property
    def painted(self) -> Bool[np.ndarray, "t h w"]:
        """True where a frame was to be painted."""
        return self.mask > 127

    def once(self, function: "Callable[[VideoInputs], T]") -> T:
        """``function(self)``, computed once per result, so that metrics can share it."""
        if function not in self.result_memo:
            self.result_memo[function] = function(self)
        return self.result_memo[function]

    def once_per_item(self, function: "Callable[[VideoInputs], T]") -> T:
        """``function(self)``, computed once for all results of this item and pairing.

        The function must not use the prediction. Example: the source's optical flow.
        """
        if function not in self.item_memo:
            self.item_memo[function] = function(self)
        return self.item_memo[function]


@dataclass(frozen=True, kw_only=True)
class VideoNumber:
    """A metric's number for one video; None if it does not exist (for example: empty mask)."""

    value: float | None
    per_frame: list[float | None] | None = None  # for plots over time; None: frames have no number

    @classmethod
    def of_frames(cls, values: FrameValues) -> "VideoNumber":
        """The mean over the frames that have a value; None if none has."""
        return cls(
            value=mean_known(values),
            per_frame=[None if np.isnan(value) else round(float(value), 5) for value in values],
        )


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a metric is computed, cached and shown in tables."""

    key: str  # in metrics.json; a contract
    label: str
    is_higher_better: bool
    definition: str  # one line: formula and source
    compute: Callable[[VideoInputs], VideoNumber] | None = None  # of one video; or:
    distance: Callable[[Tensor, Tensor], float] | None = None  # of two sets of clips (n, dim)
    is_unbiased: bool = False  # of a distance: its mean does not depend on the number of clips
    needs: str | None = None  # weights by their name; "lpips": the protocol's backbone
    needs_truth: bool = False
    no_value: str = "no video has a value"  # reason shown if every video's number is None
    protocol_fields: tuple[str, ...] = ()  # fields of the protocol that change the number
    version: int = 1  # increase it when the number's meaning changes: cached ones become invalid

    def __post_init__(self) -> None:
        if (self.compute is None) == (self.distance is None):
            raise ValueError(f"{self.key}: a metric has either compute or distance")

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        return "video" if self.distance is None else "set"

    def to_plain(self) -> dict[str, Any]:
        """The record for metrics.json."""
        keys = ("key", "label", "is_higher_better", "kind", "definition", "version")
        return {key: getattr(self, key) for key in keys}


def mean_known(values: FrameValues) -> float | None:
    """The mean of all values that are not NaN; None if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def by_frame(
    region: Bool[np.ndarray, "t h w"], value: Callable[[int], float]
) -> Float[np.ndarray, " t"]:
    """``value`` of each frame's index where the frame has a region; NaN elsewhere."""
    return np.array([value(i) if area.any() else np.nan for i, area in enumerate(region)])


def in_either_frame(region: Bool[np.ndarray, "t h w"]) -> Bool[np.ndarray, "t h w"]:
    """The region of each frame or the one before it; the first frame has none."""
    either = np.zeros_like(region)
    either[1:] = region[1:] | region[:-1]
    return either
