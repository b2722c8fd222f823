"""Validation: samples held-out windows with the averaged weights, paired, and scores them.

The numbers are those of ``make eval`` on windows: the same code, protocol ``fixed``. A metric that
lacks weights or clips is reported once and left out.
"""

import logging
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from torch import Tensor

from configs.errors import ConfigError
from datasets.loading.datamodule import NumberedBatch
from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import sample_windows
from models.conditions import Conditions
from models.system import System
from training.distributed.ranks import gather_from_ranks, rank
from training.distributed.sharding import is_network_sharded
from training.evaluation.clips import ClipSelector
from training.evaluation.scoring import REFERENCE, ItemScores, Scorer
from training.evaluation.suite import MetricSuite, load_suite
from training.evaluation.summary import summarise
from training.metrics.catalogue import METRICS
from training.metrics.frechet import VFID_I3D, VFID_RESNEXT
from training.metrics.lpips import LPIPS, LPIPS_MASKED
from training.metrics.metric import VideoInputs
from training.metrics.protocols import get_protocol
from training.metrics.ssim import SSIM, SSIM_MASKED
from training.step_record import SampledWindow, ValidationRecord, to_pixels

logger = logging.getLogger(__name__)

SHOWN = (SSIM, SSIM_MASKED, LPIPS, LPIPS_MASKED, VFID_I3D, VFID_RESNEXT)
_MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class ScoredWindow:
    """The scores of one window; sent between ranks."""

    scores: ItemScores
    index: int


@dataclass(kw_only=True)
class ValidationScores:
    """Windows of one validation and their scores, gathered window by window.

    Args:
        device: cpu, cuda:1, ...; of the metrics' networks.
        best_by: the metric that chooses the best checkpoint; auto: VFID-I3D where it can be
            computed, else SSIM.
    """

    device: str
    best_by: str = "auto"
    suite: MetricSuite = field(init=False)
    _samples: list[SampledWindow] = field(default_factory=list, init=False)
    _scored: list[ScoredWindow] = field(default_factory=list, init=False)
    _scorer: Scorer = field(init=False)
    _told: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.suite = load_suite(get_protocol("fixed"), self.device)
        self._scorer = Scorer(self.suite, metrics=SHOWN)
        wanted = next((metric for metric in METRICS if metric.key == self.best_by), None)
        gap = None if wanted is None else self.suite.gap(wanted)
        if gap is not None:
            raise ConfigError(
                f"validation.best_by is {self.best_by}, which cannot be computed; {gap}"
            )

    def clear(self) -> None:
        """Begin a validation."""
        self._samples.clear()
        self._scored.clear()

    def add(self, batch: NumberedBatch, window: SampledWindow) -> None:
        """Score one painted window against the truth.

        Args:
            batch: the inputs; its first row is the window.
            window: the same in pixels, with the result.
        """
        mask = to_pixels(batch.mask[0].expand(-1, 3, -1, -1) * 2 - 1)[..., 0]
        inputs = VideoInputs(
            prediction=window.result,
            source=window.source,
            truth=window.source,
            mask=mask,
            garment_region=np.zeros(mask.shape, dtype=bool),
            garment=window.garment,
            pairing="paired",
            protocol=self.suite.protocol,
            lpips=self.suite.lpips,
        )
        scores = self._scorer.score_video(inputs, window.key)
        features = {
            name: self._scorer.features(ClipSelector(self.suite.protocol).push(video))
            for name, video in ((_MODEL, window.result), (REFERENCE, window.source))
        }
        num_clips = len(next(iter(features[_MODEL].values()), []))
        item = ItemScores(
            num_frames=len(window.result), num_clips=num_clips, has_truth=True,
            videos={_MODEL: scores}, features=features,
        )  # fmt: skip
        self._samples.append(window)
        self._scored.append(ScoredWindow(scores=item, index=int(batch.numbers[0])))

    def record(self) -> ValidationRecord:
        """This rank's samples, and the numbers over the windows of all ranks."""
        numbers = self.numbers()
        return ValidationRecord(
            samples=tuple(self._samples), numbers=numbers, best_by=self._best_by(numbers)
        )

    def numbers(self) -> dict[str, float]:
        """The metrics over the windows of all ranks, by their keys in metrics.json."""
        every = [scored for part in gather_from_ranks(self._scored) for scored in part]
        every.sort(key=lambda scored: scored.index)
        if not every:
            return {}
        summary = summarise(_MODEL, [scored.scores for scored in every], self.suite)
        found: dict[str, float] = {}
        for metric in SHOWN:
            entry = summary[metric.key]
            if "value" in entry:
                found[metric.key] = float(entry["value"])
            elif metric.key not in self._told and rank() == 0:
                self._told.add(metric.key)
                logger.info("validation has no %s: %s", metric.label, entry["gap"])
        return found

    def _best_by(self, numbers: dict[str, float]) -> tuple[str, float] | None:
        """(metric, its value with the sign turned so that higher is better)."""
        key = self.best_by
        if key == "auto":
            key = VFID_I3D.key if VFID_I3D.key in numbers else SSIM.key
        if key not in numbers:
            return None
        metric = next(metric for metric in METRICS if metric.key == key)
        return key, numbers[key] if metric.is_higher_better else -numbers[key]


def sample_window(
    system: System, conditions: Conditions, batch: NumberedBatch, sampler: SamplerConfig, seed: int
) -> Float[Tensor, "b t 3 h w"]:
    """Paint held-out windows.

    Args:
        system: network, codec and diffusion.
        conditions: of the batch's rows.
        batch: the first row's number in the data set names the noise.
        sampler: solver and steps.
        seed: of the run.
    """
    _, _, height, width = system.config.latent_shape
    if not is_network_sharded(system.network):  # a sharded block is gathered in its forward alone
        conditions = system.network.project(conditions)
    latents = sample_windows(
        system,
        sampler,
        conditions,
        frames=[list(range(batch.video.shape[1]))] * len(batch.keys),
        latent_size=(height, width),
        seed=seed + int(batch.numbers[0]),
    )
    return system.codec.decode(latents)
