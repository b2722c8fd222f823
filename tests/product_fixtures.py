"""A product photo, made by formula."""

import cv2
import numpy as np


def product_photo(height=200, width=160, seed=0):
    """A red shirt lying on crumpled gray cloth; and where it is."""
    random = np.random.default_rng(seed)
    cloth = random.normal(0, 1, (height // 10, width // 10)).astype(np.float32)
    photo = 175 + 10 * cv2.resize(cloth, (width, height), interpolation=cv2.INTER_CUBIC)
    photo = np.repeat(photo[..., None], 3, -1) + random.normal(0, 3, (height, width, 3))
    truth = np.zeros((height, width), np.uint8)
    cv2.rectangle(truth, (50, 50), (110, 160), 255, cv2.FILLED)
    cv2.fillPoly(truth, [np.array([[50, 50], [20, 100], [35, 110], [50, 85]])], 255)
    cv2.fillPoly(truth, [np.array([[110, 50], [140, 100], [125, 110], [110, 85]])], 255)
    photo[truth > 0] = np.array([170, 40, 50]) + random.normal(0, 6, (int((truth > 0).sum()), 3))
    return np.clip(photo, 0, 255).astype(np.uint8), truth


def save(path, image):
    cv2.imwrite(str(path), image[..., ::-1] if image.shape[-1] == 3 else image)
    return path
