"""Captions, watermarks, stickers and buttons: edges that stand still where everything else moves.

A static camera's background stands still as well, so stillness alone says nothing. What counts is
how often a cell keeps its sharp edges while the main person's body covers it, or while most of what
is around it changes (a moving camera, a cut, somebody who walks past). Nothing in the scene can do
that: bodies sway by more than a pixel, and whoever moves hides what is behind.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from configs.checks import check_range
from curation.clip import AT_MOST, Check
from curation.first_pass.signals import Signals
from curation.first_pass.still_edges import GRID, PARTS
from curation.perception.protocols import COCO_KEYPOINTS
from curation.selection.people import PeopleVerdicts

KEYS = "selection.overlays."
OVERLAY = "overlay"
"""Reject code."""
Box = tuple[float, float, float, float]
STILL, WHITE, CHANGED = range(PARTS)
"""Parts of ``Signals.still_edges``."""
MIN_HITS = 2
"""Comparisons of samples in which a cell must look like an overlay."""
MIN_CELLS = 4
"""Cells of an overlay; a cell looks like one as soon as a neighbour is full of it."""
MIN_DRAWN_CELLS = 10
"""The same for an overlay that only its sharp white edges tell from the scene."""
MIN_CHANGED = 0.45
"""Share of the pixels around a cell that must change for it to count as moving."""
MIN_BODY_CHANGED = 0.07
"""Share of the pixels of the person's box: one who moves less shows nothing. Signers at rest
0.03-0.06, moving 0.08-0.4; pupils who sit, and a man who stands, at most 0.06."""
MARGIN = 0.5
"""Cells at a body's border that it does not cover: a cell speaks for its neighbours, too."""
MIN_COMING = 0.25
"""Share of the pixels around a cell that a body changes as it comes or leaves; else it did not."""
GROWN, GROWN_WHITE = 0.7, 0.3
"""Mean share of sharp still edges, and of those next to white, at which a cell that touches an
overlay belongs to it."""
MAX_REACH = 0.05
"""Share of the person's width or height: boxes of both are wider than what they hold."""
LIMBS = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
)  # fmt: skip
TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
LIMB_WIDTH, HEAD_WIDTH, MIN_TORSO_WIDTH = 0.12, 0.2, 0.2
"""Half widths of parts of the body in lengths of the torso."""


@dataclass(frozen=True, kw_only=True)
class OverlaysConfig:
    """Thresholds on the stored still edges; configs/curate.yaml says how each was found."""

    min_still: float = 0.35  # of a cell's edges, sharp and still while all moves
    min_time: float = 0.33  # of the comparisons of such a cell
    min_drawn: float = 0.45  # the same, next to white, in all comparisons: nothing passes behind
    max_share: float = 0.01  # of the person's box that overlays may cover

    def __post_init__(self) -> None:
        check_range(self, "min_still", "min_time", "min_drawn", "max_share", above=0, most=1)


def find_overlays(
    signals: Signals,
    span: tuple[float, float],
    people: PeopleVerdicts,
    region: Box,
    config: OverlaysConfig,
) -> list[Box]:
    """Overlays of a stretch of one scene.

    Args:
        signals: of the source.
        span: of the stretch, seconds.
        people: of the scene.
        region: left, top, right, bottom of the picture proper, in shares of the frame.
        config: thresholds.

    Returns:
        Their boxes: left, top, right, bottom in shares of the frame.
    """
    times = signals.fill_times_s
    moments = np.flatnonzero((times >= span[0] - 1e-6) & (times < span[1] - 1e-6))
    moments = moments[moments > 0]
    if len(moments) < MIN_HITS:
        return []
    is_free = _within(region)
    still = signals.still_edges[..., STILL].reshape(len(times), -1)
    mean = still[moments].mean(axis=0)
    white = signals.still_edges[moments, ..., WHITE].reshape(len(moments), -1).mean(axis=0)
    is_drawn = is_free & (white >= 255 * config.min_drawn)
    seeds = is_free & (
        _passes_over(signals, moments, people, span, config)
        | (_outlasts(signals, config) & (mean >= 255 * config.min_still))
    )
    cells = is_free & (seeds | (mean >= 255 * GROWN) | (white >= 255 * GROWN_WHITE))
    return _boxes(cells, (seeds, MIN_CELLS), (is_drawn, MIN_DRAWN_CELLS))


def _passes_over(
    signals: Signals,
    moments: np.ndarray,
    people: PeopleVerdicts,
    span: tuple[float, float],
    config: OverlaysConfig,
) -> np.ndarray:
    """Cells, flat bool, that look drawn while the main person or something else is behind them."""
    found = np.zeros(GRID * GRID, bool)
    still, changed = (
        signals.still_edges[moments, ..., part].reshape(len(moments), -1)
        for part in (STILL, CHANGED)
    )
    looks_drawn = still >= 255 * config.min_still
    cells = np.flatnonzero(looks_drawn.sum(axis=0) >= MIN_HITS)
    if len(cells):
        height, width = signals.size_at(span[0])
        is_tested = changed[:, cells] >= 255 * MIN_CHANGED
        is_tested |= _covered(signals, moments, people, cells, width / height)
        found[cells] = _enough(looks_drawn[:, cells], is_tested, config)
    return found


def _outlasts(signals: Signals, config: OverlaysConfig) -> np.ndarray:
    """Cells, flat bool, that look drawn while all around changes, anywhere in the source.

    Above all, that is at cuts.
    """
    still, changed = (signals.still_edges[1:, ..., part] for part in (STILL, CHANGED))
    shape = (len(still), -1)
    is_tested = (changed >= 255 * MIN_CHANGED).reshape(shape)
    return _enough((still >= 255 * config.min_still).reshape(shape), is_tested, config)


def _enough(looks_drawn: np.ndarray, is_tested: np.ndarray, config: OverlaysConfig) -> np.ndarray:
    """Which cells look drawn in enough of the comparisons (m, c) that test them: (c,)."""
    hits = (looks_drawn & is_tested).sum(axis=0)
    share = hits / np.maximum(is_tested.sum(axis=0), 1)
    return np.asarray((hits >= MIN_HITS) & (share >= config.min_time))


def overlay_share(boxes: list[Box], person: Box) -> float:
    """Share of a person's box (left, top, right, bottom) that overlays cover."""
    left, top, right, bottom = person
    raster = np.zeros((256, 256), bool)
    for box in boxes:
        x = [(edge - left) / max(right - left, 1e-6) * 256 for edge in (box[0], box[2])]
        y = [(edge - top) / max(bottom - top, 1e-6) * 256 for edge in (box[1], box[3])]
        rows, columns = (np.clip(np.rint(ends), 0, 256).astype(int) for ends in (y, x))
        raster[rows[0] : rows[1], columns[0] : columns[1]] = True
    return float(raster.mean())


def share_check(share: float | None, config: OverlaysConfig) -> Check:
    """Overlays may cover only so much of the person's box."""
    return Check(
        verdict="overlays", signal="overlay_share", value=share, rule=AT_MOST,
        threshold=config.max_share, key=KEYS + "max_share", code=OVERLAY,
        meaning="a caption, watermark, sticker or button lies on the person",
    )  # fmt: skip


def region_without(overlays: list[Box], person: Box, region: Box) -> Box:
    """The part of a region that is left when overlays beside a person are cut off.

    Each is cut off at the side that costs least. One that reaches further into the person's box
    than ``MAX_REACH`` stays. All are left, top, right, bottom in one unit.
    """
    left, top, right, bottom = region
    x, y = (MAX_REACH * (person[i + 2] - person[i]) for i in (0, 1))
    for box in overlays:
        options = (
            ((box[2], top, right, bottom), box[2] <= person[0] + x),
            ((left, top, box[0], bottom), box[0] >= person[2] - x),
            ((left, box[3], right, bottom), box[3] <= person[1] + y),
            ((left, top, right, box[1]), box[1] >= person[3] - y),
        )
        allowed = [option for option, leaves_person in options if leaves_person]
        if allowed and overlaps(box, (left, top, right, bottom)):
            left, top, right, bottom = max(allowed, key=_area)
    return left, top, right, bottom


def overlaps(one: Box, other: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) share anything."""
    return all(max(one[i], other[i]) < min(one[i + 2], other[i + 2]) for i in (0, 1))


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _within(region: Box) -> np.ndarray:
    """Which cells, flat bool, lie in a region without touching its border, a sharp still edge."""
    low, high = np.arange(GRID), np.arange(1, GRID + 1)
    left, top, right, bottom = (GRID * side for side in region)
    # a cell speaks for its neighbours, so that the second one from a border still sees it
    left, top = (side + 2 if side > 0 else side for side in (left, top))
    right, bottom = (side - 2 if side < GRID else side for side in (right, bottom))
    columns, rows = (low >= left) & (high <= right), (low >= top) & (high <= bottom)
    return np.asarray(rows[:, None] & columns).ravel()


def _covered(
    signals: Signals,
    moments: np.ndarray,
    people: PeopleVerdicts,
    cells: np.ndarray,
    aspect: float,
) -> np.ndarray:
    """Which cells (c,) the main person's body covers as they move: (m, c).

    At each moment or at the sample before.
    """
    samples = signals.samples
    assert samples is not None
    rows_of = dict(zip(people.times_s.tolist(), people.main_rows.tolist(), strict=True))
    rows_of = {time_s: row for time_s, row in rows_of.items() if row >= 0}
    is_covered = np.zeros((len(moments), len(cells)), bool)
    for place, moment in enumerate(moments.tolist()):
        times = signals.fill_times_s[moment - 1 : moment + 1].tolist()
        rows = [rows_of[time_s] for time_s in times if time_s in rows_of]
        changed = signals.still_edges[moment, ..., CHANGED]
        if rows and _changed_in(samples.boxes[rows[-1]], changed):
            bodies = [_on_body(samples.keypoints[row], cells, aspect) for row in rows]
            stays = np.logical_and.reduce(bodies) & (len(bodies) == 2)
            comes = np.logical_or.reduce(bodies) & (changed.ravel()[cells] >= 255 * MIN_COMING)
            is_covered[place] = stays | comes
    return is_covered


def _changed_in(box: np.ndarray, changed: np.ndarray) -> bool:
    """Whether enough changed (GRID, GRID) in a person's box, in shares of the frame."""
    left, top, right, bottom = np.clip(np.rint(GRID * box), 0, GRID).astype(int).tolist()
    inside = changed[top : max(bottom, top + 1), left : max(right, left + 1)]
    return bool(inside.size) and float(inside.mean()) >= 255 * MIN_BODY_CHANGED


def _on_body(keypoints: np.ndarray, cells: np.ndarray, aspect: float) -> np.ndarray:
    """Which cells' middles (c,) lie on a body of keypoints (17, 3)."""
    row, column = np.divmod(cells, GRID)
    points = np.stack(((column + 0.5) / GRID * aspect, (row + 0.5) / GRID), axis=1)
    at = {name: keypoints[i, :2] * [aspect, 1] for i, name in enumerate(COCO_KEYPOINTS)}
    seen = {name: keypoints[i, 2] >= 0.5 for i, name in enumerate(COCO_KEYPOINTS)}
    if not all(seen[name] for name in TORSO):
        return np.zeros(len(cells), bool)
    shoulders, hips = (
        (at[f"left_{name}"] + at[f"right_{name}"]) / 2 for name in ("shoulder", "hip")
    )
    torso = float(np.linalg.norm(shoulders - hips))
    half = float(np.linalg.norm(at["left_shoulder"] - at["right_shoulder"])) / 2
    found = _near(points, shoulders, hips, max(0.9 * half, MIN_TORSO_WIDTH * torso))
    for first, last in LIMBS:
        if seen[first] and seen[last]:
            found |= _near(points, at[first], at[last], LIMB_WIDTH * torso)
    if seen["nose"]:
        found |= _near(points, at["nose"], at["nose"], HEAD_WIDTH * torso)
    return found


def _near(points: np.ndarray, first: np.ndarray, last: np.ndarray, reach: float) -> np.ndarray:
    """Which points (c, 2) lie within ``reach`` of the line between two."""
    along = last - first
    share = np.clip((points - first) @ along / max(float(along @ along), 1e-9), 0, 1)
    away = points - first - share[:, None] * along
    inside = max(reach - MARGIN / GRID, 0.0)
    return np.asarray((away * away).sum(axis=1) < inside * inside)


def _boxes(cells: np.ndarray, *kinds: tuple[np.ndarray, int]) -> list[Box]:
    """Boxes around connected cells that hold enough seeds of one kind; all are flat flags.

    A cell speaks for its neighbours, too, so a box is half a cell smaller on each side.
    """
    cells = cells | np.logical_or.reduce([seeds for seeds, _ in kinds])
    image = cells.reshape(GRID, GRID).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(image)
    is_found = np.zeros(count, bool)
    for seeds, least in kinds:
        is_found |= np.bincount(labels.ravel()[seeds], minlength=count) >= least
    boxes: list[Box] = []
    for left, top, width, height in stats[1:, :4][is_found[1:]].tolist():
        ends = (left + 0.5, top + 0.5, left + width - 0.5, top + height - 0.5)
        boxes.append((ends[0] / GRID, ends[1] / GRID, ends[2] / GRID, ends[3] / GRID))
    return boxes
