"""Who may be spoken to by whom: the Host header must name this machine, and no foreign page may ask for anything.

Defends a loopback server against DNS rebinding (a web page's own name that resolves to 127.0.0.1) and against
cross-site requests. Tokens and keys are checked elsewhere; which foreign pages are let in, ``cors`` knows.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from peernode.edge.bind import is_loopback
from peernode.edge.cors import Origins
from peernode.edge.errors import HostRefused, OriginRefused


class HostGuard:
    """ASGI wrapper that raises HostRefused or OriginRefused; ``hosts`` are allowed besides the loopback names.

    ``addresses``: so is any IP address, for a server that other machines reach. Rebinding needs a name. ``origins``
    are those of pages that may come from elsewhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str] = frozenset(),
        *,
        addresses: bool = False,
        origins: Origins | None = None,
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._origins = origins or Origins()
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check_host(headers)
            self._check_origin(headers)
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        named = headers.getlist("host")
        host = hostname_of(named[0]) if len(named) == 1 else None
        if host is None or not (is_loopback(host) or host in self._hosts or (self._addresses and _is_address(host))):
            raise HostRefused(
                "This server does not answer to the name it was called by.",
                cause=f"Host: {', '.join(named)[:100]}" if named else "no Host header",
                remedy="Call it as 127.0.0.1 or localhost, or by a name that [access] hosts lists.",
            )

    def _check_origin(self, headers: Headers) -> None:
        """Browsers send Origin with whatever a page may read or change elsewhere; other clients send none and pass."""
        for origin in headers.getlist("origin"):
            scheme, _, authority = origin.partition("://")
            same = scheme in {"http", "https"} and authority.lower() == headers["host"].lower()
            if not same and origin not in self._origins:
                raise OriginRefused(
                    "A page of another origin may not use this server.",
                    cause=f"Origin: {origin[:100]}",
                    remedy="Call it from a program, or from a page of an origin that [access] origins lists.",
                )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def hostname_of(authority: str) -> str | None:
    """The lower-case host in ``host[:port]``, or None if that is not what it is."""
    if not authority or any(char in authority for char in "/?#@\\ "):
        return None
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises ValueError when it is not a number
    except ValueError:
        return None
    return parts.hostname
