"""The node's two HTTP ports: the public one, unless it is off, and the operator's own on loopback.

Owns what each serves and where it listens, and the file that tells the operator's tools how to reach theirs.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial

import trio
from fastapi import APIRouter
from starlette.types import ASGIApp

from peernode.edge.admin import build_admin_app
from peernode.edge.app import AppLimits, build_app
from peernode.edge.bind import Bind, is_loopback
from peernode.edge.connections import ConnectionLimits
from peernode.edge.serve import serve_app
from peernode.edge.services import EdgeServices
from peernode.node.admin_view import AdminView
from peernode.node.clients import Clients
from peernode.node.config import NodeConfig
from peernode.node.descriptors import make_room
from peernode.node.home import AdminAccess, Home

# The servers close after the last job; what is left then is idle connections.
GRACE_S = 2.0


class HttpPorts:
    """Both ports over ``services``; ``further`` are routes of the operator's port alone."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        home: Home,
        services: EdgeServices,
        clients: Clients,
        admin: AdminView,
        further: Sequence[APIRouter],
    ) -> None:
        self._config = config
        self._home = home
        self._services = services
        self._clients = clients
        self._admin = admin
        self._further = further

    async def listen(self, servers: trio.Nursery, stop: trio.Event) -> None:
        """Open them, and serve in ``servers`` until ``stop``. Raises AddressInUse or OpenBindRefused."""

        async def start(app: ASGIApp, bind: Bind, name: str, limits: ConnectionLimits) -> Bind:
            served = partial(serve_app, app, bind, stop=stop, grace_s=GRACE_S, name=name, limits=limits)
            actual: Bind = await servers.start(served)
            return actual

        if (public := self._config.http_bind) is not None:
            limits = self._config.limits.of_connections
            make_room(limits.at_once)
            self._admin.http = f"http://{await start(self._public_app(public), public, 'http', limits)}"
        token = secrets.token_urlsafe(32)
        app = build_admin_app(self._services, self._admin, token, further=self._further)
        admin = await start(app, Bind("127.0.0.1", 0), "admin", ConnectionLimits())
        self._home.write_admin(AdminAccess(f"http://{admin}", token, self._admin.status()["pid"]))

    def _public_app(self, public: Bind) -> ASGIApp:
        beyond = not is_loopback(public.host)
        if beyond:
            self._clients.warn_of_open_bind(public)
        access, bounds = self._config.access, self._config.limits
        return build_app(
            self._services,
            hosts=[public.host, *access.hosts],
            addresses=beyond,
            origins=access.origins,
            limits=AppLimits(bounds.body_bytes, bounds.body_s, bounds.turns),
        )
