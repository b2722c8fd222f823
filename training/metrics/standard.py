"""The usual numbers of the field as records: SSIM, LPIPS, VFID, KVD, and the garment's colour."""

from collections.abc import Callable

import numpy as np

from training.metrics.colour import (
    Lab,
    delta_e_76,
    delta_e_2000,
    garment_pixels,
    mean_lab,
    region_colour,
)
from training.metrics.metric import Metric, VideoInputs, VideoNumber
from training.metrics.ssim import ssim_per_frame

Frames = tuple[np.ndarray, np.ndarray]
"""Whole-frame and region numbers (t), the latter NaN in a frame without region."""


def _ssim(inputs: VideoInputs) -> Frames:
    assert inputs.truth is not None
    colour = inputs.protocol.ssim_colour
    return ssim_per_frame(inputs.prediction, inputs.truth, inputs.mask > 127, colour)


def _lpips(inputs: VideoInputs) -> Frames:
    assert inputs.truth is not None
    assert inputs.lpips is not None
    return inputs.lpips.per_frame(inputs.prediction, inputs.truth, inputs.mask > 127)


def _shown_colour(inputs: VideoInputs) -> Lab | None:
    return region_colour(inputs.prediction, inputs.garment_region)


def _wanted_colour(inputs: VideoInputs) -> Lab | None:
    if inputs.truth is None:
        return mean_lab(garment_pixels(inputs.garment))
    return region_colour(inputs.truth, inputs.garment_region)


def number_of_frames(values: np.ndarray) -> VideoNumber:
    """Mean over the frames that have a value; None where none has."""
    known = values[~np.isnan(values)]
    return VideoNumber(
        value=float(known.mean()) if len(known) else None,
        per_frame=[None if np.isnan(value) else round(float(value), 5) for value in values],
    )


def _ssim_whole(inputs: VideoInputs) -> VideoNumber:
    return number_of_frames(inputs.once(_ssim)[0])


def _ssim_masked(inputs: VideoInputs) -> VideoNumber:
    return number_of_frames(inputs.once(_ssim)[1])


def _lpips_whole(inputs: VideoInputs) -> VideoNumber:
    return number_of_frames(inputs.once(_lpips)[0])


def _lpips_masked(inputs: VideoInputs) -> VideoNumber:
    return number_of_frames(inputs.once(_lpips)[1])


def _colour_2000(inputs: VideoInputs) -> VideoNumber:
    return _colour_distance(inputs, delta_e_2000)


def _colour_76(inputs: VideoInputs) -> VideoNumber:
    return _colour_distance(inputs, delta_e_76)


def _colour_distance(inputs: VideoInputs, distance: Callable[[Lab, Lab], float]) -> VideoNumber:
    shown, wanted = inputs.once(_shown_colour), inputs.once_per_item(_wanted_colour)
    if shown is None or wanted is None:
        return VideoNumber(value=None)
    return VideoNumber(value=distance(shown, wanted))


NOT_PAINTED = "no painted pixel in any frame"

SSIM = Metric(
    key="ssim",
    label="SSIM",
    is_higher_better=True,
    definition="Wang et al. 2004, equation 13, as torchmetrics computes it, in float64",
    compute=_ssim_whole,
    needs_truth=True,
    protocol_fields=("ssim_colour", "ssim_window"),
)
SSIM_MASKED = Metric(
    key="ssim_masked",
    label="SSIM in mask",
    is_higher_better=True,
    definition="the same map, averaged over the pixels that were to be painted",
    compute=_ssim_masked,
    needs_truth=True,
    no_value=NOT_PAINTED,
    protocol_fields=("ssim_colour", "ssim_window"),
)
LPIPS = Metric(
    key="lpips",
    label="LPIPS",
    is_higher_better=False,
    definition="Zhang et al. 2018, equation 1, torchmetrics' linear layers",
    compute=_lpips_whole,
    needs="lpips",
    needs_truth=True,
    protocol_fields=("lpips_net",),
)
LPIPS_MASKED = Metric(
    key="lpips_masked",
    label="LPIPS in mask",
    is_higher_better=False,
    definition="each layer's map brought to the frame's size, averaged over the mask, summed",
    compute=_lpips_masked,
    needs="lpips",
    needs_truth=True,
    no_value=NOT_PAINTED,
    protocol_fields=("lpips_net",),
)
VFID_I3D = Metric(
    key="vfid_i3d",
    label="VFID-I3D",
    is_higher_better=False,
    definition="Frechet distance of InceptionI3d's clip features, one mean and covariance a side",
    kind="set",
    needs="i3d",
)
VFID_RESNEXT = Metric(
    key="vfid_resnext",
    label="VFID-ResNeXt",
    is_higher_better=False,
    definition="Frechet distance of 3D-ResNeXt-101's clip features",
    kind="set",
    needs="resnext",
)
KVD = Metric(
    key="kvd",
    label="KVD",
    is_higher_better=False,
    definition="unbiased squared MMD of the I3D features, kernel (x.y / d + 1)^3",
    kind="set",
    needs="i3d",
)
COLOUR_2000 = Metric(
    key="colour_delta_e",
    label="colour ΔE 2000",
    is_higher_better=False,
    definition="CIEDE2000 of the mean colour in the worn garment's region from the wanted one",
    compute=_colour_2000,
    no_value=NOT_PAINTED,
)
COLOUR_76 = Metric(
    key="colour_delta_e_76",
    label="colour ΔE 76",
    is_higher_better=False,
    definition="CIE76 of the same two colours",
    compute=_colour_76,
    no_value=NOT_PAINTED,
)
