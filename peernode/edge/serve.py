"""Runs an ASGI app on Hypercorn's trio worker: binds, reports the real port, and stops gracefully.

Owns the socket and Hypercorn's settings. Leaves when to stop to the caller.
"""

from __future__ import annotations

import logging
import socket
from functools import partial
from typing import Protocol, cast

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework
from starlette.types import ASGIApp

from peernode.edge.bind import Bind
from peernode.edge.errors import AddressInUse

# A reader that stalls would hold its job and its memory for ever: Hypercorn shields its writes from cancellation.
STALLED_READER_MS = 30_000
# From connecting to a complete request head, and between two requests.
IDLE_S = 30.0
BACKLOG = 1024
log = structlog.get_logger("peernode.edge")


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
    task_status: ReportsBind = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set, then let running requests end for up to ``grace_s``; reports the actual Bind.

    Raises AddressInUse when the address cannot be had.
    """
    listener = listen(bind)
    actual = Bind(bind.host, listener.getsockname()[1])
    config = _hypercorn_config(grace_s)
    config.bind = [f"fd://{listener.detach()}"]  # Hypercorn owns and closes it from here on
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, cast(ASGIFramework, app), config, shutdown_trigger=stop.wait, mode="asgi"))
        log.info("listening", server=name, address=str(actual))
        task_status.started(actual)
    log.info("stopped_listening", server=name, address=str(actual))


def listen(bind: Bind) -> socket.socket:
    """A bound TCP socket. Raises AddressInUse."""
    listener = socket.socket(socket.AF_INET6 if ":" in bind.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_READER_MS)
        listener.bind((bind.host, bind.port))
    except OSError as err:
        listener.close()
        raise AddressInUse(
            f"The node cannot listen on {bind}.",
            cause=(err.strerror or type(err).__name__).lower(),
            remedy="Stop what listens there, or choose another address with --http HOST:PORT.",
        ) from err
    return listener


def _hypercorn_config(grace_s: float) -> Config:
    config = Config()
    config.graceful_timeout = grace_s
    config.keep_alive_timeout = IDLE_S
    config.backlog = BACKLOG
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = _quiet_log()
    config.h11_max_incomplete_size = 64 * 1024
    return config


def _quiet_log() -> logging.Logger:
    """Hypercorn's own log: warnings and worse, through the standard library into whatever the node has set up.

    Its INFO says "Running on fd…", which we say better. It never sees a body.
    """
    logger = logging.getLogger("hypercorn.error")
    logger.setLevel(logging.WARNING)
    return logger
