"""The command line of the fitting room: try-on in a browser.

python -m inference.app [configs/app.yaml] [key=value ...]
"""

import contextlib
import logging
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from configs.command import run_command
from configs.errors import DataError
from configs.loading import load_config, split_optional
from inference.tryon import build_pipeline
from inference.tryon_config import TryOnConfig, find_checkpoint
from inference.web.app_state import Room
from inference.web.request_checks import is_loopback, own_names
from inference.web.server import build_app
from inference.web.settings import AppConfig
from inference.web.store import Store
from inference.web.tryon_worker import Fitting

USAGE = 'make app [CONFIG=configs/app.yaml] [ARGS="port=7860 checkpoint=runs/stage3"]'
DEFAULT_CONFIG = Path("configs/app.yaml")
_OPEN = (
    "WARNING: host=%s lets everybody on this network reach the fitting room. It has no passwords "
    "and no encryption; put a reverse proxy with both before it, or leave host at 127.0.0.1."
)

_logger = logging.getLogger(__name__)


def main(argv: list[str]) -> int | None:
    """Load the networks, open the room, serve until stopped."""
    config = read_config(argv)
    tryon = load_config(TryOnConfig, config.tryon)
    checkpoint = find_checkpoint(config.checkpoint or tryon.checkpoint, Path(tryon.runs))
    tryon = replace(tryon, checkpoint=str(checkpoint), max_seconds=None)  # the room has limits
    _check_free(config.host, config.port)
    store = Store(config.folder, config.limits)
    try:
        room = Room(store, config.limits, Fitting(build_pipeline(tryon)))
        for sentence in room.add_samples(config.samples):
            _logger.info("%s", sentence)
        if not is_loopback(config.host):
            _logger.warning(_OPEN, config.host)
        shown = "localhost" if is_loopback(config.host) else config.host
        sys.stdout.write(f"The fitting room is open: http://{shown}:{config.port}  (Ctrl-C ends)\n")
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service's stop ends it alike
        with contextlib.suppress(KeyboardInterrupt):  # the way in which it is meant to end
            serve(room, config)
        sys.stdout.write("\nThe fitting room is closed; what was sent and made is deleted.\n")
    finally:
        store.close()
    return None


def read_config(argv: list[str]) -> AppConfig:
    """Settings from an optional YAML file and ``key=value`` words.

    Raises:
        ConfigError: a word that is neither, or a setting that does not exist.
    """
    return load_config(AppConfig, *split_optional(argv, USAGE, DEFAULT_CONFIG))


def serve(room: Room, config: AppConfig) -> None:
    """Serve until the process is told to stop; the room is closed then."""
    app = build_app(
        room,
        hosts=own_names(config.host, config.hosts),
        allow_addresses=not is_loopback(config.host),
    )
    uvicorn.Server(server_config(app, config.host, config.port)).run()


def server_config(app: Starlette, host: str, port: int) -> uvicorn.Config:
    """How the server listens: plain HTTP, no headers of proxies believed, no access log."""
    return uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, timeout_graceful_shutdown=5, limit_concurrency=200,
    )  # fmt: skip


def _check_free(host: str, port: int) -> None:
    """Find out before the networks are loaded whether the address can be had.

    Raises:
        DataError: it is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise DataError(
            f"host={host} port={port} cannot be listened at ({error.strerror}); give another "
            "port=..., for instance port=7861"
        ) from error


if __name__ == "__main__":
    run_command(main)
