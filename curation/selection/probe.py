"""What a file's header alone rules out, before a frame is decoded."""

from dataclasses import dataclass
from typing import Any

from configs.errors import ConfigError
from curation.video.decode import HDR_TRANSFERS, Header


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Limits on what a header may say."""

    min_side: int = 160  # shortest side in pixels: smaller people carry no garment
    max_pixels: int = 40_000_000  # 8K is 33 million
    max_declared_s: float = 14_400.0  # by the header, which may lie
    hdr: str = "tone_map"  # PQ and HLG; or "refuse"

    def __post_init__(self) -> None:
        if self.hdr not in {"tone_map", "refuse"}:
            raise ConfigError(f"hdr is {self.hdr!r}; 'tone_map' and 'refuse' are accepted")
        if self.min_side < 64:
            raise ConfigError(f"min_side is {self.min_side}; at least 64 pixels are needed")


def refuse_header(header: Header, config: ProbeConfig) -> tuple[str, dict[str, Any]] | None:
    """A reject code with its evidence, or None when the file is worth decoding."""
    side, pixels = min(header.height, header.width), header.height * header.width
    if pixels == 0:
        return "no_frames", {"height": header.height, "width": header.width}
    if side < config.min_side:
        return "too_small", {"side": side, "min_side": config.min_side}
    if pixels > config.max_pixels:
        return "too_large", {"pixels": pixels, "max_pixels": config.max_pixels}
    if header.duration_s is not None and header.duration_s > config.max_declared_s:
        return "too_long", {"duration_s": header.duration_s, "max_s": config.max_declared_s}
    if config.hdr == "refuse" and header.transfer in HDR_TRANSFERS:
        return "hdr", {"transfer": HDR_TRANSFERS[header.transfer]}
    return None
