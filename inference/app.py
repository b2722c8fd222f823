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
from inference.checkpoint_choice import choose_checkpoint, find_adapter
from inference.tryon import build_pipeline
from inference.tryon_config import TryOnConfig
from inference.web.app_state import AppState
from inference.web.request_checks import is_loopback, own_names
from inference.web.server import build_app
from inference.web.settings import AppConfig
from inference.web.store import Store
from inference.web.tryon_worker import TryOnWorker

USAGE = 'make app [CONFIG=configs/app.yaml] [ARGS="port=7860 checkpoint=runs/stage3"]'
DEFAULT_CONFIG = Path("configs/app.yaml")
_OPEN = (
    "WARNING: host=%s lets everyone on this network reach the fitting room. It has no passwords "
    "and no encryption; put a reverse proxy with both in front of it, or keep host=127.0.0.1."
)

_logger = logging.getLogger(__name__)


def main(argv: list[str]) -> int | None:
    """Load the networks and serve until stopped."""
    config = read_config(argv)
    tryon = load_config(TryOnConfig, config.tryon)
    given = config.checkpoint or tryon.checkpoint
    choose_checkpoint(given, Path(tryon.runs))  # a missing one is said before the slow part
    if tryon.lora:
        find_adapter(tryon.lora)
    tryon = replace(tryon, checkpoint=given, max_seconds=None)  # config.limits applies
    _check_free(config.host, config.port)
    store = Store(config.folder, config.limits)
    try:
        state = AppState(store, config.limits, TryOnWorker(build_pipeline(tryon)))
        for sentence in state.add_samples(config.samples):
            _logger.info("%s", sentence)
        if not is_loopback(config.host):
            _logger.warning(_OPEN, config.host)
        shown = "localhost" if is_loopback(config.host) else config.host
        sys.stdout.write(
            f"The fitting room is open: http://{shown}:{config.port}  (Ctrl-C stops it)\n"
        )
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service's stop acts as Ctrl-C
        with contextlib.suppress(KeyboardInterrupt):  # the normal way to stop
            serve(state, config)
        sys.stdout.write("\nThe fitting room is closed; all uploads and results are deleted.\n")
    finally:
        store.close()
    return None


def read_config(argv: list[str]) -> AppConfig:
    """Settings from an optional YAML file and ``key=value`` words.

    Raises:
        ConfigError: an argument that is neither, or a setting that does not exist.
    """
    return load_config(AppConfig, *split_optional(argv, USAGE, DEFAULT_CONFIG))


def serve(state: AppState, config: AppConfig) -> None:
    """Serve until the process is stopped; the state is closed then."""
    app = build_app(
        state,
        hosts=own_names(config.host, config.hosts),
        allow_addresses=not is_loopback(config.host),
    )
    uvicorn.Server(server_config(app, config.host, config.port)).run()


def server_config(app: Starlette, host: str, port: int) -> uvicorn.Config:
    """How the server listens: plain HTTP, proxy headers ignored, no access log."""
    return uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, timeout_graceful_shutdown=5, limit_concurrency=200,
    )  # fmt: skip


def _check_free(host: str, port: int) -> None:
    """Check that the address is free before the networks are loaded.

    Raises:
        DataError: it is in use, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise DataError(
            f"cannot listen on host={host} port={port} ({error.strerror}); give another "
            "port=..., for instance port=7861"
        ) from error


if __name__ == "__main__":
    run_command(main)
