"""LPIPS by torchmetrics (Zhang et al. 2018), per frame.

The linear layers are part of torchmetrics; the ImageNet backbones are not. They are loaded from a
torchvision file (``training.weights.metric_networks`` finds and checks it): nothing is downloaded
silently, and without the file there is no number.
"""

import re

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS, _normalize_tensor

from datasets.sample import bytes_to_signed
from training.metrics.metric import NOT_PAINTED, Metric, VideoInputs, VideoNumber

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
        self,
        prediction: UInt8[np.ndarray, "t h w 3"],
        truth: UInt8[np.ndarray, "t h w 3"],
        region: Bool[np.ndarray, "t h w"],
    ) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
        """LPIPS of every RGB frame, and its mean over the region's pixels.

        The frame's number is torchmetrics': the mean of each layer's distance map, summed over
        layers. In the region the maps, brought to the frame's size, are averaged where it is True;
        NaN in a frame without region. Both are 0 for equal frames.
        """
        differs = (prediction != truth).any(axis=(1, 2, 3))
        whole = np.zeros(len(prediction))
        inside = np.where(region.any(axis=(1, 2)), 0.0, np.nan)
        device = next(self.network.parameters()).device
        (frames,) = np.nonzero(differs)  # the others' distance is 0
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            chosen = frames[start : start + FRAMES_AT_ONCE]
            weights = torch.from_numpy(region[chosen]).to(device)[:, None]
            total = torch.zeros(len(weights), dtype=torch.float64, device=device)
            masked = torch.zeros_like(total)
            for distance in self._layer_maps(
                _to_tensor(prediction[chosen]).to(device), _to_tensor(truth[chosen]).to(device)
            ):
                total += distance.double().mean(dim=(1, 2, 3))
                full = F.interpolate(distance, weights.shape[-2:], mode="bilinear")
                masked += (full * weights).double().sum(dim=(1, 2, 3))
            whole[chosen] = total.cpu().numpy()
            inside[chosen] = (masked / weights.sum(dim=(1, 2, 3))).cpu().numpy()
        return whole, inside

    def _layer_maps(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Tensor]:
        """Zhang et al. 2018, equation 1, before its mean over positions: (b 1 h' w') a layer."""
        features = [self.network.net(self.network.scaling_layer(side)) for side in (first, second)]
        maps: list[Tensor] = []
        for linear, one, other in zip(self.network.lins, *features, strict=True):
            maps.append(linear((_normalize_tensor(one) - _normalize_tensor(other)) ** 2))
        return maps


def _to_tensor(frames: UInt8[np.ndarray, "t h w 3"]) -> Float[Tensor, "t 3 h w"]:
    tensor = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> t c h w")
    return bytes_to_signed(tensor)


def _both(inputs: VideoInputs) -> tuple[np.ndarray, np.ndarray]:
    assert inputs.truth is not None
    assert inputs.lpips is not None
    return inputs.lpips.per_frame(inputs.prediction, inputs.truth, inputs.painted)


LPIPS = Metric(
    key="lpips",
    label="LPIPS",
    is_higher_better=False,
    definition="Zhang et al. 2018, equation 1, torchmetrics' linear layers",
    compute=lambda inputs: VideoNumber.of_frames(inputs.once(_both)[0]),
    needs="lpips",
    needs_truth=True,
    protocol_fields=("lpips_net",),
)
LPIPS_MASKED = Metric(
    key="lpips_masked",
    label="LPIPS in mask",
    is_higher_better=False,
    definition="each layer's map brought to the frame's size, averaged over the mask, summed",
    compute=lambda inputs: VideoNumber.of_frames(inputs.once(_both)[1]),
    needs="lpips",
    needs_truth=True,
    no_value=NOT_PAINTED,
    protocol_fields=("lpips_net",),
)
