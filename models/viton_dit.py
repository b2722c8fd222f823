"""VITON-DiT: denoiser, garment extractor and ID ControlNet as one network.

Source: VITON-DiT (arXiv 2405.18326), Figure 2. The docstrings state our decisions where the paper
leaves a choice open. Read this file first, then ``stdit.py`` and ``blocks.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from models.attention import KeysValues
from models.blocks import FUSIONS, STBlock
from models.conditions import CaptionFeatures, Conditions, GarmentFeatures
from models.control import ControlNet
from models.garment import GarmentExtractor
from models.places import Places, pool_places, slopes_of, smooth_places
from models.stdit import STDiT, STDiTConfig
from models.trunk_start import start_control, start_garment
from models.warm_start import open_gates, warm_up

KNOWN_FRAMES = ("control", "control+timestep")
NULL_MASKS = ("full", "prompt")
PARTS = ("garment", "control")


@dataclass(frozen=True, kw_only=True)
class VitonDiTConfig:
    """Sizes of the three networks, and the decisions that the paper leaves open.

    Attributes:
        trunk: the denoiser's sizes; extractor and ControlNet share them.
        control_depth: blocks of the ControlNet; None: half the trunk's, rounded down.
        known_frames: how the network sees that a frame is known: "control", only by its condition
            (the frame itself as agnostic image, and an empty mask); "control+timestep", also by
            timestep 0 and clean latents (as in Open-Sora v1.1).
        null_mask: the caption mask of the null caption: "full", all its tokens; "prompt", the mask
            of the caption that was dropped (as in Open-Sora v1.0, for its checkpoints).
        fusion: how the blocks see the garment: "attention" to all of its tokens, or "places": they
            also read it where its cloth lies (``models/places.py``).
        warped_garment: the ControlNet also sees the garment's picture warped onto the body
            (``models/warping.py``); needs fusion "places".
        warm_start: new networks contribute at once, with open gates and no zero projection. For a
            trunk that starts from nothing (``models/warm_start.py``).
    """

    trunk: STDiTConfig = field(default_factory=STDiTConfig)
    control_depth: int | None = None
    known_frames: str = "control"
    null_mask: str = "full"
    fusion: str = "attention"
    warped_garment: bool = False
    warm_start: bool = False

    def __post_init__(self) -> None:
        if self.trunk.patch_size[0] != 1:
            raise ValueError(
                f"trunk.patch_size must span one frame (1 first), not {self.trunk.patch_size}"
            )
        if self.trunk.depth < 2:
            raise ValueError(f"trunk.depth must be at least 2, not {self.trunk.depth}")
        if self.control_depth is not None and not 1 <= self.control_depth <= self.trunk.depth:
            raise ValueError(
                f"control_depth must be between 1 and trunk.depth ({self.trunk.depth}),"
                f" not {self.control_depth}"
            )
        if self.known_frames not in KNOWN_FRAMES:
            raise ValueError(
                f"known_frames must be one of {KNOWN_FRAMES}, not {self.known_frames!r}"
            )
        if self.null_mask not in NULL_MASKS:
            raise ValueError(f"null_mask must be one of {NULL_MASKS}, not {self.null_mask!r}")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {FUSIONS}, not {self.fusion!r}")
        if self.warped_garment and self.fusion != "places":
            raise ValueError(
                f"warped_garment needs fusion places, which says where the garment goes, not"
                f" {self.fusion}"
            )

    @property
    def modulates_known_frames(self) -> bool:
        """Whether known frames have timestep 0 and clean latents."""
        return self.known_frames == "control+timestep"

    @property
    def finds_places(self) -> bool:
        """Whether the blocks read the garment at places."""
        return self.fusion == "places"

    @property
    def num_control_blocks(self) -> int:
        """Blocks of the ControlNet."""
        return self.trunk.depth // 2 if self.control_depth is None else self.control_depth


class VitonDiT(nn.Module):
    """Noisy latents, timesteps and conditions -> predicted noise and variance.

    The names ``denoiser``, ``garment``, ``control`` are a checkpoint contract; freezing patterns
    use them too (``denoiser.blocks.*.attn_temp.*``).

    Garment attention starts with a zero output projection. At the very first step only that
    projection gets a gradient; the extractor and the attention's other weights follow from the
    second step on.
    """

    def __init__(self, config: VitonDiTConfig) -> None:
        super().__init__()
        self.config = config
        self.denoiser = STDiT(config.trunk, fusion=config.fusion)
        self.garment = GarmentExtractor(config.trunk, finds_places=config.finds_places)
        self.control = ControlNet(
            config.trunk, config.num_control_blocks, config.fusion, config.warped_garment
        )
        if config.warm_start:
            open_gates(self.denoiser.blocks, self.garment.blocks, self.control.blocks)
            warm_up(PARTS, self.denoiser, self.control)

    def encode_caption(
        self,
        caption: Float[Tensor, "b l e"],
        mask: Num[Tensor, "b l"] | Bool[Tensor, "b l"] | None = None,
    ) -> CaptionFeatures:
        """Embed a caption; once per video, or per training step.

        Args:
            caption: tokens at their encoder's width. A batch of one is used for every row.
            mask: True (or nonzero) where a token exists; None if all do.
        """
        keep = None if mask is None else mask.to(torch.bool)
        return CaptionFeatures(tokens=self.denoiser.y_embedder(caption), mask=keep)

    def encode_garment(
        self,
        garment_latents: Float[Tensor, "b c h w"],
        caption: CaptionFeatures,
        outline: Float[Tensor, "b 16 12"] | None = None,
    ) -> GarmentFeatures:
        """Run the extractor, at timestep 0 and with the true caption; once per garment.

        Args:
            garment_latents: the garment image encoded by the codec.
            caption: the caption of the video.
            outline: share of garment in each field of the picture; needed by fusion "places".
        """
        trunk = self.denoiser
        zeros = garment_latents.new_zeros((garment_latents.shape[0], 1), dtype=torch.float32)
        _, modulation = trunk.embed_timesteps(zeros)
        positions = trunk.grid_positions(garment_latents[:, :, None])
        return self.garment(
            garment_latents, positions, caption.tokens, modulation, caption.mask, outline
        )

    def project(self, conditions: Conditions) -> Conditions:
        """Compute every block's keys and values of caption and garment once, for many steps.

        The predictions stay the same.

        Raises:
            ValueError: conditions with ``drop``, which mixes captions row by row.
        """
        if conditions.drop is not None:
            raise ValueError("conditions with drop are for training and cannot be projected")
        trunk, control, garment = self.denoiser.blocks, self.control.blocks, conditions.garment
        caption = replace(
            conditions.caption,
            denoiser_keys_values=_project_caption(trunk, conditions.caption.tokens),
            control_keys_values=_project_caption(control, conditions.caption.tokens),
        )
        if garment is not None:
            garment = replace(
                garment,
                denoiser_keys_values=_project_garment(trunk, garment),
                control_keys_values=_project_garment(control, garment),
            )
        return replace(conditions, caption=caption, garment=garment)

    def null_side(self, conditions: Conditions, null_mask: str | None = None) -> Conditions:
        """The null side of guidance: the null caption, no garment, no control.

        It shares the conditional side's ControlNet residuals: pass them to ``forward``. Keys and
        values are computed here if ``conditions`` has them.

        Args:
            conditions: of the conditional side.
            null_mask: "full" or "prompt"; None uses the config's.
        """
        trunk, given = self.denoiser, conditions.caption
        caption = self.encode_caption(trunk.y_embedder.null_caption(1))
        if (null_mask or self.config.null_mask) == "prompt":
            caption = replace(caption, mask=given.mask)
        if given.denoiser_keys_values is not None:
            keys_values = _project_caption(trunk.blocks, caption.tokens)
            caption = replace(caption, denoiser_keys_values=keys_values)
        return replace(conditions, caption=caption, garment=None, control=None, drop=None)

    def control_residuals(
        self,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Num[Tensor, " b"],
        conditions: Conditions,
    ) -> list[Float[Tensor, "b t s d"]]:
        """What the ControlNet adds to the denoiser's first blocks; empty without ``control``.

        It ignores ``drop``: the result serves both sides of guidance.
        """
        if conditions.control is None:
            return []
        caption, garment = conditions.caption, conditions.garment
        tokens, _, modulation = self.embed(latents, timesteps, conditions)
        return self.control(
            tokens,
            conditions.control,
            caption.for_control(len(self.control.blocks)),
            modulation,
            caption.mask,
            None if garment is None else garment.for_control(),
            self.places(conditions),
        )

    def forward(
        self,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Num[Tensor, " b"],
        conditions: Conditions,
        control_residuals: Sequence[Float[Tensor, "b t s d"]] | None = None,
    ) -> Float[Tensor, "b o t h w"]:
        """Predict.

        Args:
            latents: noisy latents.
            timesteps: original indices, 0 .. num_timesteps - 1.
            conditions: caption, garment and control.
            control_residuals: from ``control_residuals`` for the same latents and timesteps; None
                computes them here.

        Returns:
            noise | variance along the channels, on the grid of ``latents``.
        """
        if control_residuals is None:
            control_residuals = self.control_residuals(latents, timesteps, conditions)
        tokens, timestep, modulation = self.embed(latents, timesteps, conditions)
        tokens = self.run_blocks(tokens, modulation, conditions, control_residuals)
        return self.denoiser.predict(tokens, timestep, latents)

    def embed(
        self,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Num[Tensor, " b"],
        conditions: Conditions,
    ) -> tuple[Float[Tensor, "b t s d"], Float[Tensor, "b f d"], Float[Tensor, "b f 6 d"]]:
        """Patch tokens, and the timestep for the final layer and for the blocks (f is 1 or t)."""
        timestep, modulation = self.denoiser.embed_timesteps(
            self._frame_timesteps(timesteps, conditions)
        )
        return self.denoiser.embed_latents(latents), timestep, modulation

    def run_blocks(
        self,
        tokens: Float[Tensor, "b t s d"],
        modulation: Float[Tensor, "b #t 6 d"],
        conditions: Conditions,
        control_residuals: Sequence[Float[Tensor, "b t s d"]],
        start: int = 0,
        stop: int | None = None,
    ) -> Float[Tensor, "b t s d"]:
        """The denoiser's blocks ``start`` up to, but not including, ``stop``; by default all."""
        garment, drop = conditions.garment, conditions.drop
        caption = conditions.caption if drop is None else self._drop_captions(conditions, drop)
        return self.denoiser.run_blocks(
            tokens,
            caption.for_denoiser(len(self.denoiser.blocks)),
            modulation,
            caption.mask,
            garment=None if garment is None else garment.for_denoiser(),
            garment_keep=None if drop is None else (~drop).to(torch.float32),
            residuals=control_residuals,
            places=self.places(conditions),
            start=start,
            stop=stop,
        )

    def places(self, conditions: Conditions) -> Places | None:
        """Where each token's cloth lies in the garment's picture; None if nothing says so."""
        cells, garment = self.cell_places(conditions), conditions.garment
        if cells is None or garment is None:
            return None
        _, height, width = self.config.trunk.patch_size
        return pool_places(*cells, (height, width), garment.grid)

    def cell_places(
        self, conditions: Conditions
    ) -> tuple[Float[Tensor, "b t h w 3"], Float[Tensor, "b t h w 2 2"]] | None:
        """Places of the latents, matched before estimated, and their slopes; None as above."""
        garment, estimator, body = conditions.garment, self.garment.places, conditions.body
        if garment is None or estimator is None or garment.outline is None or body is None:
            return None
        found: Tensor = estimator(body, garment.outline)
        slopes = slopes_of(found, body[:, 0])
        if conditions.matched is not None:
            found = torch.where(conditions.matched[..., 2:] > 0, conditions.matched, found).float()
        return smooth_places(found, slopes, body[:, 0].float(), body[:, 3].float())

    @torch.no_grad()
    def initialise_from_trunk(self, parts: Sequence[str] = PARTS) -> None:
        """Copy the denoiser's weights into parts that are not trained yet.

        ===========  ===========================================  ================================
        part         to                                           from
        ===========  ===========================================  ================================
        "garment"    ``garment.x_embedder``                       ``denoiser.x_embedder``
                     ``garment.blocks.i`` (0 .. N - 2)            ``denoiser.blocks.i`` but
                                                                  ``attn_temp`` and ``fusion``
                     ``denoiser.blocks.i.fusion.q_linear``        q rows of its ``attn.qkv``
                     ``denoiser.blocks.i.fusion.kv_linear``       k and v rows of its ``attn.qkv``
                     ``denoiser.blocks.i.fusion.proj``            zero
        "control"    ``control.blocks.i`` (0 .. depth - 1)        ``denoiser.blocks.i``, ``fusion``
                                                                  (learned or not) too
                     ``control.input_projection``                 zero
                     ``control.output_projections``               zero
                     ``control.condition_embedder``               kept as initialised
        ===========  ===========================================  ================================

        With these zeros the prediction is bit-identical to the one without these parts;
        ``warm_start`` has none.

        Args:
            parts: ("garment", "control") on a pretrained trunk; ("control",) once the garment's
                part is trained.

        Raises:
            ValueError: an unknown name in ``parts``.
        """
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise ValueError(f"unknown part {unknown[0]!r}; use {', '.join(PARTS)}")
        if "garment" in parts:
            start_garment(self.denoiser, self.garment)
        if "control" in parts:
            start_control(self.denoiser, self.control)
        if self.config.warm_start:
            warm_up(parts, self.denoiser, self.control)

    def _frame_timesteps(
        self, timesteps: Num[Tensor, " b"], conditions: Conditions
    ) -> Num[Tensor, "b f"]:
        """One timestep per row, or one per frame if known frames have timestep 0."""
        per_row = timesteps[:, None]
        if not self.config.modulates_known_frames or conditions.known is None:
            return per_row
        return per_row.masked_fill(conditions.known, 0)

    def _drop_captions(self, conditions: Conditions, drop: Bool[Tensor, " b"]) -> CaptionFeatures:
        """The caption that the trunk sees: the null caption in dropped rows.

        A dropped row's garment attention is multiplied by zero, not skipped: every parameter must
        stay in the graph on every rank.
        """
        given = conditions.caption
        null = self.encode_caption(self.denoiser.y_embedder.null_caption(1))
        if given.tokens.shape[1] != null.tokens.shape[1]:
            raise ValueError(
                f"drop requires captions of the null caption's length"
                f" ({null.tokens.shape[1]} tokens), not {given.tokens.shape[1]}"
            )
        mask = given.mask
        if mask is not None and self.config.null_mask == "full":
            mask = mask | drop[:, None]
        tokens = torch.where(drop[:, None, None], null.tokens, given.tokens)
        return CaptionFeatures(tokens=tokens, mask=mask)


def _project_caption(blocks: nn.ModuleList, tokens: Tensor) -> list[KeysValues]:
    """Keys and values of a caption, one pair for each block."""
    return [block.cross_attn.keys_values(tokens) for block in _st_blocks(blocks)]


def _project_garment(blocks: nn.ModuleList, features: GarmentFeatures) -> list[KeysValues]:
    """Keys and values of a garment's first ``len(blocks)`` taps."""
    pairs: list[KeysValues] = []
    for block, hidden in zip(_st_blocks(blocks), features.hidden[: len(blocks)], strict=True):
        assert block.fusion is not None
        pairs.append(block.fusion.keys_values(hidden))
    return pairs


def _st_blocks(blocks: nn.ModuleList) -> list[STBlock]:
    return [block for block in blocks if isinstance(block, STBlock)]
