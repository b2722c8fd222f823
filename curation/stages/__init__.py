"""One stage a file: a frozen dataclass of settings with ``process(clip) -> Clip | Reject``."""
