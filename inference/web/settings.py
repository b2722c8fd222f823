"""What the fitting room allows, and where it keeps things."""

from dataclasses import dataclass, field

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """Sizes, lengths, numbers and times that are refused beyond."""

    video_mb: int = 200
    video_s: float = 60.0
    video_side: int = 4096  # longest side, px
    video_frames: int = 3600
    garment_mb: int = 20
    garment_megapixels: int = 60
    uploads_per_person: int = 20  # files one browser keeps at once
    jobs_per_person: int = 3  # waiting or running
    jobs: int = 20  # waiting or running, of everybody
    uploads_at_once: int = 8  # being received, of everybody
    folder_gb: float = 20.0  # all files of the room together
    free_gb: float = 2.0  # what stays free on the disk
    keep_minutes: float = 120.0
    stalled_s: float = 30.0  # an upload that brings nothing for this long is dropped

    def __post_init__(self) -> None:
        for name in (
            "video_mb", "video_side", "video_frames", "garment_mb", "garment_megapixels",
            "uploads_per_person", "jobs_per_person", "jobs", "uploads_at_once",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is expected")
        for name in ("video_s", "folder_gb", "keep_minutes", "stalled_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; more than 0 is expected")
        if self.free_gb < 0:
            raise ValueError(f"free_gb is {self.free_gb}; 0 or more is expected")

    def most_bytes(self, kind: str) -> int:
        """The largest file of a kind, video or garment."""
        return (self.video_mb if kind == "video" else self.garment_mb) * MEGABYTE


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """Folders whose files everyone may pick; None: none."""

    videos: str | None = None
    garments: str | None = None
    most: int = 8  # shown of each

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most is {self.most}; at least 1 is expected")


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """One server.

    Attributes:
        host: the address to listen at; anything but this machine's own is warned about.
        port: likewise.
        hosts: names, beside this machine's own, under which browsers may ask for it.
        folder: of uploads and results; emptied at start and at the end.
        tryon: settings file of ``make tryon``: how a result is made.
        checkpoint: goes before that file's.
        limits: what is refused.
        samples: what may be picked.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    hosts: list[str] = field(default_factory=list)
    folder: str = "runs/app"
    tryon: str = "configs/tryon.yaml"
    checkpoint: str | None = None
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; 0 to 65535 is expected")
        if not self.host:
            raise ValueError("host is empty; 127.0.0.1 is this machine only")
