"""The README.md of an exported model: what it is, how it was trained, how to use it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.loading import from_plain
from inference.sampling.solvers import SamplerConfig
from models.weights.adapters import Adapter


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Facts about an exported model."""

    run: str
    stage: str
    step: int
    max_steps: int | None  # None: unknown
    weights: str  # ema or raw
    dtype: str
    num_parameters: int
    sha256: str  # of model.safetensors
    code: dict[str, str]  # commit and versions
    system: dict[str, Any]
    sampler: dict[str, Any] | None  # which the weights were made for; None: unknown
    limits: str  # what the model cannot do; empty: not stated
    training: dict[str, Any]  # selected settings by a readable name
    date: str

    def to_plain(self) -> dict[str, Any]:
        """For config.json."""
        return asdict(self)


def write_card(path: Path, facts: Exported) -> None:
    """Write the card as Markdown with the front matter that model hubs read."""
    system = facts.system
    trunk = system["network"]["trunk"]
    asked = "" if facts.max_steps is None else f" of {facts.max_steps:,}"
    unfinished = (
        "\nThe run was not finished when this was exported.\n"
        if facts.max_steps is not None and facts.step < facts.max_steps
        else ""
    )
    rows = [
        ("run, stage", f"{facts.run}, {facts.stage}"),
        ("optimizer steps", f"{facts.step:,}{asked}"),
        ("weights", f"{'running average (ema)' if facts.weights == 'ema' else 'as trained (raw)'}, "
                    f"{facts.dtype}, {facts.num_parameters:,} parameters"),
        ("video", f"{system['height']} x {system['width']} (height x width), windows of "
                  f"{system['num_frames']} frames at {system['fps']:g} a second"),
        ("trunk", f"dim {trunk['dim']}, {trunk['depth']} blocks, {trunk['num_heads']} heads"),
        ("codec, caption", f"{system['codec']['kind']}, {system['caption']['kind']}"),
        ("prediction", str(system["diffusion"]["prediction"])),
        ("sampler, unless overridden", _sampler_in_words(facts.sampler)),
        *((name, str(value)) for name, value in facts.training.items()),
        ("code", ", ".join(f"{name} {value}" for name, value in facts.code.items()) or "unknown"),
        ("sha256 of model.safetensors", f"`{facts.sha256}`"),
        ("exported", facts.date),
    ]  # fmt: skip
    limits = f"Limits: {facts.limits.rstrip('.')}.\n\n" if facts.limits else ""
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    path.write_text(
        f"""---
tags: [video, virtual-try-on, diffusion]
library_name: viton-dit
---

# {facts.run}: video virtual try-on with VITON-DiT

Replaces the garment of the person in a video by one from a picture; face, hands and background are
kept.
{unfinished}
| | |
|---|---|
{table}

`config.json` holds the whole system; the codec and caption files that it names are not included.

## Use

```
make tryon VIDEO=video.mp4 GARMENT=garment.jpg OUT=result.mp4 ARGS="checkpoint=THIS_FOLDER"
```

```python
from inference.pipeline import TryOnPipeline

pipeline = TryOnPipeline.from_checkpoint("THIS_FOLDER")
pipeline("video.mp4", "garment.jpg").save("result.mp4")
```

## Data, licence, limits

{limits}To be completed by the publisher: which videos it was trained on, with whose consent and
under which licence; scores (`make eval`); known limitations. Results are synthetic videos of real
people and should be marked as such.
""",
        encoding="utf-8",
    )


def adapter_card(adapter: Adapter, name: str, dtype: str, limits: str) -> str:
    """The README.md of an exported adapter.

    Args:
        adapter: what was exported.
        name: of the run.
        dtype: of its file.
        limits: what it cannot do; empty: not stated.
    """
    count = sum(down.numel() + up.numel() for down, up in adapter.pairs.values())
    average = "running average (ema)" if adapter.weights == "ema" else "as trained (raw)"
    stated = f"Limits: {limits.strip().rstrip('.')}.\n\n" if limits.strip() else ""
    return f"""---
tags: [video, virtual-try-on, diffusion, lora]
library_name: viton-dit
---

# {name}: LoRA adapters for VITON-DiT

They belong to one model only and are refused with any other.

| | |
|---|---|
| trained on | {adapter.base.path}, its {adapter.base.weights} weights |
| network of that model | `{adapter.base.sha256}` |
| rank, alpha | {adapter.rank}, {adapter.alpha:g} |
| layers | {len(adapter.pairs)} |
| weights | {average}, {dtype}, {count:,} parameters |
| optimizer steps | {adapter.step:,} |

## Use

```
viton-dit tryon video.mp4 garment.jpg -o result.mp4 checkpoint=THAT_MODEL lora=THIS_FOLDER
viton-dit export THIS_FOLDER -o merged base=THAT_MODEL
```

## Data, licence, limits

{stated}To be completed by the publisher: which garments and videos it was trained on, with whose
consent and under which licence. Results are synthetic videos of real people and should be marked.
"""


def _sampler_in_words(sampler: dict[str, Any] | None) -> str:
    if sampler is None:
        return "unknown (an older version trained it)"
    return from_plain(SamplerConfig, sampler, "the checkpoint's sampler").description
