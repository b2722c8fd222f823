"""LPIPS by torchmetrics (Zhang et al. 2018), per frame.

The linear layers lie in torchmetrics' own package; the ImageNet backbones do not. They are given
from a file of torchvision (``training.metrics.weights`` finds and checks it): nothing is downloaded
behind the user's back, and without the file there is no number.
"""

import re

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS

FRAMES_AT_ONCE = 16
_LAYER = re.compile(r"^features\.(\d+)\.(.+)$")
_SLICE = re.compile(r"^net\.slices?\.?\d+\.(\d+)\.(.+)$")


class Lpips:
    """LPIPS with a given backbone: ``alex``, ``squeeze`` or ``vgg``."""

    def __init__(self, net: str, backbone: dict[str, Tensor]) -> None:
        """Build the metric.

        Args:
            net: the backbone's name as torchmetrics has it.
            backbone: the state dict of torchvision's classifier of that name.

        Raises:
            ValueError: the state dict is not that backbone's.
        """
        self.network = _LPIPS(net=net, pnet_rand=True)  # pyright: ignore[reportArgumentType]
        state = self.network.state_dict()
        given = {
            (found[1], found[2]): value
            for key, value in backbone.items()
            if (found := _LAYER.match(key))
        }
        for key, value in state.items():
            found = _SLICE.match(key)
            if not found:
                continue
            source = given.pop((found[1], found[2]), None)
            if source is None or source.shape != value.shape:
                raise ValueError(
                    f"backbone {net!r}: features.{found[1]}.{found[2]} is "
                    f"{'missing' if source is None else tuple(source.shape)}; "
                    f"{tuple(value.shape)} is expected"
                )
            state[key] = source
        if given:
            raise ValueError(f"backbone {net!r}: unexpected features.{'.'.join(min(given))}")
        self.network.load_state_dict(state)
        self.network.eval()

    @torch.no_grad()
    def per_frame(
        self, prediction: UInt8[np.ndarray, "t h w 3"], truth: UInt8[np.ndarray, "t h w 3"]
    ) -> Float[np.ndarray, " t"]:
        """LPIPS of every RGB frame; 0 for equal frames."""
        values: list[np.ndarray] = []
        for start in range(0, len(prediction), FRAMES_AT_ONCE):
            chosen = slice(start, start + FRAMES_AT_ONCE)
            distance = self.network(_to_tensor(prediction[chosen]), _to_tensor(truth[chosen]))
            values.append(distance.double().reshape(-1).numpy())
        return np.concatenate(values)


def _to_tensor(frames: UInt8[np.ndarray, "t h w 3"]) -> Float[Tensor, "t 3 h w"]:
    tensor = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> t c h w")
    return tensor.float() / 127.5 - 1
