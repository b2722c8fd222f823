"""Every metric, in the order of the tables' columns.

To add one that gives a number a video: write ``training/metrics/<name>.py`` with a pure function
``VideoInputs -> VideoNumber`` and a ``Metric`` record (``metric.py``), then one import and one line
here. The engine caches its numbers, runs it in every worker, averages it with an interval, and
metrics.json, the tables, the report and ``compare`` include it. Values shared by several metrics go
through ``inputs.once`` (per result) or ``inputs.once_per_item`` (independent of the result).
"""

from training.metrics.colour import COLOUR_76, COLOUR_2000
from training.metrics.flicker import FLICKER, TEMPORAL
from training.metrics.frechet import KVD, VFID_I3D, VFID_RESNEXT
from training.metrics.garment_colour import GARMENT_COLOUR
from training.metrics.garment_likeness import GARMENT_LIKENESS, GARMENT_LIKENESS_LOWEST
from training.metrics.garment_pattern import GARMENT_PATTERN
from training.metrics.identity import IDENTITY
from training.metrics.leak import LEAK
from training.metrics.lpips import LPIPS, LPIPS_MASKED
from training.metrics.metric import Metric
from training.metrics.seams import SEAM
from training.metrics.ssim import SSIM, SSIM_MASKED

METRICS: tuple[Metric, ...] = (
    SSIM,
    SSIM_MASKED,
    LPIPS,
    LPIPS_MASKED,
    VFID_I3D,
    VFID_RESNEXT,
    KVD,
    COLOUR_2000,
    COLOUR_76,
    GARMENT_COLOUR,
    GARMENT_PATTERN,
    GARMENT_LIKENESS,
    GARMENT_LIKENESS_LOWEST,
    LEAK,
    IDENTITY,
    FLICKER,
    TEMPORAL,
    SEAM,
)
