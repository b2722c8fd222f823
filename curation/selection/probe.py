"""Checks on a file's header, before any frame is decoded."""

from dataclasses import dataclass

from configs.checks import check_choices, check_range
from curation.clip import AT_LEAST, AT_MOST, MORE, Check
from curation.video.decode import Header
from datasets.video.colours import HDR_TRANSFERS
from datasets.video.reader import UNREADABLE


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Limits on what a header may declare."""

    min_side: int = 160  # shortest side in pixels: smaller people show no usable garment
    max_pixels: int = 40_000_000  # 8K is 33 million
    max_declared_s: float = 14_400.0  # by the header, which may be wrong
    hdr: str = "tone_map"  # PQ and HLG; or "refuse"
    interlaced: str = "deinterlace"  # or "refuse"

    def __post_init__(self) -> None:
        check_choices(self, hdr=("tone_map", "refuse"), interlaced=("deinterlace", "refuse"))
        check_range(self, "min_side", least=64)


def header_checks(
    header: Header, config: ProbeConfig, interlaced_frames: int | None = None
) -> list[Check]:
    """Checks a header must pass for the file to be decoded.

    ``interlaced_frames``: how many the first pass met; None before it.
    """
    side, pixels = min(header.height, header.width), header.height * header.width
    hdr = HDR_TRANSFERS.get(header.transfer) if header.transfer is not None else None
    return [
        Check(
            verdict="probe", signal="synthetic", value=int(bool(header.is_synthetic)), rule=AT_MOST,
            threshold=0, code="own_result", meaning="it is a result of try-on, not a raw video",
        ),
        Check(
            verdict="probe", signal="pixels", value=pixels, rule=MORE, threshold=0,
            code="no_frames", meaning=UNREADABLE["no_frames"],
            evidence={"height": header.height, "width": header.width},
        ),
        Check(
            verdict="probe", signal="side", value=side, rule=AT_LEAST, threshold=config.min_side,
            key="probe.min_side", code="too_small",
            meaning="the picture is too small to show a garment",
        ),
        Check(
            verdict="probe", signal="pixels", value=pixels, rule=AT_MOST,
            threshold=config.max_pixels, key="probe.max_pixels", code="too_large",
            meaning="the picture is larger than the limit",
        ),
        Check(
            verdict="probe", signal="duration_s", value=header.duration_s, rule=AT_MOST,
            threshold=config.max_declared_s, key="probe.max_declared_s", code="too_long",
            meaning="its declared duration exceeds the limit",
            evidence={"duration_s": header.duration_s, "max_s": config.max_declared_s},
        ),
        Check(
            verdict="probe", signal="hdr", value=int(hdr is not None), rule=AT_MOST,
            threshold=0 if config.hdr == "refuse" else 1, key="probe.hdr", code="hdr",
            meaning="high dynamic range, rejected by probe.hdr",
            evidence={"transfer": hdr},
        ),
        Check(
            verdict="probe", signal="interlaced", rule=AT_MOST,
            value=None if interlaced_frames is None else int(interlaced_frames > 0),
            threshold=0 if config.interlaced == "refuse" else 1, key="probe.interlaced",
            code="interlaced", meaning="interlaced frames, rejected by probe.interlaced",
            evidence={"interlaced_frames": interlaced_frames},
        ),
    ]  # fmt: skip
