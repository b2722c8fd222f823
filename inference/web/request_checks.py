"""Which requests are let through, who sent them, and the security headers of every answer.

A page of another site must not reach a server on this machine: not through a host name that it
made point here (DNS rebinding; checked by the Host header), not through its own forms or scripts
(checked by the Origin header), not by embedding our page (the answer's headers forbid it).
"""

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "fitting-room"
_NAME_BYTES = 24
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        hosts: host names that the server answers to, without ports.
        allow_addresses: answer to any IP address as well; an address cannot be rebound.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], allow_addresses: bool) -> None:
        self._app = app
        self._hosts = {host.lower().rstrip(".") for host in hosts}
        self._allow_addresses = allow_addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope))
        if refused is None:
            await self._app(scope, receive, send_with_headers)
        else:
            answer = JSONResponse({"error": refused}, status_code=403)
            await answer(scope, receive, send_with_headers)

    def _refused(self, method: str, headers: Headers) -> str | None:
        """Why the request is rejected, as a sentence; None: it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            shown = hosts[0][:80] if hosts else ""
            return (
                f"This server does not answer to the name {shown!r}; add it to `hosts` in "
                "configs/app.yaml if it should."
            )
        if method in _SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            return "This request comes from another site."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "This request comes from another site."
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        name = name.lower().rstrip(".")
        if name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._allow_addresses or address.is_loopback


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def own_names(host: str, others: Iterable[str]) -> set[str]:
    """Host names that a server listening on ``host`` answers to."""
    names = {"localhost", *others}
    if not is_loopback(host):
        machine = socket.gethostname()
        names |= {host, machine, f"{machine}.local"}
    return names


class Sessions:
    """Tells browsers apart: a random name in a cookie, signed so that only this server issues one.

    There are no accounts. A browser sees only what it sent itself; names last until the server
    stops.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def new(self) -> str:
        """The cookie value of a new browser."""
        name = secrets.token_hex(_NAME_BYTES)
        return f"{name}.{self._sign(name)}"

    def owner(self, cookie: str | None) -> str | None:
        """The name in a cookie that this server issued; None for any other value."""
        name, _, signature = (cookie or "").partition(".")
        is_ours = name.isascii() and hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(name).encode()
        )
        return name if is_ours and name else None

    def _sign(self, name: str) -> str:
        return hmac.new(self._key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
