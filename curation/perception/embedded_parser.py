"""Clothes labels without a clothes network: body parts decide what may be, colours what is.

For each clip: colours of skin, hair and both garments are learned from sure places; then, for each
part and place along it, how often each material was seen there (so a sleeve ends at one place over
the whole clip); then each pixel takes the material that explains its colour and its place best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.body_parts import (
    ARM_PARTS,
    NUM_PARTS,
    Body,
    BodyPart,
    PartPixels,
    build_body,
    locate_on_body,
)
from curation.perception.clip_colors import (
    NUM_MATERIALS,
    ClipColors,
    ColorCounter,
    Material,
    color_bins,
    could_be_skin,
)
from curation.perception.protocols import BackendInfo, Person
from curation.perception.weights import POSE_LANDMARKS, WHEEL
from datasets.parts import ParseLabel

NUM_PLACES = 10  # bins along a part
EVIDENCE_WEIGHT = 0.6  # neighbouring pixels are alike: colours count less than if independent
EVIDENCE_BLUR = 5  # pixels, box
SHARPENING = 1.5  # of the clip's own statistics against the general ones
LEARNING_FRAMES = 24  # at most this many frames, evenly spread, teach colours and places

# How likely each material is on a part before anything was seen: skin, hair, upper, lower.
PART_PRIORS: dict[BodyPart, tuple[float, float, float, float]] = {
    BodyPart.TORSO: (0.03, 0.02, 0.90, 0.05),
    BodyPart.HEAD: (0.55, 0.44, 0.01, 0.0),
    BodyPart.NECK: (0.55, 0.10, 0.35, 0.0),
    BodyPart.UPPER_ARM_LEFT: (0.25, 0.01, 0.73, 0.01),
    BodyPart.LOWER_ARM_LEFT: (0.50, 0.005, 0.49, 0.005),
    BodyPart.HAND_LEFT: (0.93, 0.005, 0.06, 0.005),
    BodyPart.UPPER_LEG_LEFT: (0.15, 0.0, 0.15, 0.70),
    BodyPart.LOWER_LEG_LEFT: (0.40, 0.0, 0.02, 0.58),
    BodyPart.FOOT_LEFT: (0.50, 0.0, 0.0, 0.50),
}
MATERIAL_LABELS: dict[BodyPart, tuple[ParseLabel, ParseLabel, ParseLabel, ParseLabel]] = {
    BodyPart.TORSO: (ParseLabel.OTHER, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER),
    BodyPart.HEAD: (ParseLabel.FACE, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.UPPER),
    BodyPart.NECK: (ParseLabel.OTHER, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.UPPER),
    BodyPart.UPPER_ARM_LEFT: (
        ParseLabel.ARMS, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.LOWER_ARM_LEFT: (
        ParseLabel.ARMS, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.HAND_LEFT: (ParseLabel.HANDS, ParseLabel.HAIR, ParseLabel.UPPER, ParseLabel.LOWER),
    BodyPart.UPPER_LEG_LEFT: (
        ParseLabel.LEGS, ParseLabel.LOWER, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.LOWER_LEG_LEFT: (
        ParseLabel.LEGS, ParseLabel.LOWER, ParseLabel.UPPER, ParseLabel.LOWER,
    ),
    BodyPart.FOOT_LEFT: (ParseLabel.FEET, ParseLabel.FEET, ParseLabel.FEET, ParseLabel.FEET),
}  # fmt: skip
LEFT_OF = {part: part - 1 for part in range(BodyPart.UPPER_ARM_LEFT + 1, NUM_PARTS, 2)}


def _tables() -> tuple[np.ndarray, np.ndarray]:
    priors = np.zeros((NUM_PARTS, NUM_MATERIALS), np.float32)
    labels = np.zeros((NUM_PARTS, NUM_MATERIALS), np.uint8)
    for part in range(NUM_PARTS):
        source = BodyPart(LEFT_OF.get(part, part))
        priors[part], labels[part] = PART_PRIORS[source], MATERIAL_LABELS[source]
    return priors, labels


PRIORS, LABELS = _tables()


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """One frame's person: its pixels, where they lie on the body, and their colours."""

    frame: np.ndarray  # (h, w, 3) crop around the person
    on_person: np.ndarray  # (h, w) bool
    bins: np.ndarray  # (h, w) int32 colours
    located: PartPixels  # of the pixels on the person
    body: Body
    corner: tuple[int, int]  # top, left in the full frame


class EmbeddedParser:
    """Labels by geometry and by colours learned per clip; give it a whole clip at once."""

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name="embedded-parser",
            version=WHEEL,
            weights_sha256=POSE_LANDMARKS.sha256,
            is_approximate=True,
            note="no clothes network: upper and lower by body part and colour, no dresses",
        )

    def parse(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[np.ndarray]:
        """See ``HumanParser``; also all background for a person without landmarks and mask."""
        seen = [i for i, person in enumerate(people) if _is_usable(person)]
        chosen = seen[:: max(1, -(-len(seen) // LEARNING_FRAMES))]
        views = [_look(frames[i], people[i]) for i in chosen]
        counter = ColorCounter()
        for view in views:
            add_seeds(counter, view)
        colors = counter.colors()
        places = learn_places(views, colors)
        maps = [np.zeros(frame.shape[:2], np.uint8) for frame in frames]
        for i in seen:
            view = _look(frames[i], people[i])
            top, left = view.corner
            height, width = view.on_person.shape
            maps[i][top : top + height, left : left + width] = label_pixels(view, colors, places)
        return maps


def add_seeds(counter: ColorCounter, view: _View) -> None:
    """Count the colours of places where the body leaves no doubt."""
    located, bins = view.located, view.bins[view.on_person]
    part, along = located.part, located.along
    is_deep = located.radii < 0.6
    skin_like = could_be_skin(view.frame)[view.on_person]
    on_face = (part == BodyPart.HEAD) & (along > 0.5) & (located.radii < 0.75)
    if view.body.is_facing and skin_like[on_face].mean() > 0.3:
        counter.add(Material.SKIN, bins[on_face & skin_like])
    on_hand = np.isin(part, (BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT)) & is_deep
    counter.add(Material.SKIN, bins[on_hand & skin_like])
    crown = (part == BodyPart.HEAD) & (along < 0.02) & (located.radii > 0.55)
    if not view.body.is_facing:
        crown = (part == BodyPart.HEAD) & (located.radii < 0.8)
    counter.add(Material.HAIR, bins[crown])
    chest = (part == BodyPart.TORSO) & (along > 0.15) & (along < 0.75) & is_deep
    counter.add(Material.UPPER, bins[chest])
    thighs = np.isin(part, (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT))
    counter.add(Material.LOWER, bins[thighs & (along > 0.3) & (along < 0.75) & is_deep])


def learn_places(views: Sequence[_View], colors: ClipColors) -> np.ndarray:
    """Log-probability of each material at each place of each part, (parts, places, materials).

    Left and right share their statistics: garments are symmetric.
    """
    seen = np.repeat(6 * PRIORS[:, None], NUM_PLACES, axis=1) + 1e-3
    for view in views:
        located = view.located
        is_near = (located.part >= 0) & (located.radii < 1.0)
        part, place = located.part[is_near].astype(int), _places(located)[is_near]
        evidence = EVIDENCE_WEIGHT * colors.evidence(view.bins[view.on_person][is_near])
        scores = evidence.T + np.log(PRIORS[part] + 1e-4)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        cell = part * NUM_PLACES + place
        size = NUM_PARTS * NUM_PLACES
        count = np.maximum(np.bincount(cell, minlength=size), 1)
        for material in range(NUM_MATERIALS):
            mean = np.bincount(cell, weights=weights[:, material], minlength=size) / count
            seen[..., material] += mean.reshape(NUM_PARTS, NUM_PLACES)
    for right, left in LEFT_OF.items():
        seen[[left, right]] = seen[left] + seen[right]
    share = seen / seen.sum(-1, keepdims=True)
    return (SHARPENING * np.log(share)).astype(np.float32)


def label_pixels(view: _View, colors: ClipColors, places: np.ndarray) -> np.ndarray:
    """Labels of one person's crop, (h, w) uint8."""
    located, on_person = view.located, view.on_person
    evidence = EVIDENCE_WEIGHT * colors.evidence(view.bins)  # (materials, h, w)
    weight = cv2.blur(on_person.astype(np.float32), (EVIDENCE_BLUR, EVIDENCE_BLUR))
    smooth = (
        np.stack(
            [
                cv2.blur(layer * on_person, (EVIDENCE_BLUR, EVIDENCE_BLUR))[on_person]
                for layer in evidence
            ],
            axis=-1,
        )
        / np.maximum(weight[on_person], 1e-3)[:, None]
    )
    part = located.part.astype(int)
    scores = smooth + places[part, _places(located)]
    material = scores.argmax(1)
    labels = np.where(part >= 0, LABELS[part, material], ParseLabel.OTHER)
    # far outside a bare arm or a hand lies the cloth behind it, or nothing of the body
    labels[np.isin(part, ARM_PARTS) & (located.radii > 1.6) & (labels == ParseLabel.HANDS)] = (
        ParseLabel.OTHER
    )
    image = np.zeros(on_person.shape, np.uint8)
    image[on_person] = labels
    cleaned = cv2.medianBlur(image, 5)
    return np.where(on_person & (cleaned > 0), cleaned, image)


def _is_usable(person: Person | None) -> bool:
    return person is not None and person.landmarks is not None and person.mask is not None


def _look(frame: np.ndarray, person: Person | None) -> _View:
    assert person is not None
    assert person.landmarks is not None
    assert person.mask is not None
    left, top, wide, high = cv2.boundingRect(person.mask)
    wide, high = max(wide, 1), max(high, 1)
    crop = np.ascontiguousarray(frame[top : top + high, left : left + wide])
    on_person = person.mask[top : top + high, left : left + wide] > 127
    y, x = np.nonzero(on_person)
    body = build_body(person.landmarks)
    points = np.stack([x + left + 0.5, y + top + 0.5], axis=-1)
    return _View(
        frame=crop,
        on_person=on_person,
        bins=color_bins(crop),
        located=locate_on_body(points, body),
        body=body,
        corner=(top, left),
    )


def _places(located: PartPixels) -> np.ndarray:
    return np.minimum((located.along * NUM_PLACES).astype(int), NUM_PLACES - 1)
