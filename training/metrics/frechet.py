"""Distances between two sets of clip features: Frechet (VFID) and kernel (KVD), in float64.

Frechet distance of the Gaussians fitted to two samples (Heusel et al. 2017, equation 6):
``|m1 - m2|^2 + tr C1 + tr C2 - 2 tr sqrt(C1 C2)``. With C1 = A^T A and C2 = B^T B, the rows of A
and B being centred features over sqrt(n - 1), the last trace is the nuclear norm of A B^T: no
matrix root, nothing complex, and exact where there are fewer clips than dimensions and C1 C2 is
singular (roots by eigenvalues are off by thousands there, on features of size 1e5).

Kernel distance: the unbiased squared MMD with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018,
section 3). The kernel is torchmetrics'; its MMD is not, since it takes both sets to be of one size.
The expectation is 0 for equal distributions at any number of clips, while the Frechet distance of
few clips is far above 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.image.kid import poly_kernel

from training.metrics.metric import Metric


def frechet_distance(first: Float[Tensor, "n dim"], second: Float[Tensor, "m dim"]) -> float:
    """Frechet distance of two sets of features, each clip a row.

    Raises:
        ValueError: a set has fewer than two clips, or the dimensions differ.
    """
    _check(first, second)
    first, second = first.double(), second.double()
    mean_first, mean_second = first.mean(dim=0), second.mean(dim=0)
    root_first = _covariance_root(first - mean_first)
    root_second = _covariance_root(second - mean_second)
    traces = root_first.square().sum() + root_second.square().sum()
    cross = torch.linalg.svdvals(root_first @ root_second.mT).sum()
    distance = (mean_first - mean_second).square().sum() + traces - 2 * cross
    return float(distance)


def kernel_distance(first: Float[Tensor, "n dim"], second: Float[Tensor, "m dim"]) -> float:
    """Unbiased squared MMD of two sets of features; it may come out slightly below 0.

    Raises:
        ValueError: a set has fewer than two clips, or the dimensions differ.
    """
    _check(first, second)
    first, second = first.double(), second.double()
    across = poly_kernel(first, second).mean()
    return float(_mean_of_others(first) + _mean_of_others(second) - 2 * across)


def _mean_of_others(features: Tensor) -> Tensor:
    """Mean kernel of each clip with every other of its set: itself left out, hence unbiased."""
    kernel = poly_kernel(features, features)
    num_clips = len(features)
    return (kernel.sum() - kernel.diagonal().sum()) / (num_clips * (num_clips - 1))


def _covariance_root(centred: Tensor) -> Tensor:
    """R with R^T R = the covariance, and no more rows than dimensions."""
    num_clips, dim = centred.shape
    scaled = centred / (num_clips - 1) ** 0.5
    return torch.linalg.qr(scaled, mode="r").R if num_clips > dim else scaled


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"features of {first.shape[1]} and {second.shape[1]} dimensions")
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"{len(first)} and {len(second)} clips; a covariance needs two on each side"
        )


VFID_I3D = Metric(
    key="vfid_i3d",
    label="VFID-I3D",
    is_higher_better=False,
    definition="Frechet distance of InceptionI3d's clip features, one mean and covariance a side",
    distance=frechet_distance,
    needs="i3d",
)
VFID_RESNEXT = Metric(
    key="vfid_resnext",
    label="VFID-ResNeXt",
    is_higher_better=False,
    definition="Frechet distance of 3D-ResNeXt-101's clip features",
    distance=frechet_distance,
    needs="resnext",
)
KVD = Metric(
    key="kvd",
    label="KVD",
    is_higher_better=False,
    definition="unbiased squared MMD of the I3D features, kernel (x.y / d + 1)^3",
    distance=kernel_distance,
    is_unbiased=True,
    needs="i3d",
)
