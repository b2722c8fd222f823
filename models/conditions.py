"""What the networks know of a caption: its embedded tokens, and what each block looks at.

Source: Open-Sora v1.0.0 embeds and projects the caption at every step; it never changes, so here
that is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from models.attention import Attended, KeysValues


@dataclass(frozen=True, kw_only=True)
class CaptionFeatures:
    """A caption through the trunk's embedder; made once per video, never per step.

    ``VitonDiT.project`` fills in the keys and values of every block's caption attention, so that a
    sampler's steps need not project them again. Tokens and mask have one row, which serves a batch
    of any size, or as many as the batch.

    Attributes:
        tokens: at the network's width.
        mask: True where a token exists; None when all do.
        denoiser_keys_values: one pair for each block of the trunk.
        control_keys_values: one pair for each block of the ControlNet.
    """

    tokens: Float[Tensor, "b l d"]
    mask: Bool[Tensor, "m l"] | None = None
    denoiser_keys_values: Sequence[KeysValues] | None = None
    control_keys_values: Sequence[KeysValues] | None = None

    def for_denoiser(self, num_blocks: int) -> Sequence[Attended]:
        """What each of the trunk's blocks looks at."""
        return self.denoiser_keys_values or [self.tokens] * num_blocks

    def for_control(self, num_blocks: int) -> Sequence[Attended]:
        """What each of the ControlNet's blocks looks at."""
        return self.control_keys_values or [self.tokens] * num_blocks
