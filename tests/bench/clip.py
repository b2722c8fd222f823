"""Part d: one guided clip sampled by the plain reading and by ours, and where the gain is made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor, nn

from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import sample_windows
from models.conditions import Conditions
from models.system import System
from models.viton_dit import VitonDiT
from tests.bench.cases import Size, build_plain, build_system_of
from tests.bench.networks import relative_difference, require_equal
from tests.bench.shapes import draw_clip, encode, fit
from tests.bench.table import Book, Row
from tests.bench.timing import interleave
from tests.plain.sampling import sample_plain

SEED = 5
CLIP_TOLERANCE = 1e-2
"""Of 20 guided steps in float32, over the clip's largest latent."""


class TwoControlPasses(VitonDiT):
    """Ours, but with a ControlNet pass of its own for guidance's other half."""

    def __init__(self, network: VitonDiT) -> None:
        nn.Module.__init__(self)
        self.config = network.config
        self.denoiser, self.garment = network.denoiser, network.garment
        self.control = network.control
        self._painted: Conditions | None = None

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        conditions: Conditions,
        control_residuals: Sequence[Tensor] | None = None,
    ) -> Tensor:
        if conditions.garment is not None:
            self._painted = conditions
        elif self._painted is not None:
            control_residuals = self.control_residuals(latents, timesteps, self._painted)
        return super().forward(latents, timesteps, conditions, control_residuals)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How many of a walk's steps are run; the seconds of fewer are scaled, and that is said.

    Attributes:
        equal: of 20, where the readings are compared.
        plain: of the plain 100.
        between: of the 100 of the rows between.
        repeats: of the comparison.
    """

    equal: int = 20
    plain: int = 100
    between: int = 10
    repeats: int = 2


QUICK = Steps(equal=4, plain=2, between=2, repeats=1)


def quick_solver() -> tuple[str, str]:
    """The solver of few steps, and a word where it is not the default."""
    try:
        import diffusers.schedulers.scheduling_dpmsolver_multistep  # noqa: F401
    except ImportError:
        return "ddim", "diffusers is not installed: DDIM in the place of DPM-Solver++"
    return "dpm++", ""


def walk_ours(system: System, config: SamplerConfig, garment: Tensor, control: Tensor) -> Tensor:
    """All that a clip takes but the codec: extractor, keys and values, steps."""
    network = system.network
    with torch.no_grad():
        caption = network.encode_caption(*system.captions(1))
        conditions = Conditions(
            caption=caption, garment=network.encode_garment(garment, caption), control=control
        )
        conditions = network.project(conditions)
    frames = [list(range(control.shape[2]))]
    size = (control.shape[-2], control.shape[-1])
    return sample_windows(system, config, conditions, frames, size, SEED)


def run_clip(book: Book, size: Size, device: torch.device, steps: Steps, fit_steps: int) -> None:
    """Rows "clip" and "cumulative"; float32."""
    name = "20 steps, the same solver"
    if book.has("clip", name) and book.has("cumulative", *CUMULATIVE):
        return
    system = build_system_of(size, device, velocity=True)
    weights = fit(system, size, device, fit_steps, limit_s=90.0)
    print(f"  {weights}", flush=True)
    system.network.eval()
    plain = build_plain(system.network, device)
    _, control, garment = encode(system, draw_clip(size, size.frames, 1000), device)
    caption, _ = system.captions(1)
    few, said = quick_solver()

    def ours(config: SamplerConfig, *, shared: bool = True) -> Tensor:
        using = system if shared else replace(system, network=TwoControlPasses(system.network))
        return walk_ours(using, config, garment, control)

    def textbook(config: SamplerConfig, *, once: bool = False) -> Tensor:
        return sample_plain(
            plain, system.diffusion, config, caption, garment, control, SEED, extract_once=once
        )

    default = SamplerConfig(solver=few, num_steps=steps.equal)
    kept: dict[str, Tensor] = {}

    def keep(name: str, call: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            kept[name] = call()

        return run

    cases = {
        "ours": keep("ours", lambda: ours(default)),
        "plain": keep("plain", lambda: textbook(default)),
    }
    taken = interleave(cases, steps.repeats, warmup=0)
    difference = require_equal(kept["ours"], kept["plain"], "the clip", CLIP_TOLERANCE)
    scale = 20 / steps.equal
    fastest = taken["ours"].median * scale
    book.add(
        Row(
            part="clip", name=name, seconds=fastest,
            spread=max((t.spread for t in taken.values() if t.spread is not None), default=None),
            plain_seconds=taken["plain"].median * scale,
            ratio=taken["plain"].median / taken["ours"].median, target=1.5, difference=difference,
            note=_notes(said, _scaled(steps.equal, 20)),
        )
    )  # fmt: skip

    slow = SamplerConfig(solver="ancestral", num_steps=steps.plain)
    between = replace(slow, num_steps=steps.between)
    half = replace(default, guidance_interval=[0.25, 0.75])
    runs: list[tuple[Callable[[], Tensor], int, int]] = [
        (lambda: textbook(slow), steps.plain, 100),
        (lambda: textbook(between, once=True), steps.between, 100),
        (lambda: ours(between, shared=False), steps.between, 100),
        (lambda: ours(default, shared=False), steps.equal, 20),
        (lambda: kept["ours"], steps.equal, 20),
        (lambda: ours(half), steps.equal, 20),
    ]
    first = 0.0
    for name, (call, run, whole) in zip(CUMULATIVE, runs, strict=True):
        note, target = _scaled(run, whole), None
        if name == CUMULATIVE[4]:  # timed above
            seconds, target = fastest, 8.0
            note = _notes(note, _similarity(system, kept, steps.plain == 100), weights)
        else:
            timed = interleave({name: keep(name, call)}, 1, warmup=0)
            seconds = timed[name].median * whole / run
        first = first or seconds
        if name == CUMULATIVE[5]:
            change = relative_difference(kept[name], kept["ours"])
            note = _notes(note, f"changes the result: up to {change:.1%} of its range")
        book.add(
            Row(
                part="cumulative", name=name, seconds=seconds, plain_seconds=first,
                ratio=first / seconds, target=target, note=note,
            )
        )  # fmt: skip


CUMULATIVE = (
    "plain, 100 ancestral steps",
    "+ extractor once",
    "+ ours: keys and values once, fused attention",
    "+ 20 steps of a solver of second order",
    "+ ControlNet shared by both halves: the default",
    "+ guidance on half of the steps",
)


def _similarity(system: System, kept: dict[str, Tensor], whole: bool) -> str:
    """SSIM of the default's clip with the plain one's, decoded by the DCT of 4 channels."""
    if not whole:
        return "SSIM not measured: the 100 steps were not all run"
    # seconds to import, and quick runs do without
    from torchmetrics.functional.image import structural_similarity_index_measure

    videos = [
        rearrange(system.codec.decode(kept[name]), "b t c h w -> (b t) c h w")
        for name in ("ours", CUMULATIVE[0])
    ]
    value = structural_similarity_index_measure(videos[0], videos[1], data_range=2.0)
    assert isinstance(value, Tensor)
    return f"SSIM with the plain 100 steps {value.item():.3f} (dct of 4 channels)"


def _scaled(run: int, whole: int) -> str:
    return "" if run == whole else f"EXTRAPOLATED from {run} of {whole} steps"


def _notes(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
