"""Colours and places of skin, hair and garments, learned from reliable places in a clip."""

from collections.abc import Sequence

import numpy as np

from curation.perception.embedded.body_parts import NUM_PARTS, BodyPart
from curation.perception.embedded.clip_colours import (
    NUM_MATERIALS,
    UNKNOWN,
    ClipColors,
    ColorCounter,
    ColourClass,
    bin_colors,
    hue_and_saturation,
)
from curation.perception.embedded.collars import collar_priors
from curation.perception.embedded.hands import TRUNK_DISTANCE, skin_threshold
from curation.perception.embedded.hems import (
    NUM_BANDS,
    NUM_PLACES,
    Hem,
    band_of,
    coarse_cells,
    find_hem,
    hem_priors,
)
from curation.perception.embedded.part_priors import LEFT_OF, behind_priors
from curation.perception.embedded.person_view import COLLAR, PersonView

EVIDENCE_WEIGHT = 0.6  # neighbouring pixels are correlated: colours count less
SHARPENING = 1.5  # of the clip's statistics relative to the priors
FOREARMS = tuple(range(BodyPart.LOWER_ARM_LEFT, BodyPart.HAND_RIGHT + 1))
SAME_HUE = 0.2  # radians in Lab
MAX_SATURATION = 1.5  # of the face's: cloth of the same hue is usually more saturated
HEM_DOUBT = 0.2
HEM_PLACES = {
    BodyPart.TORSO: slice(6, NUM_PLACES),
    BodyPart.UPPER_LEG_LEFT: slice(0, 4),
    BodyPart.UPPER_LEG_RIGHT: slice(0, 4),
}
LOWER_BACK = 0.45  # along the torso: below this the back is cloth, however long the hair


def learn_clip(views: Sequence[PersonView]) -> tuple[ClipColors, np.ndarray]:
    """Learn the colours and places of a clip's materials: from seeds, then refined once."""
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
        if not view.is_cut_at_head:
            _add_nape(counter, view, cloth)
    skin_tone = counter.tone(ColourClass.SKIN)
    for view in views:
        _add_arms(counter, view, cloth, skin_tone)
    colors = counter.colors()
    share = float(np.mean(from_behind)) if views else 0.0
    # hair in the colour of the cloth is indistinguishable: better paint hair than leave cloth
    share *= float(np.clip((0.6 - colors.overlap(ColourClass.HAIR, ColourClass.UPPER)) / 0.2, 0, 1))
    priors = collar_priors(hem_priors(behind_priors(share), hem), views, colors, share)
    _, beliefs = learn_places(views, colors, priors)
    for material in (ColourClass.UPPER, ColourClass.LOWER):
        counter.forget(material)
        for view, belief in zip(views, beliefs, strict=True):
            counter.add(material, view.sampled_bins, belief[material])
    colors = counter.colors()
    return colors, learn_places(views, colors, priors)[0]


def _add_cloth(
    counter: ColorCounter, view: PersonView, skin: ClipColors, hem: Hem, is_behind: bool
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
    if hem.belt is not None:
        assert hem.first_lower_band is not None
        at_waist = is_deep & (band >= hem.first_lower_band - 2) & (band <= hem.first_lower_band)
        on_belt = at_waist & hem.belt[coarse_cells()[bins]]
        chest, legs = chest & ~on_belt, legs | on_belt
    # long hair over a garment of another colour is left out; dark hair over dark cloth cannot be
    counter.add(ColourClass.UPPER, _without(ColourClass.HAIR, bins[chest], skin, least=0.4))
    counter.add(ColourClass.LOWER, _without(ColourClass.SKIN, bins[legs], skin, least=0.2))


def _is_face_seen(view: PersonView) -> bool:
    located = view.located
    on_face = (located.part == BodyPart.HEAD) & (located.along > 0.5) & (located.radii < 0.75)
    return bool(view.body.is_facing and on_face.any() and view.sampled_skin[on_face].mean() > 0.3)


def _add_skin_and_hair(counter: ColorCounter, view: PersonView) -> None:
    located, bins = view.located, view.sampled_bins
    part, along = located.part, located.along
    skin_like = view.sampled_skin
    crown = (part == BodyPart.HEAD) & (along < 0.02) & (located.radii > 0.55)
    if _is_face_seen(view):
        on_face = (part == BodyPart.HEAD) & (along > 0.45) & (along < 0.85)
        on_face &= located.radii < 0.75
        counter.add(ColourClass.SKIN, bins[on_face & skin_like])
    else:
        on_hand = np.isin(part, (BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT))
        counter.add(ColourClass.SKIN, bins[on_hand & skin_like & (located.radii < 0.5)])
        crown = (part == BodyPart.HEAD) & (located.radii < 0.8)
    if not view.is_cut_at_head:
        counter.add(ColourClass.HAIR, bins[crown])


def _add_nape(counter: ColorCounter, view: PersonView, cloth: ClipColors) -> None:
    """Seen from behind, anything on the neck that is not cloth is hair, whatever its colour."""
    on_nape = (view.located.part == BodyPart.NECK) & (view.located.radii < 0.8)
    bins = view.sampled_bins[on_nape]
    if cloth.is_known[ColourClass.UPPER]:
        bins = bins[cloth.log_likelihood[ColourClass.UPPER, bins] < UNKNOWN]
    counter.add(ColourClass.HAIR, bins)


def _add_arms(
    counter: ColorCounter, view: PersonView, known: ClipColors, skin_tone: tuple[float, float]
) -> None:
    """Hands and forearms are lit differently from the face, but share its hue."""
    if not known.is_known[ColourClass.UPPER]:
        return
    located = view.located
    on_arm = np.isin(located.part, FOREARMS) & (located.radii < 0.6) & view.sampled_skin
    bins = view.sampled_bins[on_arm]
    likeliest = known.log_likelihood[[ColourClass.UPPER, ColourClass.LOWER]][:, bins].max(0)
    hues, saturations = hue_and_saturation(bin_colors(bins))
    is_skin = (likeliest < UNKNOWN) & (np.abs(hues - skin_tone[0]) < SAME_HUE)
    is_skin &= saturations < MAX_SATURATION * skin_tone[1]
    counter.add(ColourClass.SKIN, bins[is_skin])


def _without(
    material: ColourClass, bins: np.ndarray, colors: ClipColors, least: float
) -> np.ndarray:
    """Seeds of cloth without those of a body material; all seeds if too few would remain."""
    if not colors.is_known[material] or not len(bins):
        return bins
    is_cloth = colors.log_likelihood[material, bins] < UNKNOWN
    return bins[is_cloth] if is_cloth.mean() >= least else bins


def learn_places(
    views: Sequence[PersonView], colors: ClipColors, priors: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """How often each material occurs at each place of each part.

    Left and right share their statistics: garments are symmetric.

    Returns:
        Log-probabilities (parts, places, materials), and for each view the belief in each material
        (materials, m), 0 for pixels off the body.
    """
    seen = 6 * priors + 1e-3
    beliefs = []
    size = NUM_PARTS * NUM_PLACES
    log_priors = np.log(priors + 1e-4).reshape(size, -1).T
    for view in views:
        located = view.located
        is_near = (located.part >= 0) & (located.radii < 1.0)
        part, place = np.maximum(located.part.astype(int), 0), view.place
        cell = part * NUM_PLACES + place
        scores = EVIDENCE_WEIGHT * colors.evidence(view.sampled_bins) + log_priors[:, cell]
        belief = np.exp(scores - scores.max(0))
        belief *= is_near / belief.sum(0)
        beliefs.append(belief)
        count = np.maximum(np.bincount(cell[is_near], minlength=size), 1)
        for material in range(NUM_MATERIALS):
            mean = np.bincount(cell, weights=belief[material], minlength=size) / count
            seen[..., material] += mean.reshape(NUM_PARTS, NUM_PLACES)
    for right, left in LEFT_OF.items():
        seen[[left, right]] = seen[left] + seen[right]
    share = seen / seen.sum(-1, keepdims=True)
    places = SHARPENING * np.log(_with_doubt_at_hem(share, colors))
    # hands move over everything: statistics of one place do not transfer to another
    hands = [BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT]
    places[hands] = np.log(priors[hands] + 1e-4)
    places[BodyPart.HEAD, COLLAR] = np.log(priors[BodyPart.HEAD, COLLAR] + 1e-4)
    return places.astype(np.float32), beliefs


def _with_doubt_at_hem(share: np.ndarray, colors: ClipColors) -> np.ndarray:
    """Around the hips, keep a chance for both garments if their colours differ: hems move."""
    if not (colors.is_known[ColourClass.UPPER] and colors.is_known[ColourClass.LOWER]):
        return share
    doubt = HEM_DOUBT * (1 - colors.overlap(ColourClass.UPPER, ColourClass.LOWER))
    doubtful = share.copy()
    for part, places in HEM_PLACES.items():
        cloth = doubtful[part, places][:, [ColourClass.UPPER, ColourClass.LOWER]]
        mixed = (1 - doubt) * cloth + doubt * cloth.mean(axis=1, keepdims=True)
        doubtful[part, places, ColourClass.UPPER] = mixed[:, 0]
        doubtful[part, places, ColourClass.LOWER] = mixed[:, 1]
    return doubtful


def hand_threshold(views: Sequence[PersonView], colors: ClipColors) -> float:
    """``skin_threshold`` of a clip, from the middle of its trunks."""
    ratios = []
    for view in views:
        located = view.located
        is_trunk = (located.part == BodyPart.TORSO) & (located.radii < 0.7)
        is_trunk &= (located.along > 0.2) & (view.hand_distance > TRUNK_DISTANCE)
        evidence = colors.evidence(view.sampled_bins[is_trunk])
        ratios.append(evidence[ColourClass.SKIN] - evidence[ColourClass.UPPER])
    return skin_threshold(np.concatenate([np.zeros(0, np.float32), *ratios]))
