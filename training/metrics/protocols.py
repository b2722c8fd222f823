"""Named, frozen ways to compute the same metric names: numbers compare only within one of them.

``fixed`` is ours. The others reproduce public evaluation code, mistakes included, so that numbers
can be compared with published ones.
"""

from dataclasses import asdict, dataclass
from typing import Any

from configs.errors import ConfigError

COLOUR_ORDERS = ("rgb", "bgr")
CLIP_SELECTIONS = {
    "within": "every whole clip of consecutive frames inside each video, no overlap",
    "across": "all frames of all videos in one row, cut into clips: a clip may hold two videos",
    "first": "the first clip of each video only",
}
SSIM_COLOURS = ("rgb", "gray")
LPIPS_NETS = ("alex", "squeeze", "vgg")
REENCODINGS = {
    "none": "frames are measured as they are",
    "x264": "results and real videos go through libx264, crf 23, yuv420p, before all metrics",
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Every setting that determines the meaning of a metric's value."""

    name: str
    origin: str
    clip_selection: str
    clip_colour_order: str = "rgb"  # in which the video networks see the frames
    clip_frames: int = 10
    clip_size: int = 224  # both sides; the aspect is not kept
    ssim_colour: str = "rgb"
    ssim_window: str = "gaussian 11, sigma 1.5, data range 1"
    lpips_net: str = "alex"
    aggregation: str = "mean over frames, then over videos"
    reencode: str = "none"

    def __post_init__(self) -> None:
        for field, accepted in (
            ("clip_selection", tuple(CLIP_SELECTIONS)),
            ("clip_colour_order", COLOUR_ORDERS),
            ("ssim_colour", SSIM_COLOURS),
            ("lpips_net", LPIPS_NETS),
            ("reencode", tuple(REENCODINGS)),
        ):
            if getattr(self, field) not in accepted:
                raise ConfigError(
                    f"protocol {self.name!r}: {field} is {getattr(self, field)!r}; "
                    f"accepted: {', '.join(accepted)}"
                )

    def to_plain(self) -> dict[str, Any]:
        """The record for metrics.json."""
        return asdict(self) | {
            "clip_selection_means": CLIP_SELECTIONS[self.clip_selection],
            "reencode_means": REENCODINGS[self.reencode],
        }


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="fixed",
            origin="this project: what the metric names promise",
            clip_selection="within",
        ),
        Protocol(
            name="catv2ton-frames",
            origin="CatV2TON's evaluation of folders of frames",
            clip_selection="across",
            lpips_net="squeeze",
        ),
        Protocol(
            name="catv2ton-mp4",
            origin="CatV2TON's evaluation of mp4 files: re-encoded, only the first clip, in BGR",
            clip_selection="first",
            clip_colour_order="bgr",
            lpips_net="squeeze",
            reencode="x264",
        ),
        Protocol(
            name="fwgan-first10",
            origin="FW-GAN's choice of the first ten frames, in RGB",
            clip_selection="first",
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name; ConfigError lists the known ones."""
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol {name!r} does not exist; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
