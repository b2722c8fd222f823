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
from curation.perception.embedded.person_pixels import (
    connected_patch,
    keep_pieces_with_landmarks,
    largest_patch,
    paint_over,
    unexplained_patches,
)
from curation.perception.embedded.person_segmentation import PersonSegmentationModel
from curation.perception.embedded.pose_detector import PoseDetectionModel
from curation.perception.embedded.pose_landmarks import PoseLandmarkModel, PoseLandmarks
from curation.perception.embedded.proposals import proposed_regions, stretch_faint
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
EXPLAINED_SHARE = 0.75  # of the person pixels that a pose was proposed from and must cover
MAX_TRIES = 2  # proposals for a body and what was left out of it
HINTED_SHARE = 0.5  # of a left-out part that a first look must cover for a second one
SURE_SCORE = 0.9  # of presence times that share: no other proposal is tried
TOP_SHARE = 0.02  # of the frame's height: person pixels above it reach the upper edge
WIDE = 2.0  # frames wider than this times their height are segmented tile by tile


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
        followed: list[list[PoseLandmarks]] = []
        bodies: list[PoseLandmarks] = []
        people: list[Person] = []
        for index, frame in enumerate(frames):
            bodies, people = self._see(
                stretch_faint(frame),
                bodies,
                search=index % self.config.redetect_every == 0,
                is_clear=all(person.landmarks is not None for person in people),
            )
            followed.append(bodies)
            found.append(people)
        for index in reversed(range(len(found) - 1)):  # bodies that only a later frame gives away
            if not followed[index] and followed[index + 1]:
                followed[index], found[index] = self._see(
                    stretch_faint(frames[index]), followed[index + 1], search=False, is_clear=True
                )
        tracks = BoxTracks()
        return [tracks.follow(people) for people in found]

    def _see(
        self, frame: np.ndarray, near: list[PoseLandmarks], *, search: bool, is_clear: bool
    ) -> tuple[list[PoseLandmarks], list[Person]]:
        """Poses and people of one frame.

        Args:
            frame: (height, width, 3) uint8 RGB.
            near: the poses of the frame before or after.
            search: look everywhere, not only where ``near`` was.
            is_clear: the frame before showed no person pixels without a pose, so that those of
                this one deserve a closer look.

        A body that the box network cannot see reaches the frame's upper edge: its head is cut off.
        A garment that lies somewhere, which a pose may well fit, does not.
        """
        bodies = self._bodies(frame, near, search)
        segmentation = self._segmented(frame)
        patch = None if bodies else largest_patch(segmentation)
        if patch is not None and patch[: max(1, round(TOP_SHARE * len(patch)))].any():
            bodies = self._proposed(frame, patch)
        people = [self._person(body, segmentation) for body in bodies]
        if self.config.find_others:
            bodies, people = self._add_unexplained(
                frame, segmentation, bodies, people, tries=MAX_TRIES if is_clear else 1
            )
        order = sorted(range(len(people)), key=lambda i: -_prominence(people[i]))
        if order:
            least = self.config.min_leftover_share * _area(people[order[0]])
            order = [i for i in order if _area(people[i]) >= least]
        return [bodies[i] for i in order if i < len(bodies)], [people[i] for i in order]

    def look(self, frame: np.ndarray, view: Region) -> Person | None:
        """The most prominent person in a part of a frame; None if there is no body."""
        frame = stretch_faint(frame)
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

    def _segmented(self, frame: np.ndarray) -> np.ndarray:
        """The segmentation; squeezed into a square, people in a very wide frame are not seen."""
        height, width = frame.shape[:2]
        if width <= WIDE * height:
            return self._segment(frame)
        views = [None, *tile_regions(height, width)]
        return np.max([self._segment(frame, view) for view in views], axis=0)

    def _proposed(self, frame: np.ndarray, patch: np.ndarray) -> list[PoseLandmarks]:
        """The pose that best explains a patch of person pixels (height, width) bool, if any."""
        best, best_score = None, 0.0
        for region in proposed_regions(patch):
            pose = self._place(frame, self._place(frame, region).next_region)
            share = covered_share(pose, patch)
            is_body = pose.score >= self.config.presence_threshold and share >= EXPLAINED_SHARE
            if is_body and pose.score * share > best_score:
                best, best_score = pose, pose.score * share
            if best_score >= SURE_SCORE:
                break
        return [] if best is None else [best]

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
        tries: int = 1,
    ) -> tuple[list[PoseLandmarks], list[Person]]:
        """Search for a body in every patch of person pixels that no mask covers."""
        low_detail: list[Person] = []
        masks = [person.mask for person in people if person.mask is not None]
        for blob in unexplained_patches(segmentation, masks, self.config.min_leftover_share):
            whole = self._whole(frame, segmentation, people, blob, tries)
            if whole is not None:
                owner, pose = whole
                bodies = [*bodies[:owner], pose, *bodies[owner + 1 :]]
                person = self._person(pose, segmentation)
                people = [*people[:owner], person, *people[owner + 1 :]]
                continue
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

    def _whole(
        self,
        frame: np.ndarray,
        segmentation: np.ndarray,
        people: list[Person],
        blob: Person,
        tries: int,
    ) -> tuple[int, PoseLandmarks] | None:
        """The main body whose part an unexplained patch is, and the pose that covers both, if any.

        A head, a torso or legs that a pose left out are connected to it, and one pose covers them
        together; of two people who touch, a pose covers one.
        """
        if not people or blob.mask is None:
            return None
        owner = int(np.argmax([_area(person) for person in people]))
        masks = [person.mask > 0 for person in people if person.mask is not None]
        part = blob.mask > 0
        both = connected_patch((segmentation > 0.5) | masks[owner], part)
        connected = [np.count_nonzero(both & mask) > 0.5 * np.count_nonzero(mask) for mask in masks]
        if connected != [number == owner for number in range(len(people))]:
            return None
        for region in proposed_regions(both)[:tries]:
            pose = self._place(frame, region)
            if covered_share(pose, part) < HINTED_SHARE:
                continue
            pose = self._place(frame, pose.next_region)
            least = min(covered_share(pose, both), covered_share(pose, part))
            if pose.score >= self.config.presence_threshold and least >= EXPLAINED_SHARE:
                return owner, pose
        return None


def tile_regions(height: int, width: int) -> list[Region]:
    """Overlapping squares along the longer side of a frame that is far from square."""
    short, long = min(height, width), max(height, width)
    if long < 1.25 * short:
        return []
    offsets = np.linspace(0, long - short, 3 if long > 1.6 * short else 2)
    if width >= height:
        return [square_region(x, 0, x + short, short) for x in offsets]
    return [square_region(0, y, short, y + short) for y in offsets]


def covered_share(pose: PoseLandmarks, patch: np.ndarray) -> float:
    """The share of a patch (height, width) bool, not empty, that a pose's mask covers."""
    return float((pose.mask > 0.5)[patch].mean())


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
