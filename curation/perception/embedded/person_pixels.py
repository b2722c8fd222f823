"""Masks as patches of pixels: connected, left over, or painted over in a frame."""

from collections.abc import Sequence

import cv2
import numpy as np

from curation.perception.protocols import Person

MIN_PATCH_SHARE = 1 / 40  # of the frame; smaller patches are not worth a search


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


def largest_patch(segmentation: np.ndarray) -> np.ndarray | None:
    """The largest connected patch of person pixels, (height, width) bool; None: too small.

    Args:
        segmentation: (height, width) float32 probability that a pixel is any person.
    """
    inside = (segmentation > 0.5).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas) or areas.max() < MIN_PATCH_SHARE * inside.size:
        return None
    return np.asarray(labels == 1 + int(np.argmax(areas)))


def connected_patch(inside: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The connected part of ``inside`` (height, width) bool that most of ``seed`` (bool) is in."""
    _, components = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    labels = np.asarray(components, np.int32)
    counts = np.bincount(labels[seed & inside], minlength=1)
    return np.asarray(labels == int(np.argmax(counts))) & inside


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
