"""Who calls: a key of this node, the operator, or nobody in particular; and whether that is enough here.

Owns the ``Authorization`` header (``Bearer sk-pn-…``, or the bare key as Peerwave's clients send it) and the rule who
may come without one. Everything but the probes and the description of the API passes here, whatever route it is for.
What is not shaped like a key of ours is no key: programs that must send one send anything to a node that asks for none.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.accounts import Accounts
from peernode.edge.bind import is_loopback
from peernode.edge.dialects import dialect_of
from peernode.edge.limits import MinuteBucket, TooManyWrongKeys
from peernode.ledger.client_key import PREFIX, ClientKey, KeyText, read_key_text
from peernode.market.client_errors import DialectNotAllowed, KeyRefused, MissingKey, UnknownKey

Anonymous: TypeAlias = Literal["loopback", "yes", "no"]
_DOCS = ("/openapi.json", "/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css")
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/api/third-party/auth", "/v1/identity", *_DOCS})
# What a proxy adds: the caller is somebody else than who opened the connection.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
WRONG_KEYS_PER_MINUTE = 20
MAX_REMEMBERED = 4096
_CALLER, _HEADERS = "peernode.caller", "peernode.headers"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. Without a ``key`` it is the operator, or anybody at ``address``."""

    address: str
    key: ClientKey | None = None
    operator: bool = False


def caller_of(scope: Scope) -> Caller:
    """Whom the guard let in."""
    return cast(Caller, scope[_CALLER])


def known_caller(scope: Scope) -> Caller | None:
    """The same; None where nobody was asked who he is."""
    return scope.get(_CALLER)


def add_headers(scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
    """Have the answer to this request carry ``headers`` as well, whatever it will be."""
    scope.setdefault(_HEADERS, []).extend(headers)


class OperatorPass:
    """ASGI wrapper for an app behind the operator's own token: every caller is the operator."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_CALLER] = Caller("", operator=True)
        await self._app(scope, receive, send)


class KeyGuard:
    """ASGI wrapper that lets in who has a good key, and others where ``anonymous`` says so.

    Raises KeyRefused (no key, an unknown, revoked or expired one), DialectNotAllowed, or TooManyWrongKeys.
    """

    def __init__(self, app: ASGIApp, accounts: Accounts, anonymous: Anonymous, clock: Callable[[], float]) -> None:
        self._app = app
        self._accounts = accounts
        self._anonymous = anonymous
        self._clock = clock
        self._guesses = _Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        scope[_CALLER] = await self._admit(scope)

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *scope.get(_HEADERS, ())]
            await send(message)

        await self._app(scope, receive, send_noted)

    async def _admit(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        address = address_of(scope)
        text = _key_in(headers.get("authorization", ""))
        if not text.startswith(PREFIX):
            if not self._may_be_anonymous(headers, address):
                raise _missing(text)
            return Caller(address)
        key = await self._recognise(text, address)
        dialect = dialect_of(scope["path"])
        if key.limits.dialects and dialect not in key.limits.dialects:
            raise DialectNotAllowed(
                "This key is not for this API.", cause=dialect, remedy=f"It is for {', '.join(key.limits.dialects)}."
            )
        return Caller(address, key)

    async def _recognise(self, text: str, address: str) -> ClientKey:
        """The key, looked up anew for each request, so that a revoked one is refused at once."""
        offered = read_key_text(text)
        self._guesses.check(address, offered, self._clock())
        try:
            if offered is None:
                raise UnknownKey("This is not a key of this node.", remedy="Check that it was copied whole.")
            key = await self._accounts.recognise(offered)
        except KeyRefused:
            self._guesses.wrong(address, self._clock())
            raise
        self._guesses.right(offered)
        return key

    def _may_be_anonymous(self, headers: Headers, address: str) -> bool:
        if self._anonymous == "loopback":
            return is_loopback(address) and not any(name in headers for name in FORWARDED)
        return self._anonymous == "yes"


class _Guesses:
    """How often each address may be wrong. Whoever was right lately is not made to wait for his neighbours' guesses."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, MinuteBucket] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, offered: KeyText | None, now_s: float) -> None:
        bucket = self._buckets.get(network_of(address))
        if bucket is None or (offered is not None and offered.digest in self._good):
            return
        if wait := bucket.wait_s(1, now_s):
            raise TooManyWrongKeys(
                "Too many wrong keys came from this address.",
                retry_after_s=wait,
                room=bucket.room(now_s),
                remedy="Ask again after the time that Retry-After names.",
            )

    def wrong(self, address: str, now_s: float) -> None:
        network = network_of(address)
        bucket = self._buckets.get(network)
        if bucket is None:
            bucket = self._buckets[network] = MinuteBucket(WRONG_KEYS_PER_MINUTE, now_s)
        bucket.take(1, now_s)
        self._buckets.move_to_end(network)
        while len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)

    def right(self, offered: KeyText) -> None:
        self._good[offered.digest] = None
        self._good.move_to_end(offered.digest)
        while len(self._good) > MAX_REMEMBERED:
            self._good.popitem(last=False)


def address_of(scope: Scope) -> str:
    """The address that the connection came from; an IPv4 address inside an IPv6 one is that address."""
    client = scope.get("client")
    return plain_address(client[0]) if client else ""


def plain_address(text: str) -> str:
    """An address as sockets name it, without the mapping of IPv4 into IPv6; empty if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def network_of(address: str) -> str:
    """Who is counted as one: an IPv4 address, or the /64 network of an IPv6 one, which one caller has to himself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(found) if found.version == 4 else str(ipaddress.ip_network(f"{found}/64", strict=False))


def _key_in(authorization: str) -> str:
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def _missing(text: str) -> KeyRefused:
    remedy = "Send one of this node's keys: Authorization: Bearer sk-pn-…"
    if text:
        return UnknownKey("This is not a key of this node.", remedy=remedy)
    return MissingKey("This node answers only to those who have a key.", remedy=remedy)
