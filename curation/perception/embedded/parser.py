"""Clothes labels without a clothes network: body parts limit the materials, colours decide.

For each clip, the colours of skin, hair and both garments are learned from reliable places; then,
for each part and place along it, how often each material occurs there (so a sleeve ends at one
place in the whole clip); then each pixel gets the material that best explains its colour and place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.embedded.body_parts import BodyPart
from curation.perception.embedded.clip_colours import (
    NUM_MATERIALS,
    UNKNOWN,
    ClipColors,
    ColourClass,
)
from curation.perception.embedded.clothes_learning import (
    EVIDENCE_WEIGHT,
    hand_threshold,
    learn_clip,
)
from curation.perception.embedded.collars import without_dots_on_chins, without_stray_hair
from curation.perception.embedded.hands import refine_hands, without_forearms
from curation.perception.embedded.held import WornColours, with_things_in_front, worn_colours
from curation.perception.embedded.part_priors import CUT_HEAD_PRIORS, LABELS
from curation.perception.embedded.person_view import PersonView, is_usable, look_at
from curation.perception.embedded.weights import POSE_LANDMARKS, WHEEL
from curation.perception.protocols import BackendInfo, Person
from curation.versions import EMBEDDED_PARSER
from datasets.labels import ParseLabel

EVIDENCE_WINDOW = (5, 5)  # pixels
EDGE_WINDOW = (3, 3)  # for the edges of hands: fingers are thin
SURELY_NOT = -20.0  # nats
TOES = 0.5  # along a foot, from the ankle
ON_FOOT = 1.3  # radii of a foot: what is further away is a trouser leg that falls over it
WORN_HERE = 2.0  # nats for cloth in a hand's place, where the trunk shows its colour there
UNLIKE_SKIN = -0.5  # threshold of a hand at which that counts in full; at 0, hands look like cloth
HAND_EDGE = 0.6  # nats beyond the threshold that show the edge of a hand in front of such cloth
ABOVE_HIPS = 0.6  # along the trunk: what a hand is in front of there is no lower garment
LOWER_DOUBT = 3.0  # nats: a hand in front of the trousers is likelier than trousers in its place
LEARNING_FRAMES = 24  # at most this many frames, evenly spread, are used for learning


class EmbeddedParser:
    """Labels from geometry and per-clip colours; pass it a whole clip at once."""

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name="embedded-parser",
            version=f"{WHEEL}, revision {EMBEDDED_PARSER}",
            weights_sha256=POSE_LANDMARKS.sha256,
            is_approximate=True,
            note="no clothes network: upper and lower by body part and colour, no dresses",
        )

    def parse(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[np.ndarray]:
        """See ``HumanParser``; all background for a person without landmarks and mask."""
        learned, views = _learn(frames, people, self.info)
        return learned.parse(frames, people, views)

    def learned(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> "LearnedParser":
        """See ``ClipParser``; uses at most ``LEARNING_FRAMES``, evenly spread."""
        return _learn(frames, people, self.info)[0]


@dataclass(frozen=True, eq=False)
class LearnedParser:
    """The colours and places of one clip's clothes, for any frame of it."""

    colors: ClipColors
    places: np.ndarray  # log-probabilities (parts, places, materials)
    hand_threshold: float  # least log ratio of skin to cloth for a hand's pixel, nats
    worn: WornColours
    info: BackendInfo

    def parse(
        self,
        frames: Sequence[np.ndarray],
        people: Sequence[Person | None],
        views: Mapping[int, PersonView] | None = None,
    ) -> list[np.ndarray]:
        """See ``HumanParser``; ``views``: already computed views of frames, by index."""
        views = views or {}
        maps = [np.zeros(frame.shape[:2], np.uint8) for frame in frames]
        for i, (frame, person) in enumerate(zip(frames, people, strict=True)):
            if not is_usable(person):
                continue
            view = views[i] if i in views else look_at(frame, person)
            top, left = view.corner
            height, width = view.on_person.shape
            labels = label_pixels(view, self.colors, self.places, self.hand_threshold, self.worn)
            labels = with_things_in_front(labels, view, self.worn)
            maps[i][top : top + height, left : left + width] = labels
        return maps


def _learn(
    frames: Sequence[np.ndarray], people: Sequence[Person | None], info: BackendInfo
) -> tuple[LearnedParser, dict[int, PersonView]]:
    seen = [i for i, person in enumerate(people) if is_usable(person)]
    chosen = seen[:: max(1, -(-len(seen) // LEARNING_FRAMES))]
    views = {i: look_at(frames[i], people[i]) for i in chosen}
    colors, places = learn_clip(list(views.values()))
    threshold = hand_threshold(list(views.values()), colors)
    worn = worn_colours(list(views.values()))
    return LearnedParser(colors, places, threshold, worn, info), views


def label_pixels(
    view: PersonView,
    colors: ClipColors,
    places: np.ndarray,
    hand_threshold: float,
    worn: WornColours,
) -> np.ndarray:
    """Labels of one person's crop, (h, w) uint8."""
    located, on_person = view.located, view.on_person
    part = located.part.astype(int)
    prior = places[part, view.place]
    if view.is_cut_at_head:
        on_head = np.isin(part, (BodyPart.HEAD, BodyPart.NECK))
        prior[on_head] = np.log(np.array(CUT_HEAD_PRIORS) + 1e-4)
    prior[_in_shoes_like_trousers(view, colors), ColourClass.LOWER] = SURELY_NOT
    labels = LABELS[part]
    rows = view.nearest_sample
    layers = view.spread(colors.of_bin.take(view.inside(view.bins), axis=0), 0)
    evidence = _averaged(view, layers, EVIDENCE_WINDOW)
    scores = EVIDENCE_WEIGHT * evidence + prior.take(rows, axis=0)
    by_part = labels.take(rows * NUM_MATERIALS + scores.argmax(1))
    is_far = (part < 0).take(rows)
    by_part[is_far] = _far_from_parts(evidence[is_far])
    image = view.spread(by_part, 0)
    sharp_evidence = _averaged(view, layers, EDGE_WINDOW)
    image = _with_hands(image, view, evidence, sharp_evidence, hand_threshold, worn)
    cleaned = cv2.medianBlur(image, 5)
    cleaned = np.where(on_person & (cleaned > 0), cleaned, image)
    return without_dots_on_chins(without_stray_hair(cleaned, view, evidence), view)


def _far_from_parts(evidence: np.ndarray) -> np.ndarray:
    """Labels (k,) by colour alone, of pixels far from every part of the body.

    Flared trousers are, and sleeves that the landmarks miss. Skin is ``OTHER`` there: it may be a
    hand. Evidence is (k, materials).
    """
    upper, lower = evidence[:, ColourClass.UPPER], evidence[:, ColourClass.LOWER]
    is_cloth = np.maximum(upper, lower) > np.maximum(evidence[:, ColourClass.SKIN], UNKNOWN)
    cloth = np.where(lower > upper, np.uint8(ParseLabel.LOWER), np.uint8(ParseLabel.UPPER))
    return np.where(is_cloth, cloth, np.uint8(ParseLabel.OTHER))


def _in_shoes_like_trousers(view: PersonView, colors: ClipColors) -> np.ndarray:
    """Pixels of feet whose toes are in the trousers' colours, (m,) bool: colour tells nothing."""
    part, along = view.located.part, view.located.along
    found = np.zeros(len(part), bool)
    for foot in (BodyPart.FOOT_LEFT, BodyPart.FOOT_RIGHT):
        toes = (part == foot) & (along > TOES) & (view.located.radii < 0.7)
        evidence = colors.evidence(view.sampled_bins[toes])
        if toes.any() and (evidence[ColourClass.LOWER] > UNKNOWN).mean() > 0.5:
            found |= (part == foot) & (view.located.radii < ON_FOOT)
    return found


def _averaged(view: PersonView, layers: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Layers (h, w, materials), 0 off the person, averaged over the person in a window.

    Returns:
        (n, materials).
    """
    weight = view.inside(cv2.blur(view.on_person.astype(np.float32), window))
    averaged = view.inside(cv2.blur(layers, window))
    averaged /= np.maximum(weight, 1e-3)[:, None]
    return averaged


def _with_hands(
    labels: np.ndarray,
    view: PersonView,
    evidence: np.ndarray,
    sharp_evidence: np.ndarray,
    threshold: float,
    worn: WornColours,
) -> np.ndarray:
    """Hands by colour around the wrists; evidence is (n, materials), averaged over two windows.

    A badge or a print that the trunk shows at that place in other frames is no hand.
    """
    rows, located = view.nearest_sample, view.located
    ratios = []
    for materials in (evidence, sharp_evidence):
        skin, _, upper, lower = np.ascontiguousarray(materials.T)
        ratios.append(view.spread(skin - np.maximum(upper, lower - LOWER_DOUBT), -np.inf))
    for_cloth = WORN_HERE * np.float32(np.clip(threshold / UNLIKE_SKIN, 0, 1))
    log_ratio = ratios[0] - for_cloth * view.spread(worn.on_trunk(view).astype(np.float32), 0)
    is_lower = evidence[:, ColourClass.LOWER] > evidence[:, ColourClass.UPPER]
    is_lower &= ~((view.trunk.part >= 0) & (view.trunk.along < ABOVE_HIPS)).take(rows)
    cloth = view.spread(
        np.where(is_lower, np.uint8(ParseLabel.LOWER), np.uint8(ParseLabel.UPPER)), 0
    )
    is_neckline = (located.part == BodyPart.NECK) | (
        (located.part == BodyPart.TORSO) & (located.along < 0.2) & (np.abs(located.across) < 0.6)
    )
    is_neckline &= view.hand_distance > 1
    distance = np.where(is_neckline, np.float32(np.inf), view.hand_distance)
    distance = view.spread(distance.astype(np.float32).take(rows), np.inf)
    is_edge = (ratios[1] >= threshold + HAND_EDGE) & (log_ratio < threshold) & (distance < 1)
    sharp_ratio = np.where(is_edge, np.float32(np.inf), ratios[1])
    scale = view.body.scale
    refined = refine_hands(labels, log_ratio, sharp_ratio, cloth, distance, threshold, scale)
    return without_forearms(refined, view.body, view.corner, threshold)
