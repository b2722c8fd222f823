"""The web app in a temporary folder, and browsers that use it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient
from tryon_fixtures import colour_perception, write_garment, write_video
from waiting import until

from inference.app import server_config
from inference.pipeline import TryOnPipeline
from inference.progress import Status
from inference.sampling.painter import Painter
from inference.sampling.solvers import SamplerConfig
from inference.web.app_state import AppState
from inference.web.queue import JobResult
from inference.web.server import RIGHTS_HEADER, build_app
from inference.web.settings import AppLimits
from inference.web.store import Store
from inference.web.tryon_worker import TryOnWorker

SENT = {RIGHTS_HEADER: "yes"}


class SlowWorker:
    """A worker whose jobs wait at each progress report until the test lets them continue."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.started: list[str] = []
        self.fault: Exception | None = None

    def about(self):
        return {"checkpoint": "none", "step": "0", "sampler": "none", "device": "none"}

    def work(self, job, folder, work, progress):
        self.started.append(job.id)
        progress(Status(stage="Painting", done=1, total=4, fraction=0.25, seconds_left=30.0))
        while not self.may_go_on.wait(0.005):
            progress(Status(stage="Painting", done=1, total=4, fraction=0.25, seconds_left=30.0))
        if self.fault is not None:
            raise self.fault
        (folder / "result.mp4").write_bytes(b"what came out")
        return JobResult(files={"result.mp4": folder / "result.mp4"}, facts={"person": 1})


@pytest.fixture(scope="session")
def media(tmp_path_factory) -> Path:
    """video.mp4, empty_room.mp4, garment.png, text.jpg, picture.jpg."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "video.mp4", people=[True] * 6)
    write_video(folder / "empty_room.mp4", people=[False] * 4)
    write_garment(folder / "garment.png")
    (folder / "text.jpg").write_text("this is no picture\n" * 20)
    Image.new("RGB", (90, 120), (200, 30, 40)).save(folder / "picture.jpg")
    return folder


@pytest.fixture
def slow_worker() -> Iterator[SlowWorker]:
    slow = SlowWorker()
    yield slow
    slow.may_go_on.set()


@pytest.fixture
def real_worker(tiny_system) -> TryOnWorker:
    sampler = SamplerConfig(solver="ddim", num_steps=2, clip=3.0)
    painter = Painter(tiny_system, "cpu", sampler)
    return TryOnWorker(TryOnPipeline(painter, colour_perception(), {"model": "tiny", "step": 0}))


@pytest.fixture
def open_app(tmp_path) -> Iterator[Callable[..., AppState]]:
    """Opens apps with given limits; closes them at the end."""
    with ExitStack() as opened:

        def open_one(worker, folder="room", **limits) -> AppState:
            config = AppLimits(**{"free_gb": 0.0, "video_mb": 1, "garment_mb": 1, **limits})
            store = Store(tmp_path / folder, config)
            app_state = AppState(store, config, worker)
            opened.callback(app_state.close)
            return app_state

        yield open_one


@pytest.fixture
def visit() -> Iterator[Callable[..., TestClient]]:
    """A browser with a cookie of its own; all of a test share one running server a app_state."""
    with ExitStack() as clients:
        first: dict[AppState, TestClient] = {}

        def visit_one(app_state: AppState) -> TestClient:
            if app_state in first:
                client = TestClient(first[app_state].app, base_url="http://localhost")
                client.portal = first[app_state].portal
            else:
                client = TestClient(build_app(app_state), base_url="http://localhost")
                first[app_state] = clients.enter_context(client)
            assert client.get("/").status_code == 200
            return client

        yield visit_one


@pytest.fixture
def send(media) -> Callable:
    """Sends a file of ``media``, or bytes, under a name; returns the answer."""

    def send_one(client, kind, content, name=None, **options):
        data = content if not isinstance(content, str) else (media / content).read_bytes()
        given = content if isinstance(content, str) else "sent"
        query = {"kind": kind, "name": given if name is None else name}
        return client.post("/api/uploads", params=query, content=data, headers=SENT, **options)

    return send_one


@pytest.fixture
def serve() -> Iterator[Callable[[AppState], int]]:
    """Serves apps at a real port of this machine; returns the port."""
    with ExitStack() as servers:

        def serve_one(app_state: AppState) -> int:
            server = uvicorn.Server(server_config(build_app(app_state), "127.0.0.1", 0))
            thread = threading.Thread(target=server.run)
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join()

            servers.callback(stop)
            until(lambda: server.started)
            return server.servers[0].sockets[0].getsockname()[1]

        yield serve_one
