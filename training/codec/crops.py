"""Batches of crops: every draw is a function of the seed and the step."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.sample import bytes_to_signed
from datasets.seeding import numpy_generator

REAL_SHARE = 0.45
"""Of the crops, where there are real pictures."""
SMALLEST_SIDE = 96
"""Pictures are shrunk so that their shorter side has this many pixels or more."""
PERMUTED, GRAYED = 0.15, 0.08
"""Shares of crops with their colour channels permuted, and with a gray rectangle, as agnostic
frames have."""

Picture = UInt8[np.ndarray, "_ _ 3"]
"""Of any size."""


class Crops:
    """Draws batches of crops.

    Args:
        rendered: pictures, each as likely as the others.
        real: pictures by file; each file is as likely as the others. May be empty.
        size: height and width of a crop, in pixels.
        count: crops in a batch.
        seed: of every draw.
    """

    def __init__(
        self,
        rendered: Sequence[Picture],
        real: Sequence[Sequence[Picture]],
        size: int,
        count: int,
        seed: int,
    ) -> None:
        self.rendered, self.real = rendered, real
        self.size, self.count, self.seed = size, count, seed

    def batch(self, step: int) -> Float[Tensor, "b 3 s s"]:
        """The crops of one step, in [-1, 1]."""
        rng = numpy_generator(self.seed, "codec crops", step)
        crops = np.stack([self._crop(self._picture(rng), rng) for _ in range(self.count)])
        images = bytes_to_signed(torch.from_numpy(crops))
        images = rearrange(images, "b h w c -> b c h w").contiguous()
        for image in images:
            if rng.random() < GRAYED:
                top, left = rng.integers(0, self.size // 2, 2)
                height, width = rng.integers(self.size // 8, self.size // 2, 2)
                image[:, top : top + height, left : left + width] = 0.0
        return images

    def _picture(self, rng: np.random.Generator) -> Picture:
        if self.real and rng.random() < REAL_SHARE:
            pictures = self.real[int(rng.integers(len(self.real)))]
            return pictures[int(rng.integers(len(pictures)))]
        return self.rendered[int(rng.integers(len(self.rendered)))]

    def _crop(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """A square at a random place and scale, perhaps mirrored or in other colours."""
        shorter = min(picture.shape[:2])
        smallest = min(max(SMALLEST_SIDE, self.size), shorter)
        side = np.exp(rng.uniform(np.log(smallest), np.log(min(shorter, 3 * smallest))))
        if shorter <= 2 * smallest:  # rendered: as often at exactly the full or half size
            side = (side, shorter, smallest)[rng.integers(3)]
        span = min(round(self.size * shorter / side), shorter)
        top = rng.integers(picture.shape[0] - span + 1)
        left = rng.integers(picture.shape[1] - span + 1)
        crop = picture[top : top + span, left : left + span]
        if span != self.size:
            way = cv2.INTER_AREA if span > self.size else cv2.INTER_CUBIC
            crop = cv2.resize(crop, (self.size, self.size), interpolation=way)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return crop[..., rng.permutation(3)] if rng.random() < PERMUTED else crop
