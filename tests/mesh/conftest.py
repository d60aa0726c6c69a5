"""Real hosts on loopback for the tests of the mesh.

``WITHOUT_MEND=<name>`` in the environment leaves one mend of ``peernode.mesh.hardening`` out: the test of that mend
must then fail. That is how each of them was checked.
"""

from __future__ import annotations

import os
import secrets
from contextlib import asynccontextmanager

import pytest

from peernode.mesh import hardening

if left_out := os.environ.get("WITHOUT_MEND"):
    hardening.MENDS.pop(left_out)
hardening.apply()

ECHO = "/peernode/test-echo/1"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


async def _echo(stream):
    await stream.write(await stream.read(1024))
    await stream.close()


@pytest.fixture
def start_host():
    """An async context manager: ``async with start_host({protocol: handler}) as host``."""
    from libp2p.custom_types import TProtocol

    from peernode.mesh.host import build_host, listening
    from peernode.mesh.limits.guard import Guard
    from peernode.mesh.settings import DEFAULTS

    @asynccontextmanager
    async def start(handlers=None, listen=(LOOPBACK,), *, settings=DEFAULTS, seed=None):
        host = build_host(seed or secrets.token_bytes(32), listen, Guard(settings))
        for protocol, handler in {ECHO: _echo, **(handlers or {})}.items():
            host.set_stream_handler(TProtocol(protocol), handler)
        async with listening(host, listen):
            yield host

    return start


@pytest.fixture
def dial():
    """``await dial(client, server)`` connects and gives the client's side of the muxed connection."""
    from libp2p.peer.peerinfo import info_from_p2p_addr

    async def dial(client, server):
        client.get_network().unblock_peer(server.get_id())
        await client.connect(info_from_p2p_addr(server.get_addrs()[0]))
        return client.get_network().connections[server.get_id()][0].muxed_conn

    return dial


@pytest.fixture
def open_stream():
    """``await open_stream(client, server, protocol)``."""
    from libp2p.custom_types import TProtocol

    async def open_stream(client, server, protocol=ECHO):
        return await client.new_stream(server.get_id(), [TProtocol(protocol)])

    return open_stream


@pytest.fixture
def echoes(dial, open_stream):
    """``await echoes(client, server)`` is true when a fresh stream still carries an answer."""

    async def echoes(client, server):
        await dial(client, server)
        stream = await open_stream(client, server)
        await stream.write(b"still there?")
        answer = await stream.read(1024)
        await stream.reset()
        return answer == b"still there?"

    return echoes


@pytest.fixture
def accepted():
    """The server's side of the muxed connection to ``client``: ``await accepted(server, client)``."""
    from peernode.mesh.dialing import ConnectionWatch

    async def accepted(server, client):
        connections = server.get_network().connections
        await ConnectionWatch(server).wait_until(lambda: bool(connections.get(client.get_id())))
        return connections[client.get_id()][0].muxed_conn

    return accepted


NETWORK = "test"
LEASE_MS = 3_000


class Node:
    """A mesh with an identity, and the adverts that the rest of a node would make for it."""

    def __init__(self, mesh, identity, clock_ms):
        self.mesh = mesh
        self.identity = identity
        self.peer_id = identity.peer_id
        self._clock_ms = clock_ms
        self._seq = 0

    def sign(self, *, model="m", lease_ms=LEASE_MS, free_slots=1):
        from peernode.wire.advert import Advert, ModelCard, sign_advert

        self._seq = max(self._seq + 1, self._clock_ms())
        card = ModelCard(
            id=model, digest=bytes(32), architecture="llama", parameters=1, quantization="Q4_0", context_length=2048
        )
        advert = Advert(
            network=NETWORK,
            peer=self.peer_id,
            seq=self._seq,
            issued_ms=self._clock_ms(),
            lease_ms=lease_ms,
            addresses=tuple(self.mesh.addresses()),
            version="0",
            slots=1,
            free_slots=free_slots,
            queued=0,
            models=(card,),
        )
        return sign_advert(advert, self.identity)

    async def advertise(self, **changes):
        await self.mesh.publish(self.sign(**changes))

    async def keep_advertising(self, *, every_s=1.0):
        import trio

        while True:  # a lease lives by being renewed in time
            await self.advertise()
            await trio.sleep(every_s)

    async def sees(self, *peers, not_=()):
        """Wait until the directory shows all ``peers`` and none of ``not_``."""
        snapshot = self.mesh.directory.snapshot()
        while not all(p.peer_id in snapshot.adverts for p in peers) or any(p.peer_id in snapshot.adverts for p in not_):
            snapshot = await self.mesh.directory.wait_change(snapshot.version)
        return snapshot


@pytest.fixture
def start_node():
    """``async with start_node(join=[...], handlers={...}, seed=...) as node`` runs one mesh on loopback."""
    import random
    import time

    import trio

    from peernode.mesh import Mesh
    from peernode.mesh.settings import DEFAULTS
    from peernode.wire.identity import Identity

    def clock_ms():
        return time.time_ns() // 1_000_000

    @asynccontextmanager
    async def start(*, join=(), handlers=None, seed=None, listen=(LOOPBACK,), settings=DEFAULTS):
        identity = Identity.from_seed(seed or secrets.token_bytes(32))
        mesh = Mesh(
            identity=identity,
            network=NETWORK,
            listen=listen,
            join=join,
            clock_ms=clock_ms,
            rng=random.Random(secrets.randbits(64)),
            settings=settings,
        )
        for protocol, handler in (handlers or {}).items():
            mesh.handle(protocol, handler)
        async with trio.open_nursery() as nursery:
            await nursery.start(mesh.run)
            yield Node(mesh, identity, clock_ms)
            nursery.cancel_scope.cancel()

    return start
