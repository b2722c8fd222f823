"""The embedded person detector: BlazePose with tracking, and a search for everyone else.

BlazePose is made for one person. Others are searched in square tiles of the frame, in the frame
with the found people painted over, and where the person segmentation has pixels that no pose
explains. The person's mask is a blend of the landmark model's and the segmentation's: neither
alone is right for both close and distant people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from curation.perception.box_tracks import BoxTracks
from curation.perception.embedded.person_segmentation import PersonSegmentationModel
from curation.perception.embedded.pose_detector import PoseDetectionModel
from curation.perception.embedded.pose_landmarks import PoseLandmarkModel, PoseLandmarks
from curation.perception.embedded.regions import Region, square_region
from curation.perception.embedded.weights import MODELS, WHEEL
from curation.perception.protocols import BackendInfo, Person

SEGMENTATION_SHARE = 0.3
"""Weight of the segmentation in the mask. On ../shared/media/person_gt 0.3-0.5 give IoU >= 0.90 on
both pictures, the segmentation alone 0.88; more than half would lose limbs it does not see."""
BODY_POINTS = [11, 12, 13, 14, 23, 24, 25, 26]  # landmarks that distinguish two bodies
SAME_BODY_DISTANCE = 0.12  # mean distance of those points as a share of the region's side
SAME_BODY_OVERLAP = 0.6  # of the smaller mask that lies inside the larger one
SAME_REGION_SHIFT = 0.15
PAINTED_OVER_THRESHOLD = 0.55
"""Box score for a body behind painted-over people. On ../shared/media the ghosts of single clips
reach 0.52 with a body in both the true and the painted frame; hidden second people 0.60-0.95."""
MAX_TILT = 2.0
"""Radians from upright beyond which a body is detected again instead of tracked: seen from behind,
the landmark model turns people upside down, and tracking keeps them so."""
MAX_TRACKING_SHIFT = 0.25  # a region that moved further is detected again


@dataclass(frozen=True, kw_only=True)
class EmbeddedDetectorConfig:
    """Settings of the embedded detector; defaults tried on ../shared/media/{single,multi}."""

    detection_threshold: float = 0.5  # of the box network
    presence_threshold: float = 0.5  # of the landmark model: whether there is a body
    redetect_every: int = 5  # frames between searches of the whole frame and its tiles
    find_others: bool = True  # False: one person per frame, faster
    min_leftover_share: float = 0.05  # of the main person's area; smaller people are not reported
    max_people: int = 6


class EmbeddedDetector:
    """BlazePose for the main person, tiles and left-over person pixels for the rest."""

    def __init__(self, config: EmbeddedDetectorConfig | None = None) -> None:
        self.config = EmbeddedDetectorConfig() if config is None else config
        self._find = PoseDetectionModel(self.config.detection_threshold)
        self._place = PoseLandmarkModel()
        self._segment = PersonSegmentationModel()

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name="embedded-blazepose",
            version=WHEEL,
            weights_sha256="+".join(model.sha256 for model in MODELS),
            is_approximate=True,
            note="made for one person; others by tiles and unexplained person pixels",
        )

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """People of each frame, confident and large ones first; see ``PersonDetector``.

        A person without a matching pose has a box, a mask and a score, and keypoints of
        visibility 0; people smaller than ``min_leftover_share`` are not reported. ``track_id``
        is kept while a person stays near their last place.
        """
        found: list[list[Person]] = []
        bodies: list[PoseLandmarks] = []
        tracks = BoxTracks()
        for index, frame in enumerate(frames):
            bodies = self._bodies(frame, bodies, search=index % self.config.redetect_every == 0)
            segmentation = self._segment(frame)
            people = [self._person(body, segmentation) for body in bodies]
            if self.config.find_others:
                bodies, people = self._add_unexplained(frame, segmentation, bodies, people)
            order = sorted(range(len(people)), key=lambda i: -_prominence(people[i]))
            if order:
                least = self.config.min_leftover_share * _area(people[order[0]])
                order = [i for i in order if _area(people[i]) >= least]
            bodies = [bodies[i] for i in order if i < len(bodies)]
            found.append(tracks.follow([people[i] for i in order]))
        return found

    def look(self, frame: np.ndarray, view: Region) -> Person | None:
        """The most prominent person in a part of a frame; None if there is no body."""
        bodies: list[PoseLandmarks] = []
        for detection in self._find(frame, view):
            if self._add(bodies, self._place_twice(frame, detection.region)):
                return self._person(bodies[0], self._segment(frame))
        return None

    def _bodies(
        self, frame: np.ndarray, previous: list[PoseLandmarks], search: bool
    ) -> list[PoseLandmarks]:
        """Poses of this frame: tracked from the last one, and searched for periodically."""
        bodies: list[PoseLandmarks] = []
        upright = [body for body in previous if abs(body.next_region.angle) <= MAX_TILT]
        for body in upright:
            self._add(bodies, self._place_twice(frame, body.next_region))
        if bodies and not search and len(upright) == len(previous):
            return bodies
        self._add_detections(frame, None, bodies)
        if not self.config.find_others:
            return bodies[:1]
        tiles = tile_regions(*frame.shape[:2])
        if not bodies:
            for view in tiles:
                self._add_detections(frame, view, bodies)
        if bodies:
            self._add_behind(frame, [None, *tiles], bodies)
        return bodies

    def _add_detections(
        self, frame: np.ndarray, view: Region | None, bodies: list[PoseLandmarks]
    ) -> None:
        for detection in self._find(frame, view):
            if self._is_new_region(bodies, detection.region):
                self._add(bodies, self._place_twice(frame, detection.region))

    def _add_behind(
        self, frame: np.ndarray, views: Sequence[Region | None], bodies: list[PoseLandmarks]
    ) -> None:
        """Paint over the people found and search again, until no new one appears."""
        is_searching = True
        while is_searching:
            is_searching = False
            painted = paint_over(frame, [body.mask > 0.5 for body in bodies])
            for view in views:
                for detection in self._find(painted, view):
                    if detection.score < PAINTED_OVER_THRESHOLD:
                        continue
                    if not self._is_new_region(bodies, detection.region):
                        continue
                    ghost = self._place(painted, detection.region)
                    if ghost.score >= self.config.presence_threshold:
                        is_searching |= self._add(bodies, self._place(frame, detection.region))

    def _is_new_region(self, bodies: list[PoseLandmarks], region: Region) -> bool:
        known = [body.next_region for body in bodies]
        is_apart = all(region.shift(other) > SAME_REGION_SHIFT for other in known)
        return is_apart and len(bodies) < self.config.max_people

    def _place_twice(self, frame: np.ndarray, region: Region) -> PoseLandmarks:
        """Landmarks; from a better region if the first one was far off."""
        pose = self._place(frame, region)
        if (
            pose.score >= self.config.presence_threshold
            and pose.next_region.shift(region) > MAX_TRACKING_SHIFT
        ):
            return self._place(frame, pose.next_region)
        return pose

    def _add(self, bodies: list[PoseLandmarks], pose: PoseLandmarks) -> bool:
        if pose.score < self.config.presence_threshold:
            return False
        if any(is_same_body(pose, body) for body in bodies):
            return False
        bodies.append(pose)
        return True

    def _person(self, pose: PoseLandmarks, segmentation: np.ndarray) -> Person:
        blend = (1 - SEGMENTATION_SHARE) * pose.mask + SEGMENTATION_SHARE * segmentation
        mask = keep_pieces_with_landmarks((blend > 0.5).astype(np.uint8) * 255, pose.landmarks)
        return Person(
            box=_person_box(mask, pose.landmarks),
            score=pose.score,
            keypoints=pose.keypoints,
            mask=mask,
            landmarks=pose.landmarks,
        )

    def _add_unexplained(
        self,
        frame: np.ndarray,
        segmentation: np.ndarray,
        bodies: list[PoseLandmarks],
        people: list[Person],
    ) -> tuple[list[PoseLandmarks], list[Person]]:
        """Search for a body in every patch of person pixels that no mask covers."""
        low_detail: list[Person] = []
        masks = [person.mask for person in people if person.mask is not None]
        for blob in unexplained_patches(segmentation, masks, self.config.min_leftover_share):
            left, top, right, bottom = blob.box
            view = square_region(left, top, right, bottom)
            view = replace(view, side=view.side * 1.6)
            is_body = False
            for detection in self._find(frame, view)[:2]:
                pose = self._place(frame, detection.region)
                if len(bodies) < self.config.max_people and self._add(bodies, pose):
                    people = [*people, self._person(pose, segmentation)]
                    is_body = True
            if not is_body:
                low_detail.append(blob)
        return bodies, [*people, *low_detail]


def tile_regions(height: int, width: int) -> list[Region]:
    """Overlapping squares along the longer side of a frame that is far from square."""
    short, long = min(height, width), max(height, width)
    if long < 1.25 * short:
        return []
    offsets = np.linspace(0, long - short, 3 if long > 1.6 * short else 2)
    if width >= height:
        return [square_region(x, 0, x + short, short) for x in offsets]
    return [square_region(0, y, short, y + short) for y in offsets]


def is_same_body(first: PoseLandmarks, second: PoseLandmarks) -> bool:
    """Whether two poses are of one body: their points are close, or one mask contains the other."""
    inside_first, inside_second = first.mask > 0.5, second.mask > 0.5
    smaller = min(np.count_nonzero(inside_first), np.count_nonzero(inside_second))
    if np.count_nonzero(inside_first & inside_second) > SAME_BODY_OVERLAP * max(smaller, 1):
        return True
    apart = np.hypot(
        *(first.landmarks[BODY_POINTS, :2] - second.landmarks[BODY_POINTS, :2]).T
    ).mean()
    side = max(first.next_region.side, second.next_region.side)
    return bool(apart < SAME_BODY_DISTANCE * side)


def paint_over(frame: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """The frame (height, width, 3) uint8 with people, masks (height, width) bool, blurred away."""
    height, width = frame.shape[:2]
    people = np.logical_or.reduce(masks).astype(np.uint8)
    reach = 2 * max(2, round(0.03 * np.sqrt(np.count_nonzero(people)))) + 1
    people = cv2.dilate(people, np.ones((reach, reach), np.uint8))
    small = cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    ground = cv2.resize((1 - people).astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small * ground[..., None], (0, 0), 6)
    weight = cv2.GaussianBlur(ground, (0, 0), 6)[..., None] + 1e-3
    fill = cv2.resize(np.clip(blurred / weight, 0, 255).astype(np.uint8), (width, height))
    return np.where(people[..., None] > 0, fill, frame)


def keep_pieces_with_landmarks(mask: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Drop pieces of a mask that contain no landmark (bystanders, furniture)."""
    height, width = mask.shape
    num_labels, components = cv2.connectedComponents(mask, connectivity=8)
    labels = np.asarray(components, np.int32)
    if num_labels <= 2:
        return mask
    x = np.rint(landmarks[:, 0]).astype(int)
    y = np.rint(landmarks[:, 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    kept = np.zeros(num_labels, np.uint8)
    kept[labels[y[inside], x[inside]]] = 255
    kept[0] = 0
    return kept[labels] if kept.any() else mask


def unexplained_patches(
    segmentation: np.ndarray, masks: Sequence[np.ndarray], min_share: float
) -> list[Person]:
    """Patches of person pixels outside every found person's widened mask.

    Args:
        segmentation: (height, width) float32 probability that a pixel is any person.
        masks: (height, width) uint8 of the people found so far.
        min_share: smallest patch, as a share of the largest person (of 1/40 of the frame if no
            person was found).

    Returns:
        People without a pose, largest first.
    """
    height, width = segmentation.shape
    small = (max(1, width // 2), max(1, height // 2))
    left_over = (cv2.resize(segmentation, small) > 0.5).astype(np.uint8)
    main_area = 0
    for mask in masks:
        half = cv2.resize(mask, small, interpolation=cv2.INTER_NEAREST)
        area = int(np.count_nonzero(half))
        main_area = max(main_area, area)
        reach = 2 * max(2, round(0.06 * np.sqrt(area))) + 1
        left_over[cv2.dilate(half, np.ones((reach, reach), np.uint8)) > 0] = 0
    reference = main_area if main_area else left_over.size / 40 / max(min_share, 1e-6)
    left_over = cv2.morphologyEx(left_over, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(left_over, connectivity=8)
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA]) + 1
    people = []
    for label in order:
        left, top, wide, high, area = stats[label]
        if area < min_share * reference:
            break
        patch = cv2.resize(
            (labels == label).astype(np.uint8) * 255, (width, height), interpolation=0
        )
        people.append(
            Person(
                box=np.array([left, top, left + wide, top + high], np.float32) * 2,
                score=float(segmentation[patch > 0].mean()),
                keypoints=np.zeros((17, 3), np.float32),
                mask=patch,
            )
        )
    return people


def _person_box(mask: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The box around the mask; around the landmarks inside the frame if the mask is empty."""
    height, width = mask.shape
    left, top, wide, high = cv2.boundingRect(mask)
    if wide and high:
        return np.array([left, top, left + wide, top + high], np.float32)
    limit = np.array([width, height], np.float32)
    points = np.clip(landmarks[:, :2], 0, limit)
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)


def _prominence(person: Person) -> float:
    return person.score * _area(person)


def _area(person: Person) -> int:
    return int(np.count_nonzero(person.mask)) if person.mask is not None else 0
