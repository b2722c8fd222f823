"""Who is who: a random name in a cookie, signed so that only this server can give one.

There are no accounts. A browser sees what it sent itself; a name lasts as long as the server.
"""

import hashlib
import hmac
import secrets

COOKIE = "fitting-room"
_BYTES = 24


class Sessions:
    """Gives names and knows its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def new(self) -> str:
        """A cookie's value for a newcomer."""
        name = secrets.token_hex(_BYTES)
        return f"{name}.{self._sign(name)}"

    def owner(self, cookie: str | None) -> str | None:
        """The name in a cookie of ours; None for anything else."""
        name, _, signature = (cookie or "").partition(".")
        is_ours = name.isascii() and hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(name).encode()
        )
        return name if is_ours and name else None

    def _sign(self, name: str) -> str:
        return hmac.new(self._key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
