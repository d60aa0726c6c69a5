"""Runs an ASGI app on Hypercorn's trio connections: binds, reports the real port, and stops gracefully.

Owns the sockets and Hypercorn's settings. Leaves when to stop to the caller.
"""

from __future__ import annotations

import logging
import socket
from functools import partial
from typing import Protocol, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework
from starlette.types import ASGIApp

from peernode.edge.bind import Bind
from peernode.edge.connections import ConnectionLimits, Connections
from peernode.edge.errors import AddressInUse
from peernode.edge.stalled import STALLED_S, StalledStreams

BACKLOG = 1024
# Of HTTP/2, on one connection; more of them wait at the client.
MAX_STREAMS = 32
# As many bytes as a request head may have, with either protocol.
MAX_HEAD_BYTES = 64 * 1024
log = structlog.get_logger("peernode.edge")


_USUAL = ConnectionLimits()


class ReportsBind(Protocol):
    """trio's task status, for a task that starts with the Bind it got."""

    def started(self, value: Bind) -> None: ...


async def serve_app(
    app: ASGIApp,
    bind: Bind,
    *,
    stop: trio.Event,
    grace_s: float = 30.0,
    name: str = "http",
    limits: ConnectionLimits = _USUAL,
    task_status: ReportsBind = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set, then let running requests end for up to ``grace_s``; reports the actual Bind.

    Raises AddressInUse when the address cannot be had.
    """
    listener = listen(bind)
    actual = Bind(bind.host, listener.getsockname()[1])
    context = WorkerContext(None)
    wrapped = ASGIWrapper(cast(ASGIFramework, StalledStreams(app)))
    answering = Connections(wrapped, _hypercorn_config(limits.idle_s), context, limits)
    async with trio.open_nursery() as connections, trio.open_nursery() as accepting:
        sockets = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
        accepting.start_soon(partial(trio.serve_listeners, answering.run, sockets, handler_nursery=connections))
        log.info("listening", server=name, address=str(actual))
        task_status.started(actual)
        await stop.wait()
        accepting.cancel_scope.cancel()
        await context.terminated.set()  # idle connections close now, busy ones after their answer
        connections.cancel_scope.deadline = trio.current_time() + grace_s
    log.info("stopped_listening", server=name, address=str(actual))


def listen(bind: Bind) -> socket.socket:
    """A listening TCP socket. Raises AddressInUse."""
    listener = socket.socket(socket.AF_INET6 if ":" in bind.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_S * 1000))
        listener.bind((bind.host, bind.port))
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise AddressInUse(
            f"The node cannot listen on {bind}.",
            cause=(err.strerror or type(err).__name__).lower(),
            remedy="Stop what listens there, or choose another address with --http HOST:PORT.",
        ) from err
    return listener


def _hypercorn_config(idle_s: float) -> Config:
    config = Config()
    config.keep_alive_timeout = idle_s
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = _quiet_log()
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    config.h2_max_header_list_size = MAX_HEAD_BYTES
    config.h2_max_concurrent_streams = MAX_STREAMS
    return config


def _quiet_log() -> logging.Logger:
    """Hypercorn's own log: warnings and worse, through the standard library into whatever the node has set up.

    Its INFO says "Running on fd…", which we say better. It never sees a body.
    """
    logger = logging.getLogger("hypercorn.error")
    logger.setLevel(logging.WARNING)
    return logger
