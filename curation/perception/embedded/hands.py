"""Which pixels around the wrists show a hand: the pose gives the region, colour decides in it.

Landmarks of wrists and knuckles are off by a palm's width when a hand is in front of the chest or
behind the head; by body part alone, cloth would be kept or a hand painted over.
"""

import cv2
import numpy as np

from curation.perception.embedded.body_parts import (
    ELBOW_LEFT,
    ELBOW_RIGHT,
    HAND_RADIUS,
    HANDS,
    VISIBLE,
    BodyPart,
    BodyShape,
)
from datasets.labels import ParseLabel, among

HAND_LENGTH = 0.3  # of the body's scale, at least: anything shorter is a landmark error
CUFF_STEEPNESS = 2.0  # factor on distance towards the elbow
REACH = 3.5  # radii around a hand in which skin in front of cloth is that hand
TYPICAL_SHARE = 0.92  # share of the trunk's pixels that the garment's own colours cover
MARGIN = 0.5  # above that, nats
LEAST_LIKELY, MOST_LIKELY = -1.4, 0.5  # limits of the log ratio that a hand's pixel must exceed
NEAR_LIKELY = 0.3  # least log ratio next to the place where a hand is expected
TRUNK_DISTANCE = 2.0  # radii from the hands beyond which the trunk shows its garment
FAR_MARGIN = 1.0  # additional nats where no hand is expected
MIN_AREA, MAX_AREA = 0.15, 3.0  # of a hand's area: smaller is noise, larger a print or a bare arm
HAND_SPAN = 0.36  # of the body's scale, from the fingertips: skin further back is the forearm
LEAST_FOREARM, LEAST_HAND = 0.15, 0.15  # of the body's scale: shorter ones are seen end-on
AHEAD, TRAILS = 0.7, 1.4  # a hand's end by its skin, over that by its landmarks: beyond, they err
WRIST_DOUBT = 0.14  # of the body's scale: landmarks of wrists are off by as much
SLEEVED = 0.5  # share of the middle of a forearm that is cloth: the sleeve ends at the hand
ON_SLEEVE = 0.8  # share of a patch behind the wrist that makes it a part of the sleeve's pattern
TIP_SHARE = 0.97  # share of a hand's pixels nearer to the elbow than its tip: beyond is noise
ARMS = (
    (BodyPart.LOWER_ARM_LEFT, BodyPart.HAND_LEFT),
    (BodyPart.LOWER_ARM_RIGHT, BodyPart.HAND_RIGHT),
)
CLOTH = (int(ParseLabel.UPPER), int(ParseLabel.LOWER), int(ParseLabel.OTHER))


def hand_distance(points: np.ndarray, landmarks: np.ndarray, scale: float) -> np.ndarray:
    """Distance of pixels to the nearer visible hand, in radii of a hand, (n,) float32.

    Args:
        points: (n, 2) x, y in pixels.
        landmarks: (33, 5) BlazePose.
        scale: of the body, in pixels.
    """
    places = landmarks[:, :2].astype(np.float32)
    nearest = np.full(len(points), np.inf, np.float32)
    for (_, (wrist, pinky, index)), elbow in zip(HANDS, (ELBOW_LEFT, ELBOW_RIGHT), strict=True):
        if landmarks[wrist, 3] < VISIBLE:
            continue
        way = 1.5 * (places[[pinky, index]].mean(0) - places[wrist])
        tip, length = places[wrist] + way, float(np.hypot(*way))
        if length < 0.1 * scale:  # seen end-on: it continues the forearm
            way = places[wrist] - places[elbow]
        axis = way / max(float(np.hypot(*way)), 1e-3)
        length = max(length, HAND_LENGTH * scale)
        from_tip = tip - points
        axial = from_tip @ axis
        lateral = from_tip @ np.array([-axis[1], axis[0]])
        beyond = axial - np.clip(axial, 0, length)
        beyond = np.where(beyond > 0, CUFF_STEEPNESS * beyond, beyond)  # there the sleeve begins
        nearest = np.minimum(nearest, np.hypot(lateral, beyond) / (HAND_RADIUS * scale))
    return nearest


def skin_threshold(log_ratios: np.ndarray) -> float:
    """The threshold on the skin's log ratio for a hand's pixel, by how skin-like the garment is.

    Args:
        log_ratios: (n,) log-likelihood of skin less the garment's, of pixels in the middle of the
            trunk and away from the hands, over a whole clip.
    """
    if not len(log_ratios):
        return (LEAST_LIKELY + MOST_LIKELY) / 2
    reached = float(np.quantile(log_ratios, TYPICAL_SHARE))
    return float(np.clip(reached + MARGIN, LEAST_LIKELY, MOST_LIKELY))


def refine_hands(
    labels: np.ndarray,
    log_ratio: np.ndarray,
    sharp_ratio: np.ndarray,
    cloth: np.ndarray,
    distance: np.ndarray,
    threshold: float,
    scale: float,
) -> np.ndarray:
    """Label maps with hands where skin is visible: cloth is removed, missed pieces are added.

    Args:
        labels: (h, w) uint8 ``ParseLabel``.
        log_ratio: (h, w) log-likelihood of skin less the likeliest cloth's, averaged locally.
        sharp_ratio: the same over a smaller window, for the edges of fingers.
        cloth: (h, w) uint8, the garment of each pixel, if it is cloth.
        distance: (h, w) ``hand_distance``; infinite off the person.
        threshold: ``skin_threshold``.
        scale: of the body, in pixels.
    """
    refined = labels.copy()
    is_hand = labels == ParseLabel.HANDS
    too_clothy = is_hand & (log_ratio < threshold)
    refined[too_clothy] = cloth[too_clothy]
    refined[(labels == ParseLabel.ARMS) & (distance < 1)] = ParseLabel.HANDS
    doubt = float(np.clip((threshold - LEAST_LIKELY) / (MOST_LIKELY - LEAST_LIKELY), 0, 1))
    reach = 1 + (1 - doubt) * (REACH - 1)  # no further for skin-like garments
    least = np.where(distance < 1, threshold, max(threshold, NEAR_LIKELY))
    could_be = among(labels, CLOTH) & (log_ratio >= least) & (distance < reach)
    far = max(threshold, 0.0) + FAR_MARGIN
    surely = could_be & ((distance < 1) | (log_ratio >= far))
    unit = np.pi * (0.7 * HAND_RADIUS * scale) ** 2
    _, pieces = cv2.connectedComponents(could_be.astype(np.uint8), connectivity=8)
    pieces = np.asarray(pieces, np.int32)
    sure_areas = np.bincount(pieces[surely], minlength=int(pieces.max()) + 1)
    areas = np.bincount(pieces[could_be], minlength=len(sure_areas))
    is_likely = (sure_areas >= MIN_AREA * unit) & (areas <= MAX_AREA * unit)
    is_likely[0] = False
    refined[is_likely[pieces]] = ParseLabel.HANDS
    hands = (refined == ParseLabel.HANDS).astype(np.uint8)
    whole = cv2.morphologyEx(hands, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    edge = cv2.dilate(hands, np.ones((5, 5), np.uint8)) > 0
    could_be = among(refined, (*CLOTH, ParseLabel.ARMS)) & np.isfinite(distance)
    refined[could_be & (whole | (edge & (sharp_ratio >= max(threshold, 0.0) + 2 * doubt)))] = (
        ParseLabel.HANDS
    )
    islands = among(refined, CLOTH).astype(np.uint8)
    _, pieces = cv2.connectedComponents(islands, connectivity=4)
    pieces = np.asarray(pieces, np.int32)
    areas = np.bincount(pieces.ravel())
    near_areas = np.bincount(pieces[distance < 1], minlength=len(areas))
    is_island = (areas < unit) & (near_areas > 0.5 * areas)  # a highlight on a palm
    is_island[0] = False
    refined[is_island[pieces]] = ParseLabel.HANDS
    return refined


def without_forearms(
    labels: np.ndarray, body: BodyShape, corner: tuple[int, int], threshold: float = LEAST_LIKELY
) -> np.ndarray:
    """Label maps whose hands begin at the wrist: skin behind it is the arm's.

    Behind the wrist is what is nearer to the forearm than to the hand. In a fast arm the landmarks
    are ahead or trail: then the wrist moves with the fingertips, and no hand is longer than a hand.
    A sleeve shows better than landmarks where its hand begins: there, length alone decides; a
    second, smaller patch behind the wrist is the sleeve's, if the sleeve is like skin. What is in
    reach of both hands is a hand.
    Nothing on the head changes.

    Args:
        labels: (h, w) uint8 ``ParseLabel``, after ``refine_hands``.
        body: the person's shape.
        corner: top, left of the labels in the frame.
        threshold: ``skin_threshold``: how much like skin the garment is.
    """
    hands = labels == ParseLabel.HANDS
    if not hands.any():
        return labels
    _, pieces = cv2.connectedComponents(hands.astype(np.uint8), connectivity=8)
    y, x = np.nonzero(hands)
    points = np.stack([x + corner[1], y + corner[0]], axis=-1).astype(np.float64)
    elbows = body.start[[arm for arm, _ in ARMS]]
    wrists, tips = (ends[[hand for _, hand in ARMS]] for ends in (body.start, body.end))
    nearer = np.stack([_to_segment(points, *ends) for ends in zip(wrists, tips, strict=True)])
    arm = nearer.argmin(axis=0)
    reach = np.hypot(*(points - elbows[arm]).T)
    number = np.asarray(pieces, np.int32)[hands] * len(ARMS) + arm
    is_behind, on_sleeve = np.zeros(len(points), bool), np.zeros(len(points), bool)
    found, sizes = np.unique(number, return_counts=True)
    is_like_skin = threshold > (LEAST_LIKELY + MOST_LIKELY) / 2
    for piece in found:
        rows = number == piece
        side = int(piece) % len(ARMS)
        own = points[rows]
        is_behind[rows] = reach[rows] < np.quantile(reach[rows], TIP_SHARE) - HAND_SPAN * body.scale
        if not _is_sleeved(labels, elbows[side] - corner[::-1], wrists[side] - corner[::-1]):
            is_behind[rows] |= _behind_wrist(
                own, elbows[side], wrists[side], tips[side], body.scale
            )
        elif is_like_skin and rows.sum() < sizes[found % len(ARMS) == side].max():
            on_forearm = _to_segment(own, elbows[side], wrists[side]) < nearer[side, rows]
            on_sleeve[rows] = on_forearm.mean() > ON_SLEEVE
    of_both = (nearer < HAND_RADIUS * body.scale).all(axis=0)  # crossed: one on the other's forearm
    is_behind &= ~of_both
    head = BodyPart.HEAD
    is_behind &= _to_segment(points, body.start[head], body.end[head]) > body.start_radius[head]
    cut = labels.copy()
    cut[y[is_behind], x[is_behind]] = ParseLabel.ARMS
    cut[y[on_sleeve], x[on_sleeve]] = ParseLabel.UPPER
    return cut


def _is_sleeved(labels: np.ndarray, elbow: np.ndarray, wrist: np.ndarray) -> bool:
    """Whether the middle of a forearm, between x, y on the labels, shows a sleeve."""
    shares = np.linspace(0.3, 0.7, 16)[:, None]
    x, y = np.rint(elbow + shares * (wrist - elbow)).astype(int).T
    height, width = labels.shape
    seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return bool(seen.any() and (labels[y[seen], x[seen]] == ParseLabel.UPPER).mean() > SLEEVED)


def _behind_wrist(
    points: np.ndarray, elbow: np.ndarray, wrist: np.ndarray, tip: np.ndarray, scale: float
) -> np.ndarray:
    """Which pixels (n, 2) of one hand are nearer to the forearm than to the hand, (n,) bool."""
    forearm, hand = wrist - elbow, tip - wrist
    if np.hypot(*forearm) < LEAST_FOREARM * scale:  # it points at the camera
        return np.zeros(len(points), bool)
    if np.hypot(*hand) < LEAST_HAND * scale:  # seen end-on: it continues the forearm
        hand = forearm * (LEAST_HAND * scale / np.hypot(*forearm))
    length = float(np.hypot(*hand))
    direction = hand / length
    found = float(np.quantile((points - wrist) @ direction, TIP_SHARE))
    moved = min(found - AHEAD * length, 0.0) + max(found - TRAILS * length, 0.0)
    wrist = wrist + moved * direction
    cut = wrist - WRIST_DOUBT * scale * forearm / np.hypot(*forearm)
    return _to_segment(points, elbow, cut) < _to_segment(points, wrist, wrist + hand)


def _to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distances of points (n, 2) to a line segment, (n,)."""
    way = end - start
    along = np.clip((points - start) @ way / max(float(way @ way), 1e-9), 0, 1)
    return np.hypot(*(points - start - along[:, None] * way).T)
