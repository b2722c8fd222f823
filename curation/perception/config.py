"""Which models are used and where their files are; ``select.py`` builds them."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from configs.errors import ConfigError

KINDS = ("auto", "embedded", "installed")


@dataclass(frozen=True, kw_only=True)
class PerceptionConfig:
    """Where models that are not embedded are stored; relative to the working folder."""

    yolo_weights: str = "weights/yolo11m-pose.pt"
    densepose_config: str = "weights/densepose/densepose_rcnn_R_50_FPN_s1x.yaml"
    densepose_weights: str = "weights/densepose/model_final_162be9.pkl"
    parser_path: str = "weights/parser"  # a TorchScript file or a transformers folder
    parser_labels: str = "atr"
    parser_channel_order: str = "rgb"  # SCHP's own weights want bgr
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.parser_channel_order not in {"rgb", "bgr"}:
            raise ConfigError(
                f"parser_channel_order={self.parser_channel_order!r}; choose rgb or bgr"
            )


def installed_version(package: str) -> str:
    """Version of a package; "not installed" if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
