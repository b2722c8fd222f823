"""The web server: routes and their handlers.

``request_checks.py`` runs before every handler. Requests carry ids and file names, never paths: a
file is only served if a job or an upload lists it.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from inference.errors import RequestError, not_found
from inference.web.app_state import AppState, rights_needed
from inference.web.request_checks import COOKIE, Guard, Sessions

PAGE = Path(__file__).parent / "page"
RIGHTS_HEADER = "X-Rights-Confirmed"
_ASSETS = {
    "page.css": "text/css",
    "player.css": "text/css",
    "page.js": "text/javascript",
    "requests.js": "text/javascript",
    "picker.js": "text/javascript",
    "stage.js": "text/javascript",
    "player.js": "text/javascript",
    "words.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_MEDIA_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}
_MOST_JSON = 10_000  # bytes of a request's body
_SWEEP_S = 20.0

_logger = logging.getLogger(__name__)


def build_app(
    state: AppState, hosts: Iterable[str] = ("localhost",), allow_addresses: bool = False
) -> Starlette:
    """The server's ASGI application; closes the state when it stops.

    Args:
        state: uploads and jobs.
        hosts: host names that browsers may use.
        allow_addresses: answer to any IP address as well, for a server of a network.
    """
    handlers = _Handlers(state)
    return Starlette(
        routes=[
            Route("/", handlers.page),
            Route("/assets/{name}", handlers.asset),
            Route("/api/room", handlers.state),
            Route("/api/room", handlers.leave, methods=["DELETE"]),
            Route("/api/uploads", handlers.upload, methods=["POST"]),
            Route("/api/uploads/{id}", handlers.remove_upload, methods=["DELETE"]),
            Route("/api/jobs", handlers.submit, methods=["POST"]),
            Route("/api/jobs/{id}", handlers.job),
            Route("/api/jobs/{id}", handlers.remove_job, methods=["DELETE"]),
            Route("/api/jobs/{id}/cancel", handlers.cancel, methods=["POST"]),
            Route("/files/{id}/{name}", handlers.file),
        ],
        middleware=[Middleware(Guard, hosts=tuple(hosts), allow_addresses=allow_addresses)],
        exception_handlers={
            RequestError: _rejected,
            HTTPException: _http_error,
            ClientDisconnect: _disconnected,
        },
        lifespan=handlers.lifespan,
    )


class _Handlers:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._sessions = Sessions()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
            await asyncio.to_thread(self._state.close)

    async def page(self, request: Request) -> Response:
        response = FileResponse(PAGE / "index.html", media_type="text/html")
        if self._sessions.owner(request.cookies.get(COOKIE)) is None:
            response.set_cookie(
                COOKIE, self._sessions.new(), httponly=True, samesite="strict",
                secure=request.url.scheme == "https",
            )  # fmt: skip
        return response

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise not_found()
        return FileResponse(PAGE / name, media_type=_ASSETS[name])

    async def state(self, request: Request) -> Response:
        return JSONResponse(self._state.show(self._owner(request)))

    async def leave(self, request: Request) -> Response:
        self._state.leave(self._owner(request))
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        owner = self._owner(request)
        if request.headers.get(RIGHTS_HEADER) != "yes":
            raise rights_needed()
        upload = await self._state.uploads.receive(
            (chunk async for chunk in request.stream()),
            kind=request.query_params.get("kind", ""),
            name=request.query_params.get("name", ""),
            length=_length(request),
            owner=owner,
        )
        return JSONResponse(self._state.show_upload(upload), status_code=201)

    async def remove_upload(self, request: Request) -> Response:
        state, owner = self._state, self._owner(request)
        state.remove_upload(state.uploads.get(request.path_params["id"], owner))
        return Response(status_code=204)

    async def submit(self, request: Request) -> Response:
        owner = self._owner(request)
        job = self._state.submit(await _read_json(request), owner)
        return JSONResponse(self._state.show_job(job), status_code=201)

    async def job(self, request: Request) -> Response:
        return JSONResponse(self._state.show_job(self._job(request)))

    async def cancel(self, request: Request) -> Response:
        job = self._job(request)
        self._state.queue.cancel(job)
        return JSONResponse(self._state.show_job(job))

    async def remove_job(self, request: Request) -> Response:
        self._state.remove_job(self._job(request))
        return Response(status_code=204)

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        path, save_as = self._state.file(request.path_params["id"], name, self._owner(request))
        if not path.is_file():
            raise not_found()
        return FileResponse(
            path,
            media_type=_MEDIA_TYPES[path.suffix],
            filename=save_as,
            content_disposition_type="attachment",
        )

    def _job(self, request: Request) -> Any:
        return self._state.queue.get(request.path_params["id"], self._owner(request))

    def _owner(self, request: Request) -> str:
        owner = self._sessions.owner(request.cookies.get(COOKIE))
        if owner is None:
            raise RequestError("Your session has ended; reload the page.", 401)
        return owner

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            await asyncio.to_thread(self._state.remove_expired)


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length")
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


async def _read_json(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RequestError("The request must be JSON (content type application/json).", 415)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_JSON:
            raise RequestError(f"This request is longer than {_MOST_JSON} bytes.", 413)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("The request cannot be parsed as JSON.") from error


def _rejected(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = "There is nothing here." if error.status_code == 404 else error.detail
    return JSONResponse({"error": sentence}, status_code=error.status_code)


def _disconnected(_: Request, error: Exception) -> Response:
    _logger.info("the browser disconnected during an upload: %s", type(error).__name__)
    return Response(status_code=499)
