"""Videos with panes side by side; the page draws them pane by pane, so they cannot drift apart.

A browser may not play the source itself (HEVC, ProRes, AVI); a strip is H.264 with the source's
rate and sound.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from inference.video.source import SourceFrame, SourceVideo
from inference.video.writer import write_result

_HEIGHT = 640  # px at most: a pane is rarely shown larger
_COMMENT = "Partly synthetic, shown next to its source: "


@dataclass(frozen=True, kw_only=True, eq=False)
class Panes:
    """What is shown at one moment, all of one size."""

    images: list[UInt8[np.ndarray, "h w 3"]]
    time: Fraction


def write_strip(
    path: Path, moments: Iterable[Panes], names: list[str], source: SourceVideo
) -> dict[str, Any]:
    """Write moments, at least one, as an MP4 with the rate, colours and sound of ``source``.

    Returns:
        What the page's player needs: panes, their size, number of frames, frames per second.
    """
    moments = iter(moments)
    first = next(moments)
    height, width = first.images[0].shape[:2]
    scale = min(1.0, _HEIGHT / height)
    size = (_even(width * scale), _even(height * scale))
    count = 0

    def frames() -> Iterator[SourceFrame]:
        nonlocal count
        for moment in itertools.chain([first], moments):
            count += 1
            panes = [cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in moment.images]
            yield SourceFrame(image=np.hstack(panes), time=moment.time)

    shape = replace(source, height=size[1], width=size[0] * len(first.images))
    write_result(path, frames(), shape, {"comment": _COMMENT + " | ".join(names)})
    return {
        "panes": names, "height": size[1], "width": size[0], "num_frames": count,
        "fps": source.fps,
    }  # fmt: skip


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
