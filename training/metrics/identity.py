"""Identity preservation: change outside the mask, where nothing was to be painted.

Mean absolute difference in 8-bit levels (0..255) over RGB between result and source, outside the
mask: face, hair, hands, the other clothes and the background. It needs no truth and no network. A
result with the source pasted back has 0; one decoded from latents has its codec's error, 1 to 4
levels. The plain mean absolute error is used rather than PSNR, which has no value for equal frames.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.metric import Metric, VideoNumber, by_frame


def change_outside(
    result: UInt8[np.ndarray, "t h w 3"],
    source: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
) -> Float[np.ndarray, " t"]:
    """Mean |result - source| outside the painted region, per frame: levels in [0, 255].

    NaN in a frame that was painted whole.
    """

    def change(index: int) -> float:
        difference = np.abs(result[index].astype(np.int16) - source[index]).mean(axis=-1)
        return difference[~region[index]].mean()

    return by_frame(~region, change)


IDENTITY = Metric(
    key="outside_change",
    label="change outside mask",
    is_higher_better=False,
    definition="mean |result - source| outside the mask; 8-bit levels",
    compute=lambda inputs: VideoNumber.of_frames(
        change_outside(inputs.prediction, inputs.source, inputs.painted)
    ),
    no_value="every frame is painted whole",
)
