"""How right the embedded labels are on dancers in difficult clothes, and whether faults are seen.

    python -m tests.bench.labels --seed 7            # 48 dancers, 12 frames each
    python -m tests.bench.labels --seed 7 --dancers 6 --csv labels.csv

Kinds take turns (``labels_cast.KINDS``). A row a dancer: the share of the truly upper and lower
pixels with that very label, the share of them with the other one's, the old upper garment outside
the mask, hands kept, bare arms painted, things in a hand kept, and the label faults that curation
sees. ``BARS`` are for every dancer; one below ``MIN_RIGHT`` that no fault flags is ``unseen``.
"""

import argparse
import csv
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from curation.clip import Tracks
from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.densepose import EmbeddedDensePose
from curation.perception.embedded.parser import EmbeddedParser
from curation.perception.protocols import Person
from curation.stages.check_labels import LabelsConfig
from curation.stages.label_faults import measure_faults
from datasets.densepose import paste_iuv
from datasets.labels import ParseLabel
from datasets.masks import held_things, inpainting_mask
from datasets.synthetic.clips import RenderedClip, render_clip
from tests.bench.labels_cast import HEADLESS, KINDS, draw_labels_clip

P = ParseLabel
GRID = 112
HEIGHT, WIDTH = 512, 384
EDGE = 2  # pixels on both sides of every outline, which are not judged
WRIST = 10  # pixels of an arm next to its hand, which are not judged: half a palm
MIN_RIGHT = 0.97
MAX_LEAK = 0.01
MIN_HANDS, MIN_ARMS, MIN_HELD = 0.95, 0.95, 0.9


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """One dancer's labels against the truth; shares in 0..1, None where there is none to judge."""

    right: float  # of truly upper and lower pixels
    swapped: float  # called the other of both
    leak: float  # of the upper garment, outside the mask
    hands: float | None  # kept
    arms: float | None  # bare skin of arms, painted
    held: float | None  # kept
    found: float  # frames with a person
    faults: str  # that curation sees

    @property
    def missed(self) -> list[str]:
        """The bars it misses; ``unseen``: wrong labels without a fault."""
        at_least = {"hands": MIN_HANDS, "arms": MIN_ARMS, "held": MIN_HELD, "right": MIN_RIGHT}
        missed = [name for name, bar in at_least.items() if (getattr(self, name) or 1.0) < bar]
        missed += ["leak"] * (self.leak > MAX_LEAK)
        return missed + ["unseen"] * (self.right < MIN_RIGHT and not self.faults)


def render_kind(seed: int, index: int, num_frames: int, fps: float) -> RenderedClip:
    """Dancer ``index``, 512x384; a headless one is cut below the chin of every frame."""
    clip = render_clip(
        draw_labels_clip(
            seed, "train", index, height=HEIGHT, width=WIDTH, num_frames=num_frames, fps=fps
        )
    )
    if KINDS[index % len(KINDS)] != HEADLESS:
        return clip
    is_head = np.asarray(np.isin(clip.parse, (P.FACE, P.HAIR)).any(axis=2))
    chins = [np.flatnonzero(rows)[-1] + 1 for rows in is_head if rows.any()]
    top = int(np.median(chins)) // 2 * 2
    return replace(
        clip, frames=clip.frames[:, top:], parse=clip.parse[:, top:],
        garment_mask=clip.garment_mask[:, top:], person_mask=clip.person_mask[:, top:],
    )  # fmt: skip


def tracks_of(frames: np.ndarray) -> Tracks:
    """What the embedded models make of frames (t, h, w, 3): people, surfaces, labels, mask."""
    shown = list(frames)
    people: list[Person | None] = [
        found[0] if found else None for found in EmbeddedDetector().detect(shown)
    ]
    labels = np.stack(EmbeddedParser().parse(shown, people))
    iuv = np.zeros((len(shown), GRID, GRID, 3), np.uint8)
    boxes = np.zeros((len(shown), 4), np.float32)
    for row, surface in enumerate(EmbeddedDensePose().estimate(shown, people)):
        if surface is not None:
            iuv[row], boxes[row] = surface.iuv, surface.box
    mask = inpainting_mask(labels, paste_iuv(iuv, boxes, *frames.shape[1:3]), "upper")
    return Tracks(frames=frames, people=people, iuv=iuv, boxes=boxes, parse=labels, mask=mask)


def without_edges(labels: np.ndarray) -> np.ndarray:
    """Pixels of (t, h, w) labels that are further than ``EDGE`` from another label, bool."""
    kernel = np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)
    outlines = [cv2.dilate(one, kernel) - cv2.erode(one, kernel) for one in labels]
    return np.stack(outlines) == 0


def score_labels(truth: np.ndarray, tracks: Tracks, kind: str, has_bare_arms: bool) -> LabelScore:
    """Compare labels and mask with the truth (t, h, w) uint8 ``ParseLabel``."""
    assert tracks.parse is not None
    assert tracks.mask is not None
    assert tracks.people is not None
    painted = tracks.mask > 0
    cloth = np.isin(truth, (P.UPPER, P.LOWER)) & without_edges(truth)
    hands = (truth == P.HANDS).astype(np.uint8)
    wrists = np.stack([cv2.dilate(one, np.ones((2 * WRIST + 1,) * 2, np.uint8)) for one in hands])
    other = np.where(truth == P.UPPER, int(P.LOWER), int(P.UPPER))

    def share(part: np.ndarray, wanted: np.ndarray) -> float | None:
        return float((part & wanted).sum() / part.sum()) if part.any() else None

    limits = LabelsConfig()
    faults = {
        name: int((values > getattr(limits, f"max_{name}")).sum())
        for name, values in measure_faults(tracks, "upper").items()
    }
    return LabelScore(
        right=share(cloth, tracks.parse == truth) or 0.0,
        swapped=share(cloth, tracks.parse == other) or 0.0,
        leak=share(truth == P.UPPER, ~painted) or 0.0,
        hands=share(truth == P.HANDS, ~painted),
        arms=share((truth == P.ARMS) & (wrists == 0), painted) if has_bare_arms else None,
        held=share(np.stack([held_things(labels) for labels in truth]), ~painted)
        if kind == "bag"
        else None,
        found=float(np.mean([person is not None for person in tracks.people])),
        faults=" ".join(f"{name}:{count}" for name, count in faults.items() if count),
    )


COLUMNS = ("right", "swapped", "leak", "hands", "arms", "held", "found")


def main(argv: list[str]) -> None:
    """Print the table, and what of it misses a bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="one that nothing was tuned on")
    parser.add_argument("--dancers", type=int, default=48)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--fps", type=float, default=6.0)
    parser.add_argument("--kind", choices=KINDS, default=None, help="of these dancers, one kind")
    parser.add_argument("--csv", type=Path, default=None)
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    scores: dict[int, LabelScore] = {}
    print(f"{'dancer':18s}" + "".join(f"{column:>9s}" for column in COLUMNS))
    for index in range(arguments.first, arguments.first + arguments.dancers):
        if arguments.kind not in (None, KINDS[index % len(KINDS)]):
            continue
        clip = render_kind(arguments.seed, index, arguments.frames, arguments.fps)
        scores[index] = score = score_labels(
            clip.parse, tracks_of(clip.frames), KINDS[index % len(KINDS)],
            clip.garment_spec["sleeves"] != "long",
        )  # fmt: skip
        values = [getattr(score, column) for column in COLUMNS]
        cells = [f"{'-':>9s}" if value is None else f"{value:9.3f}" for value in values]
        name = f"{index:3d} {KINDS[index % len(KINDS)]}"
        missed = f"  misses {', '.join(score.missed)}" if score.missed else ""
        print(f"{name:18s}" + "".join(cells) + f"  {score.faults}{missed}", flush=True)
    for kind in (*KINDS, "all"):
        group = [s for i, s in scores.items() if kind in ("all", KINDS[i % len(KINDS)])]
        if not group:
            continue
        means = [np.mean([v for s in group if (v := getattr(s, c)) is not None] or [np.nan])
                 for c in COLUMNS]  # fmt: skip
        print(f"{kind + f' ({len(group)})':18s}" + "".join(f"{mean:9.3f}" for mean in means))
    names = ("right", "unseen", "leak", "hands", "arms", "held")
    counts = {n: sum(n in score.missed for score in scores.values()) for n in names}
    print("dancers that miss a bar: " + ", ".join(f"{n} {count}" for n, count in counts.items()))
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["dancer", *asdict(next(iter(scores.values())))])
            writer.writeheader()
            writer.writerows({"dancer": index, **asdict(s)} for index, s in scores.items())


if __name__ == "__main__":
    main(sys.argv[1:])
