"""Clothes labels without a clothes network: body parts decide what may be, colours what is.

For each clip: colours of skin, hair and both garments are learned from sure places; then, for each
part and place along it, how often each material was seen there (so a sleeve ends at one place over
the whole clip); then each pixel takes the material that explains its colour and its place best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.body_parts import (
    NUM_PARTS,
    Body,
    BodyPart,
    PartPixels,
    build_body,
    locate_on_body,
)
from curation.perception.clip_colors import (
    NUM_MATERIALS,
    UNKNOWN,
    ClipColors,
    ColorCounter,
    Material,
    bin_colors,
    color_bins,
    could_be_skin,
    hue_and_saturation,
)
from curation.perception.hands import TRUNK_DISTANCE, hand_distance, refine_hands, skin_threshold
from curation.perception.hems import NUM_BANDS, NUM_PLACES, Hem, band_of, find_hem, hem_priors
from curation.perception.protocols import BackendInfo, Person
from curation.perception.weights import POSE_LANDMARKS, WHEEL
from datasets.parts import ParseLabel

GRID_STEP = 2  # body parts are looked up on every second pixel
EVIDENCE_WEIGHT = 0.6  # neighbouring pixels are alike: colours count less than if independent
EVIDENCE_WINDOW = (5, 5)  # pixels
EDGE_WINDOW = (3, 3)  # the same at the edges of hands: fingers are thin
SHARPENING = 1.5  # of the clip's own statistics against the general ones
LOWER_DOUBT = 3.0  # nats: a hand hangs before the trousers more often than they show in its place
LEARNING_FRAMES = 24  # at most this many frames, evenly spread, teach colours and places

# How likely each material is on a part before anything was seen: skin, hair, upper, lower.
PART_PRIORS: dict[BodyPart, tuple[float, float, float, float]] = {
    BodyPart.TORSO: (0.03, 0.02, 0.90, 0.05),
    BodyPart.HEAD: (0.55, 0.44, 0.01, 0.0),
    BodyPart.NECK: (0.55, 0.10, 0.35, 0.0),
    BodyPart.UPPER_ARM_LEFT: (0.25, 0.01, 0.73, 0.01),
    BodyPart.LOWER_ARM_LEFT: (0.50, 0.005, 0.49, 0.005),
    BodyPart.HAND_LEFT: (0.69, 0.005, 0.30, 0.005),  # in front of a garment colour must decide
    BodyPart.UPPER_LEG_LEFT: (0.20, 0.0, 0.06, 0.74),
    BodyPart.LOWER_LEG_LEFT: (0.40, 0.0, 0.01, 0.59),
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


PLACE_PRIORS = {  # (part, place)
    # long hair falls on the shoulders
    **{(BodyPart.TORSO, place): (0.03, 0.12, 0.83, 0.02) for place in range(4)},
    # around the hips nothing but colour tells where the hem is
    (BodyPart.TORSO, 8): (0.03, 0.0, 0.77, 0.20),
    (BodyPart.TORSO, 9): (0.03, 0.0, 0.57, 0.40),
    (BodyPart.UPPER_LEG_LEFT, 0): (0.05, 0.0, 0.50, 0.45),
    (BodyPart.UPPER_LEG_LEFT, 1): (0.05, 0.0, 0.35, 0.60),
    (BodyPart.UPPER_LEG_LEFT, 2): (0.10, 0.0, 0.20, 0.70),
}


def _tables() -> tuple[np.ndarray, np.ndarray]:
    priors = np.zeros((NUM_PARTS, NUM_PLACES, NUM_MATERIALS), np.float32)
    labels = np.zeros((NUM_PARTS, NUM_MATERIALS), np.uint8)
    for part in range(NUM_PARTS):
        source = BodyPart(LEFT_OF.get(part, part))
        priors[part], labels[part] = PART_PRIORS[source], MATERIAL_LABELS[source]
        for place in range(NUM_PLACES):
            priors[part, place] = PLACE_PRIORS.get((source, place), PART_PRIORS[source])
    return priors, labels


PRIORS, LABELS = _tables()
BEHIND_PRIORS = {  # seen from behind, hair may hang down to the middle of the back: places, priors
    BodyPart.NECK: (NUM_PLACES, (0.25, 0.50, 0.25, 0.0)),
    BodyPart.TORSO: (6, (0.02, 0.38, 0.58, 0.02)),
    BodyPart.UPPER_ARM_LEFT: (4, (0.20, 0.20, 0.60, 0.0)),
    BodyPart.UPPER_ARM_RIGHT: (4, (0.20, 0.20, 0.60, 0.0)),
}
FOREARMS = tuple(range(BodyPart.LOWER_ARM_LEFT, BodyPart.HAND_RIGHT + 1))
SAME_HUE = 0.2  # radians in Lab
MAX_SATURATION = 1.5  # of the face's: cloth of the same hue is mostly more colourful
HEM_DOUBT = 0.2
HEM_PLACES = {
    BodyPart.TORSO: slice(6, NUM_PLACES),
    BodyPart.UPPER_LEG_LEFT: slice(0, 4),
    BodyPart.UPPER_LEG_RIGHT: slice(0, 4),
}
LOWER_BACK = 0.45  # along the torso: below this the back is cloth, with hair however long above


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """One frame's person: its n pixels, m of them looked up on the body, and their colours."""

    on_person: np.ndarray  # (h, w) bool in a crop around the person, n True
    bins: np.ndarray  # (h, w) int32 colours
    located: PartPixels  # (m,)
    sampled_bins: np.ndarray  # (m,) colours of the looked-up pixels
    sampled_skin: np.ndarray  # (m,) bool: they could be skin
    nearest_sample: np.ndarray  # (n,) int: the looked-up pixel that stands for each pixel
    hand_distance: np.ndarray  # (m,) to the nearer hand, in its radii
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
        learned, views = _learn(frames, people, self.info)
        return learned.parse(frames, people, views)

    def learned(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> "LearnedParser":
        """See ``ClipParser``; at most ``LEARNING_FRAMES``, evenly spread, are looked at."""
        return _learn(frames, people, self.info)[0]


@dataclass(frozen=True, eq=False)
class LearnedParser:
    """The colours and places of one clip's clothes, for any frame of it."""

    colors: ClipColors
    places: np.ndarray  # log-probabilities (parts, places, materials)
    hand_threshold: float  # how much likelier skin than cloth a hand's pixel is, nats
    info: BackendInfo

    def parse(
        self,
        frames: Sequence[np.ndarray],
        people: Sequence[Person | None],
        views: Mapping[int, _View] | None = None,
    ) -> list[np.ndarray]:
        """See ``HumanParser``; ``views`` are frames that were looked at already, by number."""
        views = views or {}
        maps = [np.zeros(frame.shape[:2], np.uint8) for frame in frames]
        for i, (frame, person) in enumerate(zip(frames, people, strict=True)):
            if not _is_usable(person):
                continue
            view = views[i] if i in views else _look(frame, person)
            top, left = view.corner
            height, width = view.on_person.shape
            labels = label_pixels(view, self.colors, self.places, self.hand_threshold)
            maps[i][top : top + height, left : left + width] = labels
        return maps


def _learn(
    frames: Sequence[np.ndarray], people: Sequence[Person | None], info: BackendInfo
) -> tuple[LearnedParser, dict[int, _View]]:
    seen = [i for i, person in enumerate(people) if _is_usable(person)]
    chosen = seen[:: max(1, -(-len(seen) // LEARNING_FRAMES))]
    views = {i: _look(frames[i], people[i]) for i in chosen}
    colors, places = learn_clip(list(views.values()))
    threshold = _hand_threshold(list(views.values()), colors)
    return LearnedParser(colors, places, threshold, info), views


def learn_clip(views: Sequence[_View]) -> tuple[ClipColors, np.ndarray]:
    """Colours and places of the materials of a clip: seeds, then one round of reconsidering."""
    counter = ColorCounter()
    from_behind = [not _is_face_seen(view) and not view.body.is_facing for view in views]
    for view in views:
        _add_skin_and_hair(counter, view)
    skin = counter.colors()
    hem = find_hem([(view.located, view.sampled_bins) for view in views], skin)
    for view, is_behind in zip(views, from_behind, strict=True):
        _add_cloth(counter, view, skin, hem, is_behind)
    cloth = counter.colors()
    for view in (view for view, is_behind in zip(views, from_behind, strict=True) if is_behind):
        _add_nape(counter, view, cloth)
    skin_tone = counter.tone(Material.SKIN)
    for view in views:
        _add_arms(counter, view, cloth, skin_tone)
    colors = counter.colors()
    share = float(np.mean(from_behind)) if views else 0.0
    # hair in the colour of the cloth cannot be told from it: better paint hair than leave cloth
    share *= float(np.clip((0.6 - colors.overlap(Material.HAIR, Material.UPPER)) / 0.2, 0, 1))
    priors = hem_priors(behind_priors(PRIORS, share), hem)
    _, beliefs = learn_places(views, colors, priors)
    for material in (Material.UPPER, Material.LOWER):
        counter.forget(material)
        for view, belief in zip(views, beliefs, strict=True):
            counter.add(material, view.sampled_bins, belief[:, material])
    colors = counter.colors()
    return colors, learn_places(views, colors, priors)[0]


def behind_priors(priors: np.ndarray, share: float) -> np.ndarray:
    """Priors (parts, places, materials) of a clip with a share of its views from behind."""
    adapted = priors.copy()
    for part, (places, behind) in BEHIND_PRIORS.items():
        mixed = (1 - share) * priors[part, :places] + share * np.array(behind, np.float32)
        adapted[part, :places] = mixed
    return adapted


def _add_cloth(
    counter: ColorCounter, view: _View, skin: ClipColors, hem: Hem, is_behind: bool
) -> None:
    located, bins, band = view.located, view.sampled_bins, band_of(view.located)
    part, along, is_deep = located.part, located.along, located.radii < 0.7
    top = LOWER_BACK if is_behind else 0.08
    chest = (part == BodyPart.TORSO) & (along > top) & (along < 0.75) & is_deep
    on_thigh = np.isin(part, (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT)) & is_deep
    on_shin = np.isin(part, (BodyPart.LOWER_LEG_LEFT, BodyPart.LOWER_LEG_RIGHT)) & is_deep
    legs = (on_thigh & (along > 0.25)) | (on_shin & (along < 0.6))
    if hem.first_lower_band is not None:
        chest = (chest & (band < hem.first_lower_band)) | (
            is_deep & (band >= 0) & (band < hem.first_lower_band)
        )
        legs &= (band < 0) | (band >= hem.first_lower_band)
        legs |= is_deep & (band >= hem.first_lower_band)
        if hem.first_lower_band == NUM_BANDS:
            legs &= on_shin
    # long hair over a garment of another colour is left out; dark hair over dark cloth cannot be
    counter.add(Material.UPPER, _without(Material.HAIR, bins[chest], skin, least=0.4))
    counter.add(Material.LOWER, _without(Material.SKIN, bins[legs], skin, least=0.2))


def _is_face_seen(view: _View) -> bool:
    located = view.located
    on_face = (located.part == BodyPart.HEAD) & (located.along > 0.5) & (located.radii < 0.75)
    return bool(view.body.is_facing and on_face.any() and view.sampled_skin[on_face].mean() > 0.3)


def _add_skin_and_hair(counter: ColorCounter, view: _View) -> None:
    located, bins = view.located, view.sampled_bins
    part, along = located.part, located.along
    skin_like = view.sampled_skin
    crown = (part == BodyPart.HEAD) & (along < 0.02) & (located.radii > 0.55)
    if _is_face_seen(view):
        on_face = (part == BodyPart.HEAD) & (along > 0.45) & (along < 0.85)
        on_face &= located.radii < 0.75
        counter.add(Material.SKIN, bins[on_face & skin_like])
    else:
        on_hand = np.isin(part, (BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT))
        counter.add(Material.SKIN, bins[on_hand & skin_like & (located.radii < 0.5)])
        crown = (part == BodyPart.HEAD) & (located.radii < 0.8)
    counter.add(Material.HAIR, bins[crown])


def _add_nape(counter: ColorCounter, view: _View, cloth: ClipColors) -> None:
    """Seen from behind, what hides the neck and is no cloth is hair, of whatever colour."""
    on_nape = (view.located.part == BodyPart.NECK) & (view.located.radii < 0.8)
    bins = view.sampled_bins[on_nape]
    if cloth.is_known[Material.UPPER]:
        bins = bins[cloth.log_likelihood[Material.UPPER, bins] < UNKNOWN]
    counter.add(Material.HAIR, bins)


def _add_arms(
    counter: ColorCounter, view: _View, known: ClipColors, skin_tone: tuple[float, float]
) -> None:
    """Hands and forearms lie in another light than the face, but have its hue."""
    if not known.is_known[Material.UPPER]:
        return
    located = view.located
    on_arm = np.isin(located.part, FOREARMS) & (located.radii < 0.6) & view.sampled_skin
    bins = view.sampled_bins[on_arm]
    likeliest = known.log_likelihood[[Material.UPPER, Material.LOWER]][:, bins].max(0)
    hues, saturations = hue_and_saturation(bin_colors(bins))
    is_skin = (likeliest < UNKNOWN) & (np.abs(hues - skin_tone[0]) < SAME_HUE)
    is_skin &= saturations < MAX_SATURATION * skin_tone[1]
    counter.add(Material.SKIN, bins[is_skin])


def _without(material: Material, bins: np.ndarray, colors: ClipColors, least: float) -> np.ndarray:
    """Seeds of cloth without those of a body material; all of them if less than a share stays."""
    if not colors.is_known[material] or not len(bins):
        return bins
    is_cloth = colors.log_likelihood[material, bins] < UNKNOWN
    return bins[is_cloth] if is_cloth.mean() >= least else bins


def learn_places(
    views: Sequence[_View], colors: ClipColors, priors: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """How often each material was seen at each place of each part.

    Left and right share their statistics: garments are symmetric.

    Returns:
        Log-probabilities (parts, places, materials), and for each view the belief in each material
        (m, materials), 0 for pixels beside the body.
    """
    seen = 6 * priors + 1e-3
    beliefs = []
    size = NUM_PARTS * NUM_PLACES
    for view in views:
        located = view.located
        is_near = (located.part >= 0) & (located.radii < 1.0)
        part, place = np.maximum(located.part.astype(int), 0), _places(located)
        evidence = EVIDENCE_WEIGHT * colors.evidence(view.sampled_bins)
        scores = evidence.T + np.log(priors[part, place] + 1e-4)
        belief = np.exp(scores - scores.max(1, keepdims=True))
        belief *= is_near[:, None] / belief.sum(1, keepdims=True)
        beliefs.append(belief)
        cell = part * NUM_PLACES + place
        count = np.maximum(np.bincount(cell[is_near], minlength=size), 1)
        for material in range(NUM_MATERIALS):
            mean = np.bincount(cell, weights=belief[:, material], minlength=size) / count
            seen[..., material] += mean.reshape(NUM_PARTS, NUM_PLACES)
    for right, left in LEFT_OF.items():
        seen[[left, right]] = seen[left] + seen[right]
    share = seen / seen.sum(-1, keepdims=True)
    places = SHARPENING * np.log(_with_doubt_at_hem(share, colors))
    # hands move over everything: what they showed elsewhere says nothing of here
    hands = [BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT]
    places[hands] = np.log(priors[hands] + 1e-4)
    return places.astype(np.float32), beliefs


def _with_doubt_at_hem(share: np.ndarray, colors: ClipColors) -> np.ndarray:
    """Around the hips two garments of different colours keep a chance: the body bends, the hem moves.

    Args:
        share: (parts, places, materials).
        colors: of the clip.
    """
    if not (colors.is_known[Material.UPPER] and colors.is_known[Material.LOWER]):
        return share
    doubt = HEM_DOUBT * (1 - colors.overlap(Material.UPPER, Material.LOWER))
    doubtful = share.copy()
    for part, places in HEM_PLACES.items():
        cloth = doubtful[part, places][:, [Material.UPPER, Material.LOWER]]
        mixed = (1 - doubt) * cloth + doubt * cloth.mean(axis=1, keepdims=True)
        doubtful[part, places, Material.UPPER] = mixed[:, 0]
        doubtful[part, places, Material.LOWER] = mixed[:, 1]
    return doubtful


def label_pixels(
    view: _View, colors: ClipColors, places: np.ndarray, hand_threshold: float
) -> np.ndarray:
    """Labels of one person's crop, (h, w) uint8."""
    located, on_person = view.located, view.on_person
    part = located.part.astype(int)
    prior = places[part, _places(located)]
    labels = np.where((part >= 0)[:, None], LABELS[part], np.uint8(ParseLabel.OTHER))
    rows = view.nearest_sample
    evidence = _averaged(view, colors, EVIDENCE_WINDOW)
    scores = EVIDENCE_WEIGHT * evidence + prior[rows].T
    image = np.zeros(on_person.shape, np.uint8)
    image[on_person] = labels[rows, scores.argmax(0)]
    sharp_evidence = _averaged(view, colors, EDGE_WINDOW)
    image = _with_hands(image, view, evidence, sharp_evidence, hand_threshold)
    cleaned = cv2.medianBlur(image, 5)
    cleaned = np.where(on_person & (cleaned > 0), cleaned, image)
    return _without_stray_hair(cleaned, view)


def _averaged(view: _View, colors: ClipColors, window: tuple[int, int]) -> np.ndarray:
    """Log-likelihoods, each averaged over the person's pixels in a window, (materials, n)."""
    inside = view.on_person.astype(np.float32)
    weight = np.maximum(cv2.blur(inside, window)[view.on_person], 1e-3)
    layers = colors.evidence(view.bins)
    return np.stack([cv2.blur(layer * inside, window)[view.on_person] / weight for layer in layers])


def _hand_threshold(views: Sequence[_View], colors: ClipColors) -> float:
    ratios = []
    for view in views:
        located = view.located
        is_trunk = (located.part == BodyPart.TORSO) & (located.radii < 0.7)
        is_trunk &= (located.along > 0.2) & (view.hand_distance > TRUNK_DISTANCE)
        evidence = colors.evidence(view.sampled_bins[is_trunk])
        ratios.append(evidence[Material.SKIN] - evidence[Material.UPPER])
    return skin_threshold(np.concatenate([np.zeros(0, np.float32), *ratios]))


def _with_hands(
    labels: np.ndarray,
    view: _View,
    evidence: np.ndarray,
    sharp_evidence: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """Hands by colour around the wrists; evidence is (materials, n), averaged over two windows."""
    on_person, rows, located = view.on_person, view.nearest_sample, view.located
    ratios = [np.full(labels.shape, -np.inf, np.float32) for _ in range(2)]
    for ratio, materials in zip(ratios, (evidence, sharp_evidence), strict=True):
        skin, _, upper, lower = materials
        ratio[on_person] = skin - np.maximum(upper, lower - LOWER_DOUBT)
    cloth = np.zeros(labels.shape, np.uint8)
    is_lower = evidence[Material.LOWER] - LOWER_DOUBT > evidence[Material.UPPER]
    cloth[on_person] = np.where(is_lower, ParseLabel.LOWER, ParseLabel.UPPER)
    distance = np.full(labels.shape, np.inf, np.float32)
    is_neckline = (located.part == BodyPart.NECK) | (
        (located.part == BodyPart.TORSO) & (located.along < 0.2) & (np.abs(located.across) < 0.6)
    )
    is_neckline &= view.hand_distance > 1
    distance[on_person] = np.where(is_neckline, np.inf, view.hand_distance)[rows]
    return refine_hands(labels, *ratios, cloth, distance, threshold, view.body.scale)


def _without_stray_hair(labels: np.ndarray, view: _View) -> np.ndarray:
    """Dark cloth is no hair unless it hangs together with hair on the head."""
    hair = (labels == ParseLabel.HAIR).astype(np.uint8)
    _, components = cv2.connectedComponents(hair, connectivity=8)
    components = np.asarray(components, np.int32)
    on_head = np.zeros(labels.shape, bool)
    on_head[view.on_person] = (view.located.part == BodyPart.HEAD)[view.nearest_sample]
    is_hair = np.zeros(int(components.max()) + 1, bool)
    is_hair[components[on_head & (hair > 0)]] = True
    return np.where((hair > 0) & ~is_hair[components], np.uint8(ParseLabel.UPPER), labels)


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
    # looked up: the corner of every GRID_STEP x GRID_STEP cell with a pixel of the person
    y, x = np.nonzero(on_person)
    cells = (y // GRID_STEP) * (wide // GRID_STEP + 1) + x // GRID_STEP
    number = np.full((high // GRID_STEP + 1) * (wide // GRID_STEP + 1), -1)
    number[cells] = 1
    used = np.flatnonzero(number > 0)
    number[used] = np.arange(len(used))
    first_y = np.minimum(used // (wide // GRID_STEP + 1) * GRID_STEP, high - 1)
    first_x = np.minimum(used % (wide // GRID_STEP + 1) * GRID_STEP, wide - 1)
    body = build_body(person.landmarks)
    points = np.stack([first_x + left + 1.0, first_y + top + 1.0], axis=-1)
    bins = color_bins(crop)
    return _View(
        on_person=on_person,
        bins=bins,
        located=locate_on_body(points, body),
        sampled_bins=bins[first_y, first_x],
        sampled_skin=could_be_skin(crop)[first_y, first_x],
        nearest_sample=number[cells],
        hand_distance=hand_distance(points, person.landmarks, body.scale),
        body=body,
        corner=(top, left),
    )


def _places(located: PartPixels) -> np.ndarray:
    return np.minimum((located.along * NUM_PLACES).astype(int), NUM_PLACES - 1)
