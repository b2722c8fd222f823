"""All metrics of one protocol, ready to use, and the reasons for those without weights."""

import logging
from dataclasses import dataclass, field

import torch
from torch import nn

from training.metrics.dinov2 import PictureFeatures
from training.metrics.lpips import Lpips
from training.metrics.metric import Metric
from training.metrics.protocols import Protocol
from training.weights.catalogue import CATALOGUE
from training.weights.metric_networks import (
    absent,
    find_weights,
    load_dinov2,
    load_i3d,
    load_lpips,
    load_resnext,
    published,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MetricSuite:
    """A protocol's metrics with the weights available here."""

    protocol: Protocol
    lpips: Lpips | None = None
    features: PictureFeatures | None = None  # DINOv2's
    networks: dict[str, nn.Module] = field(default_factory=dict)  # "i3d", "resnext"
    sha256: dict[str, str] = field(default_factory=dict)  # of every weights file in use
    files: dict[str, str] = field(default_factory=dict)

    def gap(self, metric: Metric) -> str | None:
        """Why a metric cannot be computed and what to do; None if it can."""
        needed = self.weights_of(metric)
        if needed is None or needed in self.sha256:
            return None
        return absent(needed)

    def weights_of(self, metric: Metric) -> str | None:
        """Name of the weights that a metric needs; None if it needs none."""
        return self.protocol.lpips_net if metric.needs == "lpips" else metric.needs

    def weights_record(self) -> dict[str, dict[str, str]]:
        """For metrics.json: file and sha256 of each weights file, or how to get it."""
        record: dict[str, dict[str, str]] = {}
        for name in networks_of(self.protocol):
            if name in self.sha256:
                digest = self.sha256[name]
                record[name] = {
                    "file": self.files[name],
                    "sha256": digest,
                    "published": published(name, digest),
                }
            else:
                record[name] = {"absent": absent(name)}
        return record


def networks_of(protocol: Protocol) -> tuple[str, ...]:
    """Names of all weights that the metrics of a protocol use."""
    return "i3d", "resnext", protocol.lpips_net, "dinov2"


def load_suite(protocol: Protocol, device: str = "auto") -> MetricSuite:
    """Load the networks that the protocol needs and this machine has weights for.

    ``device`` auto: the first GPU, else the CPU.

    Raises:
        DataError: a weights file exists but is not what its name says.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    lpips: Lpips | None = None
    features: PictureFeatures | None = None
    networks: dict[str, nn.Module] = {}
    sha256: dict[str, str] = {}
    files: dict[str, str] = {}
    for name in networks_of(protocol):
        found = find_weights(name)
        if found is None:
            logger.info("%s: %s", CATALOGUE[name].purpose, absent(name))
            continue
        sha256[name], files[name] = found.sha256, str(found.path)
        if name == "i3d":
            networks[name] = load_i3d(found.path).to(device)
        elif name == "resnext":
            networks[name] = load_resnext(found.path).to(device)
        elif name == "dinov2":
            features = PictureFeatures(load_dinov2(found.path).to(device))
        else:
            lpips = load_lpips(name, found.path)
            lpips.network.to(device)
    return MetricSuite(
        protocol=protocol, lpips=lpips, features=features, networks=networks, sha256=sha256,
        files=files,
    )  # fmt: skip
