"""What every request must pass, and what every answer carries.

A page of another site must not reach a server that listens on this machine: not by a name that it
made point here (DNS rebinding: the Host header tells), not by a form or a script of its own (the
Origin header tells), not by embedding what it shows (the answer's headers tell the browser).
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
        hosts: names by which the server may be asked for, without ports.
        allow_addresses: also by any address; an address cannot be rebound to another site.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], allow_addresses: bool) -> None:
        self._app = app
        self._hosts = {host.lower().rstrip(".") for host in hosts}
        self._allow_addresses = allow_addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass or answer it."""
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
        """A sentence if the request may not pass."""
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
    """Nobody but this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def own_names(host: str, others: Iterable[str]) -> set[str]:
    """Names under which a server that listens at ``host`` may be asked for."""
    names = {"localhost", *others}
    if not is_loopback(host):
        machine = socket.gethostname()
        names |= {host, machine, f"{machine}.local"}
    return names
