"""Settings of the web app: limits, samples, where it listens and where it keeps its files."""

from dataclasses import dataclass, field

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class AppLimits:
    """Upper limits on sizes, lengths, counts and times."""

    video_mb: int = 200
    video_s: float = 60.0
    video_side: int = 4096  # longest side, px
    video_frames: int = 3600
    garment_mb: int = 20
    garment_megapixels: int = 60
    uploads_per_person: int = 20  # files that one browser keeps on the server
    jobs_per_person: int = 3  # waiting or running
    jobs: int = 20  # waiting or running, all browsers together
    uploads_at_once: int = 8  # being received, all browsers together
    folder_gb: float = 20.0  # all files together
    free_gb: float = 2.0  # kept free on the disk
    keep_minutes: float = 120.0
    stalled_s: float = 30.0  # an upload that sends nothing for this long is dropped

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
    """Folders of samples that everyone may pick; None: no samples."""

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
        host: the address to listen on; any other than this machine's own causes a warning.
        port: the port to listen on.
        hosts: host names that browsers may use, in addition to this machine's own.
        folder: for uploads and results; emptied at start and at shutdown.
        tryon: settings file of ``make tryon``: how a result is made.
        checkpoint: overrides that file's.
        limits: what is rejected.
        samples: what may be picked.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    hosts: list[str] = field(default_factory=list)
    folder: str = "runs/app"
    tryon: str = "configs/tryon.yaml"
    checkpoint: str | None = None
    limits: AppLimits = field(default_factory=AppLimits)
    samples: SamplesConfig = field(default_factory=SamplesConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; 0 to 65535 is expected")
        if not self.host:
            raise ValueError("host is empty; 127.0.0.1 is this machine only")
