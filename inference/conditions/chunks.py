"""What perception finds in a chunk of consecutive frames, and the mask derived from it.

Masks are closed over time, so a chunk's mask also depends on the frames before and after it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.boxes import grown_box
from curation.perception.protocols import DensePose, HumanParser, Perception
from datasets.densepose import paste_iuv
from datasets.labels import ParseLabel
from datasets.masks import MaskRule, MaskSettings, below_hem, frame_mask, protect
from datasets.masks_over_time import fill_lapses
from inference.conditions.picking import Picked
from inference.video.framing import CropWindow

_COARSE = 0.014  # of the height: steps of DensePose's outline
_BOX_MARGIN = 0.2  # of the box's sides: arms move between two samples


@dataclass(frozen=True, kw_only=True, eq=False)
class PerceivedFrames:
    """What perception finds in consecutive frames."""

    labels: np.ndarray  # (t, h, w) uint8 ParseLabel
    iuv: np.ndarray  # (t, h, w, 3) uint8 DensePose: I, U, V
    present: np.ndarray  # (t,) bool
    others: np.ndarray | None  # (t, h, w) bool: other people's pixels; None: nobody else is seen

    def spare_others(self, mask: np.ndarray) -> np.ndarray:
        """A mask (t, h, w) uint8 without other people's pixels."""
        return mask if self.others is None else np.where(self.others, np.uint8(0), mask)

    def __getitem__(self, rows: slice) -> "PerceivedFrames":
        return PerceivedFrames(
            labels=self.labels[rows], iuv=self.iuv[rows], present=self.present[rows],
            others=None if self.others is None else self.others[rows],
        )  # fmt: skip


def perceive_frames(
    frames: Sequence[np.ndarray],
    picked: Sequence[Picked],
    perception: Perception,
    parser: HumanParser,
    framing: CropWindow,
) -> PerceivedFrames:
    """Labels and DensePose of one person in some frames.

    Args:
        frames: RGB (out_height, out_width, 3) uint8.
        picked: who is who in each. Others' pixels are not painted, nor anything far from the
            person, even if the person's mask extends into others.
        perception: the models.
        parser: one that has learned the person's clothes.
        framing: gives the frames' size.
    """
    height, width = framing.out_height, framing.out_width
    people = [one.person for one in picked]
    labels = np.stack(parser.parse(frames, people))
    poses = perception.densepose.estimate(frames, people)
    iuv = _full_size(poses, height, width)
    taken: np.ndarray | None = None
    if any(one.others or one.paintable is not None for one in picked):
        taken = np.stack([_taken(one, height, width) for one in picked])
    # a patch of person without a pose cannot be dressed: treated as not seen
    present = np.array([pose is not None for pose in poses], bool)
    return PerceivedFrames(labels=labels, iuv=iuv, present=present, others=taken)


def _taken(picked: Picked, height: int, width: int) -> np.ndarray:
    """Pixels of a frame that are never painted, whatever a mask says, (height, width) bool."""
    taken = np.zeros((height, width), bool)
    for other in picked.others:
        if other.mask is not None:
            taken |= other.mask > 127
    if picked.person is not None and picked.person.mask is not None:
        taken &= picked.person.mask <= 127
    if picked.paintable is not None:
        taken |= _far_from(picked.paintable, height, width)
    return taken


def _far_from(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels outside a box and its margin, (height, width) bool."""
    left, top, right, bottom = grown_box(box, _BOX_MARGIN, height, width)
    far = np.ones((height, width), bool)
    far[top:bottom, left:right] = False
    return far


def draw_masks(perceived: PerceivedFrames, rule: MaskRule) -> np.ndarray:
    """Each frame's own mask; empty where the person is absent."""
    settings = MaskSettings()
    drawn = np.zeros(perceived.labels.shape, np.uint8)
    for row in np.flatnonzero(perceived.present):
        drawn[row] = frame_mask(perceived.labels[row], perceived.iuv[row, ..., 0], rule, settings)
    return drawn


def still_masks(perceived: PerceivedFrames, rule: MaskRule) -> np.ndarray:
    """Masks of frames that are far apart in time, (t, h, w) uint8, without their neighbours."""
    drawn = draw_masks(perceived, rule)
    return perceived.spare_others(protect(drawn, drawn, perceived.labels, rule))


def chunk_mask(
    before: PerceivedFrames | None,
    now: PerceivedFrames,
    after: PerceivedFrames | None,
    context: int,
    longest: int,
    rule: MaskRule,
) -> np.ndarray:
    """The mask of a chunk, closed over time across its borders, (t, h, w) uint8.

    Args:
        before: the chunk before it; None at the start.
        now: the chunk.
        after: the chunk after it; None at the end.
        context: how many frames of the neighbours matter.
        longest: gaps of up to this many frames without the person are bridged.
        rule: what is painted.
    """
    pieces = [now]
    start = 0
    if before is not None:
        pieces.insert(0, before[slice(-context, None)])
        start = len(pieces[0].present)
    if after is not None:
        pieces.append(after[slice(0, context)])
    labels = np.concatenate([piece.labels for piece in pieces])
    present = np.concatenate([piece.present for piece in pieces])
    drawn = np.concatenate([draw_masks(piece, rule) for piece in pieces])
    widths = MaskSettings()
    closed = fill_lapses(drawn, widths.closing_frames, widths.lapse)
    mask = protect(closed, drawn, labels, rule)
    mask[~present] = 0
    _bridge(mask, present, longest)
    return now.spare_others(mask[start : start + len(now.present)])


def chunk_hem(perceived: PerceivedFrames, rule: MaskRule) -> np.ndarray:
    """Where a longer garment may lie over what is worn below it, (t, h, w) bool."""
    rows = zip(perceived.labels, perceived.iuv[..., 0], perceived.present, strict=True)
    hem = np.stack([below_hem(labels, parts, rule) & present for labels, parts, present in rows])
    return hem if perceived.others is None else hem & ~perceived.others


def chunk_ground(perceived: PerceivedFrames) -> np.ndarray:
    """What the parser takes for background, beside DensePose's body or at its edge, (t, h, w) bool.

    DensePose's outline is coarse, the parser's is not.
    """
    size = 2 * round(_COARSE * perceived.labels.shape[1]) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    bodies = [cv2.erode(np.where(iuv[..., 0] > 0, np.uint8(1), 0), disc) for iuv in perceived.iuv]
    nobody = (perceived.labels == ParseLabel.BACKGROUND) & (np.stack(bodies) == 0)
    return nobody & perceived.present[:, None, None]


def chunk_bare(perceived: PerceivedFrames) -> np.ndarray:
    """What the parser takes for bare arms, (t, h, w) bool."""
    bare = (perceived.labels == ParseLabel.ARMS) & perceived.present[:, None, None]
    return bare if perceived.others is None else bare & ~perceived.others


def _bridge(mask: np.ndarray, present: np.ndarray, longest: int) -> None:
    """Bridge short gaps of the detector with the union of the masks at the gap's two ends."""
    for before, after in itertools.pairwise(np.flatnonzero(present)):
        if 1 < after - before <= longest:
            mask[before + 1 : after] = np.maximum(mask[before], mask[after])


def _full_size(poses: Sequence[DensePose | None], height: int, width: int) -> np.ndarray:
    """IUV in whole frames, (t, height, width, 3) uint8; zeros where there is no person."""
    side = next((pose.iuv.shape[0] for pose in poses if pose is not None), 112)
    grids = np.zeros((len(poses), side, side, 3), np.uint8)
    boxes = np.zeros((len(poses), 4), np.float32)
    for index, pose in enumerate(poses):
        if pose is not None:
            grids[index], boxes[index] = pose.iuv, pose.box
    return paste_iuv(grids, boxes, height, width)
