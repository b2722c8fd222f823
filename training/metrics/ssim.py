"""SSIM by torchmetrics, per frame, over the whole frame and over the masked region.

Wang et al. 2004, Gaussian window 11x11 with sigma 1.5. The data range is always stated: without it
torchmetrics takes the range found in the frames, and the number means something else.
"""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torchmetrics.functional.image import structural_similarity_index_measure

BT601 = (0.299, 0.587, 0.114)
FRAMES_AT_ONCE = 16


def ssim_per_frame(
    prediction: UInt8[np.ndarray, "t h w 3"],
    truth: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    colour: str = "rgb",
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """SSIM of every frame, and its mean over the region's pixels.

    Args:
        prediction: RGB frames.
        truth: RGB frames of the same size.
        region: True where the frame was painted.
        colour: ``rgb`` (mean of three channels) or ``gray`` (luma rounded to 8 bit first).

    Returns:
        Whole-frame SSIM and region SSIM; the latter is NaN in a frame without region.
    """
    whole: list[np.ndarray] = []
    inside: list[np.ndarray] = []
    for start in range(0, len(prediction), FRAMES_AT_ONCE):
        chosen = slice(start, start + FRAMES_AT_ONCE)
        values, image = structural_similarity_index_measure(
            _to_tensor(prediction[chosen], colour),
            _to_tensor(truth[chosen], colour),
            gaussian_kernel=True,
            sigma=1.5,
            kernel_size=11,
            data_range=1.0,
            reduction="none",
            return_full_image=True,
        )
        weights = torch.from_numpy(region[chosen]).double()
        in_region = (image.mean(dim=1).double() * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2))
        whole.append(values.double().reshape(-1).numpy())
        inside.append(in_region.numpy())
    return np.concatenate(whole), np.concatenate(inside)


def _to_tensor(frames: UInt8[np.ndarray, "t h w 3"], colour: str) -> Float[torch.Tensor, "t c h w"]:
    if colour == "gray":
        luma = np.rint(frames.astype(np.float64) @ np.asarray(BT601)).astype(np.uint8)
        return torch.from_numpy(luma)[:, None].float() / 255
    return rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> t c h w") / 255
