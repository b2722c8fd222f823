"""Every metric, in the order of the tables' columns.

To add one that gives a number a video: write ``training/metrics/<name>.py`` with a pure function
``VideoInputs -> VideoNumber`` and a ``Metric`` record (``metric.py``), then one import and one line
here. The engine caches its numbers, runs it in every worker, averages it with an interval, and
metrics.json, the tables, the report and ``compare`` know it. What several metrics share goes
through ``inputs.once`` (per result) or ``inputs.once_per_item`` (does not depend on the result).
"""

from training.metrics.beyond import (
    FLICKER,
    GARMENT_COLOUR,
    GARMENT_PATTERN,
    IDENTITY,
    LEAK,
    SEAM,
    TEMPORAL,
)
from training.metrics.metric import Metric
from training.metrics.standard import (
    COLOUR_76,
    COLOUR_2000,
    KVD,
    LPIPS,
    LPIPS_MASKED,
    SSIM,
    SSIM_MASKED,
    VFID_I3D,
    VFID_RESNEXT,
)

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
    LEAK,
    IDENTITY,
    FLICKER,
    TEMPORAL,
    SEAM,
)
