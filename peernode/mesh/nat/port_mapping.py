"""Keeps a port of the router open for this node while it is needed, and gives it back at the end.

Owns when to ask the router and what is said about it. Leaves asking to ``upnp``, in a thread that nobody waits for
longer than a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import structlog
import trio

from peernode.mesh.nat.errors import PortRefused
from peernode.mesh.nat.upnp import LEASE_S, MappedPort

log = structlog.get_logger(__name__)

ASK_DEADLINE_S = 20.0
CLOSE_DEADLINE_S = 4.0
RENEW_S = LEASE_S / 3
RETRY_S = 1800.0
Result = TypeVar("Result")


class Router(Protocol):
    """See ``UpnpRouter``; both methods block."""

    def open(self, port: int) -> MappedPort: ...
    def close(self, mapped: MappedPort) -> None: ...


class PortMapping:
    """``opened`` hears the outer port whenever it is new."""

    def __init__(self, router: Router, *, opened: Callable[[int], None]) -> None:
        self._router = router
        self._opened = opened
        self._mapped: MappedPort | None = None
        self.said = ""

    async def keep(self, port: int) -> None:
        """Map ``port`` and renew until cancelled; then give it back. Never raises because of a router."""
        try:
            while True:
                await trio.sleep(RENEW_S if await self._open(port) else RETRY_S)
        finally:
            if self._mapped is not None:
                with trio.CancelScope(deadline=trio.current_time() + CLOSE_DEADLINE_S, shield=True):
                    await self._close(self._mapped)

    async def _open(self, port: int) -> bool:
        try:
            with trio.fail_after(ASK_DEADLINE_S):
                mapped = await _in_thread(partial(self._router.open, port))
        except trio.TooSlowError:
            return self._failed("the router did not answer in time")
        except PortRefused as error:
            return self._failed(f"{error.sentence} {error.cause}".strip())
        if mapped != self._mapped:
            self._mapped = mapped
            self.said = f"opened TCP port {mapped.port} of {mapped.host}"
            log.info("router_opened_port", host=mapped.host, port=mapped.port)
            self._opened(mapped.port)
        return True

    def _failed(self, why: str) -> bool:
        if why != self.said:
            log.info("router_refused_port", cause=why)
        self.said = why
        return False

    async def _close(self, mapped: MappedPort) -> None:
        try:
            await _in_thread(partial(self._router.close, mapped))
        except PortRefused as error:
            log.debug("router_kept_port", cause=error.cause)


async def _in_thread(blocking: Callable[[], Result]) -> Result:
    """Run in a thread that is left behind when the deadline comes; it ends by itself when the router gives up."""
    return await trio.to_thread.run_sync(blocking, abandon_on_cancel=True)  # type: ignore[call-arg]
