"""Labels corrupted on purpose, on rendered dancers whose truth is known: flagged, and cut off."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError
from curation.clip import Clip, Tracks, first_failed
from curation.perception.protocols import Person
from curation.stages.check_labels import FAULTS, CheckLabels, LabelsConfig
from datasets.densepose import paste_iuv
from datasets.labels import DensePosePart, ParseLabel
from datasets.masks import inpainting_mask
from datasets.synthetic.clips import render_frames
from datasets.synthetic.dataset import draw_clip
from datasets.synthetic.motion import dance

P, D = ParseLabel, DensePosePart
HEIGHT, WIDTH, COUNT, FPS = 192, 144, 8, 8.0
SHORTS, TROUSERS, SKIRT = 13, 2, 14
PARTS = {
    P.FACE: D.HEAD_LEFT, P.HAIR: D.HEAD_LEFT, P.OTHER: D.HEAD_LEFT, P.UPPER: D.TORSO_FRONT,
    P.ARMS: D.LOWER_ARM_LEFT_FRONT, P.HANDS: D.HAND_LEFT, P.LOWER: D.UPPER_LEG_LEFT_FRONT,
    P.LEGS: D.LOWER_LEG_LEFT_FRONT, P.FEET: D.FOOT_LEFT,
}  # fmt: skip
JOINTS = {5: "left_shoulder", 6: "right_shoulder", 11: "left_hip", 12: "right_hip"}


@cache
def rendered(index: int) -> Tracks:
    """A dancer with true labels, true keypoints of the trunk, and parts from the labels."""
    spec = draw_clip(0, "train", index, height=HEIGHT, width=WIDTH, num_frames=COUNT, fps=FPS)
    spec = replace(spec, pan_m=(0.0, 0.0), zoom=0.0, energy=0.5)
    frames, labels = (np.stack(track) for track in zip(*render_frames(spec), strict=True))
    body = spec.dancers[0].figure.body
    people = []
    for pose in dance(body, [*spec.seed, 5, 0], COUNT, FPS, spec.energy, spec.liveliness):
        keypoints = np.ones((17, 3), np.float32)
        for row, name in JOINTS.items():
            keypoints[row, :2] = spec.camera.project(pose.joints[name])
        box = np.array([0, 0, WIDTH, HEIGHT], np.float32)
        people.append(Person(box=box, score=1.0, keypoints=keypoints))
    table = np.zeros(256, np.uint8)
    for label, part in PARTS.items():
        table[label] = part
    iuv = np.zeros((COUNT, 112, 112, 3), np.uint8)
    for grid, shown in zip(iuv, labels, strict=True):
        grid[..., 0] = table[cv2.resize(shown, (112, 112), interpolation=cv2.INTER_NEAREST)]
    boxes = np.array([[0, 0, WIDTH, HEIGHT]] * COUNT, np.float32)
    return Tracks(frames=frames, people=people, iuv=iuv, boxes=boxes, parse=labels)


def checked(
    tracks: Tracks, parse: np.ndarray, config: LabelsConfig | None = None
) -> tuple[CheckLabels, Clip]:
    assert tracks.iuv is not None
    assert tracks.boxes is not None
    iuv = paste_iuv(tracks.iuv, tracks.boxes, HEIGHT, WIDTH)
    tracks = replace(tracks, parse=parse, mask=inpainting_mask(parse, iuv, "upper"))
    stage = CheckLabels(config=config or LabelsConfig(), category="upper", min_duration_s=0.5)
    clip = Clip(
        source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=1, start_s=2.0,
        end_s=2.0 + COUNT / FPS, fps=FPS, num_frames=COUNT,
    )  # fmt: skip
    return stage, stage.process(clip, tracks)[0]


def without_labels(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    parse[0] = P.BACKGROUND
    return parse


def head_on_chest(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    """The head's labels slide down over the shirt, as where landmarks fail."""
    for row in range(3):
        head = np.isin(parse[row], (P.FACE, P.HAIR))
        person = tracks.people[row] if tracks.people else None
        assert person is not None
        reach = int(person.keypoints[[5, 11], 1].mean() - np.nonzero(head)[0].mean())
        moved = np.roll(np.where(head, parse[row], 0), reach, axis=0)
        parse[row] = np.where(moved > 0, moved, np.where(head, P.BACKGROUND, parse[row]))
    return parse


def shorts_as_upper(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    parse[:3][parse[:3] == P.LOWER] = P.UPPER
    return parse


def all_shorts_as_upper(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    parse[parse == P.LOWER] = P.UPPER
    return parse


def shirt_as_lower(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    parse[parse == P.UPPER] = P.LOWER
    return parse


def bare_shoulder(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    """A quarter of the shirt is called hair, and stays."""
    for shown in parse[5:]:
        rows, columns = np.nonzero(shown == P.UPPER)
        y, x = np.indices(shown.shape)
        shown[(shown == P.UPPER) & (y < np.median(rows)) & (x < np.median(columns))] = P.HAIR
    return parse


def flicker(parse: np.ndarray, tracks: Tracks) -> np.ndarray:
    """The lower half of the shirt is background in two frames."""
    for shown in parse[2:4]:
        rows = np.nonzero(shown == P.UPPER)[0]
        below = np.arange(HEIGHT)[:, None] > np.median(rows)
        shown[(shown == P.UPPER) & below] = P.BACKGROUND
    return parse


Corrupt = Callable[[np.ndarray, Tracks], np.ndarray]


@pytest.mark.parametrize(
    ("index", "corrupt", "fault", "frames"),
    [
        (SHORTS, without_labels, "unmapped", {0}),
        (TROUSERS, head_on_chest, "head", {0, 1, 2}),
        (SHORTS, shorts_as_upper, "hips", {0, 1, 2}),
        (SHORTS, all_shorts_as_upper, "hips", set(range(COUNT))),
        (SKIRT, shorts_as_upper, "hips", {0, 1, 2}),
        (TROUSERS, shirt_as_lower, "hips", set(range(COUNT))),
        (TROUSERS, bare_shoulder, "outside", {5, 6, 7}),
        (SHORTS, bare_shoulder, "outside", {5, 6, 7}),
        (SHORTS, flicker, "jump", {2, 4}),
    ],
)
def test_each_fault_is_seen_in_its_frames(
    index: int, corrupt: Corrupt, fault: str, frames: set[int]
) -> None:
    tracks = rendered(index)
    assert tracks.parse is not None
    stage, clip = checked(tracks, corrupt(tracks.parse.copy(), tracks))
    found = stage._faults(clip)
    assert set(np.flatnonzero(found[fault]).tolist()) == frames
    assert FAULTS[fault] in clip.verdicts["labels"]
    part = stage.kept(clip)
    assert part is not None
    assert not frames & set(range(part.start + (fault == "jump"), part.stop))


@pytest.mark.parametrize("index", [SHORTS, TROUSERS, SKIRT])
def test_right_labels_are_not_flagged(index: int) -> None:
    tracks = rendered(index)
    assert tracks.parse is not None
    stage, clip = checked(tracks, tracks.parse)
    assert stage.kept(clip) is None
    assert clip.verdicts["labels"] == "right"
    assert first_failed(stage.checks(clip)) is None


def test_what_is_left_must_be_long_enough_and_a_limit_of_1_checks_nothing() -> None:
    tracks = rendered(TROUSERS)
    assert tracks.parse is not None
    stage, clip = checked(tracks, bare_shoulder(tracks.parse.copy(), tracks))
    assert stage.kept(clip) == slice(0, 5)
    assert first_failed(stage.checks(clip)) is None
    strict = replace(stage, min_duration_s=0.75)
    reject = first_failed(strict.checks(clip))
    assert reject is not None
    assert reject.code == "wrong_labels"
    assert reject.evidence["outside"] == 3
    failed = {c.key: c.value for c in strict.checks(clip) if not c.code and c.is_passed is False}
    assert failed.keys() == {"labels.max_outside", "labels.max_jump"}
    enough = {key.removeprefix("labels."): float(str(value)) for key, value in failed.items()}
    lenient = replace(strict, config=LabelsConfig(**enough))
    assert first_failed(lenient.checks(clip)) is None
    assert all(check.is_passed for check in stage.checks(clip) if check.rule)
    assert replace(stage, config=LabelsConfig(max_outside=1, max_jump=1)).kept(clip) is None
    with pytest.raises(ConfigError, match=r"max_head is 2; accepted: at least 0 and at most 1"):
        LabelsConfig(max_head=2)
