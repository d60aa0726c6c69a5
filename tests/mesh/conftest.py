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

    @asynccontextmanager
    async def start(handlers=None, listen=(LOOPBACK,)):
        host = build_host(secrets.token_bytes(32), listen)
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
    import trio

    async def accepted(server, client):
        connections = server.get_network().connections
        while not connections.get(client.get_id()):
            await trio.sleep(0.005)
        return connections[client.get_id()][0].muxed_conn

    return accepted
