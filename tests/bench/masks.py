"""How good the embedded masks are on rendered dancers, whose truth is known.

    python -m tests.bench.masks                  # 24 dancers, 16 frames each
    python -m tests.bench.masks --dancers 8 --frames 8 --category lower
    python -m tests.bench.masks --dancers 12 --frames 12 --fps 6 --framing upper  # the benchmark's
    python -m tests.bench.masks --category lower --margin tight --true-labels

A row a dancer: what of the old garment lies outside the mask (in all frames, and in the worst one),
the mask's area over the bare garment's, and how much of face, hair and hands is kept. For lower
garments, ``region`` is how much the mask covers of the area that a tool like DressCode's paints:
the hull of both legs, widened by a quarter of a leg's width, without what is to be kept. Dancers
that miss a bar of the upper garment (``BARS``) say which.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.densepose import EmbeddedDensePose
from curation.perception.embedded.parser import EmbeddedParser
from datasets.densepose import paste_iuv
from datasets.labels import CATEGORIES, ParseLabel
from datasets.masks import MARGINS, inpainting_mask
from datasets.synthetic.dataset import RenderedClip, draw_clip, render_clip
from datasets.synthetic.hard_cast import draw_benchmark_clip

P = ParseLabel
GARMENTS = {"upper": (P.UPPER,), "lower": (P.LOWER,), "overall": (P.UPPER, P.LOWER)}
GRID = 112


@dataclass(frozen=True, kw_only=True)
class MaskScore:
    """One dancer's mask against the truth; shares in 0..1, None where there is nothing to judge."""

    leak: float  # of the garment's pixels, outside the mask
    worst_leak: float  # the same in the worst frame
    area: float  # the mask's over the garment's
    face: float | None  # kept
    hair: float | None
    hands: float | None
    feet: float | None
    region: float | None  # of ``painted_by_tools``, covered in the worst frame


def render_dancer(
    index: int, num_frames: int, fps: float = 12.0, framing: str = "whole"
) -> RenderedClip:
    """Dancer ``index`` of the training split, 512x384; from the thighs up: of the benchmark."""
    size: dict[str, Any] = {"height": 512, "width": 384, "num_frames": num_frames, "fps": fps}
    if framing == "whole":
        return render_clip(draw_clip(0, "train", index, **size))
    return render_clip(draw_benchmark_clip(0, "train", index, **size, framing=framing))


def mask_of(
    clip: RenderedClip, category: str, margin: str | None = None, has_labels: bool = False
) -> np.ndarray:
    """The mask that the embedded models and ``inpainting_mask`` make, (t, h, w) uint8.

    ``has_labels``: the true labels are taken, in place of the embedded parser's.
    """
    frames = list(clip.frames)
    height, width = frames[0].shape[:2]
    people = [found[0] if found else None for found in EmbeddedDetector().detect(frames)]
    labels = clip.parse if has_labels else np.stack(EmbeddedParser().parse(frames, people))
    surfaces = EmbeddedDensePose().estimate(frames, people)
    iuv = np.zeros((len(frames), GRID, GRID, 3), np.uint8)
    boxes = np.zeros((len(frames), 4), np.float32)
    for row, surface in enumerate(surfaces):
        if surface is not None:
            iuv[row], boxes[row] = surface.iuv, surface.box
    return inpainting_mask(labels, paste_iuv(iuv, boxes, height, width), category, margin=margin)


def painted_by_tools(truth: np.ndarray) -> np.ndarray:
    """What a tool like DressCode's paints of one frame's lower garment, (h, w) bool.

    The hull of both legs with what covers them, wider by a quarter of a leg's width on every side;
    without face, hair, hands, feet and what is worn above.

    Args:
        truth: (h, w) uint8 ``ParseLabel``.
    """
    legs = np.isin(truth, (P.LOWER, P.LEGS))
    points = cv2.findNonZero(legs.astype(np.uint8))
    if points is None:
        return np.zeros(truth.shape, bool)
    hull = np.zeros(truth.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    rows = np.count_nonzero(legs, axis=1)
    margin = 0.25 * float(np.median(rows[rows > 0])) / 2
    distance = cv2.distanceTransform(1 - hull, cv2.DIST_L2, 5)
    kept = np.isin(truth, (P.FACE, P.HAIR, P.HANDS, P.FEET, P.UPPER, P.ARMS, P.OTHER))
    return (distance <= margin) & ~kept


def score_mask(truth: np.ndarray, mask: np.ndarray, category: str) -> MaskScore:
    """Compare a mask with the truth.

    Args:
        truth: (t, h, w) uint8 ``ParseLabel``.
        mask: (t, h, w) uint8, 255 = to be painted.
        category: upper, lower or overall.
    """
    painted = mask > 0
    garment = np.isin(truth, GARMENTS[category])
    outside = (garment & ~painted).sum(axis=(1, 2)) / np.maximum(garment.sum(axis=(1, 2)), 1)

    def kept(label: ParseLabel) -> float | None:
        part = truth == label
        return float((part & ~painted).sum() / part.sum()) if part.any() else None

    regions = [painted_by_tools(labels) for labels in truth] if category == "lower" else []
    covered = [
        (region & mask).sum() / region.sum()
        for region, mask in zip(regions, painted, strict=False)
        if region.any()
    ]
    return MaskScore(
        region=float(min(covered)) if covered else None,
        leak=float((garment & ~painted).sum() / garment.sum()),
        worst_leak=float(outside.max()),
        area=float(painted.sum() / garment.sum()),
        face=kept(P.FACE),
        hair=kept(P.HAIR),
        hands=kept(P.HANDS),
        feet=kept(P.FEET),
    )


BARS = {"leak": 0.01, "area": 1.6, "face": 0.95, "hands": 0.95}
"""At most the first two, at least the others, for every dancer."""
COLUMNS = ("leak", "worst_leak", "area", "face", "hair", "hands", "feet", "region")


def mean_of(scores: list[MaskScore], column: str) -> float:
    """Mean over the dancers that have the part."""
    values: list[Any] = [getattr(score, column) for score in scores]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def beyond_bars(score: MaskScore) -> list[str]:
    """Which bars a dancer's mask does not hold."""
    missed = []
    for name, bar in BARS.items():
        value = getattr(score, name)
        if value is not None and (value > bar if name in ("leak", "area") else value < bar):
            missed.append(name)
    return missed


def main(argv: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dancers", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="24: nothing was tuned on them")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--fps", type=float, default=12.0)
    parser.add_argument("--framing", choices=("whole", "upper"), default="whole")
    parser.add_argument("--category", choices=CATEGORIES, default="upper")
    parser.add_argument("--margin", choices=MARGINS, default=None, help="the category's own")
    parser.add_argument("--true-labels", action="store_true", help="not the embedded parser's")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    groups: dict[str, list[MaskScore]] = {"short sleeves": [], "long sleeves": []}
    print(f"{'dancer':24s}" + "".join(f"{column:>12s}" for column in COLUMNS))
    for index in range(arguments.first, arguments.first + arguments.dancers):
        clip = render_dancer(index, arguments.frames, arguments.fps, arguments.framing)
        mask = mask_of(clip, arguments.category, arguments.margin, arguments.true_labels)
        score = score_mask(clip.parse, mask, arguments.category)
        sleeves = "long sleeves" if clip.garment_spec["sleeves"] == "long" else "short sleeves"
        groups[sleeves].append(score)
        name = f"{index:3d} {sleeves[:5]} {clip.garment_spec['pattern']}"
        values: list[Any] = [getattr(score, column) for column in COLUMNS]
        cells = [f"{'-':>12s}" if value is None else f"{value:12.3f}" for value in values]
        missed = ", ".join(beyond_bars(score)) if arguments.category == "upper" else ""
        print(
            f"{name:24s}" + "".join(cells) + (f"  beyond: {missed}" if missed else ""), flush=True
        )
    for name, scores in {**groups, "all": [s for group in groups.values() for s in group]}.items():
        if scores:
            cells = [f"{mean_of(scores, column):12.3f}" for column in COLUMNS]
            print(f"{name + f' ({len(scores)})':24s}" + "".join(cells))


if __name__ == "__main__":
    main(sys.argv[1:])
