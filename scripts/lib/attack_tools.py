"""What attackers of the mesh are made of: connections from many sources, proper peers, and a bound on their rate."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from gossip_mutations import LOOPBACK
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from peernode.mesh.host import build_host, listening

SOURCES = 8
PAUSE_S = 0.05
Conduct = Callable[[BasicHost, Yamux], Awaitable[None]]


class Bound:
    """So many turns a second, for the whole process; as many as it can for None."""

    def __init__(self) -> None:
        self.per_second: float | None = None
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        now_s = trio.current_time()
        if self.per_second is None:
            await trio.lowlevel.checkpoint()
            return
        self._next_s = max(self._next_s, now_s - 0.1) + 1 / self.per_second
        if self._next_s > now_s:
            await trio.sleep(self._next_s - now_s)


bound = Bound()


async def _socket(address: str, number: int) -> trio.SocketStream:
    """A TCP connection from one of eight source addresses."""
    _, _, ip, _, port, *_ = address.split("/")
    sock = trio.socket.socket()
    await sock.bind((f"127.0.0.{2 + number % SOURCES}", 0))
    await sock.connect((ip, int(port)))
    return trio.SocketStream(sock)


async def _hold(address: str, number: int, first: bytes) -> None:
    """Connect, say ``first`` and then nothing until cut off; again and again."""
    while True:
        await bound.turn()
        try:
            async with await _socket(address, number) as stream:
                await stream.send_all(first)
                while await stream.receive_some(4096):
                    pass
        except (OSError, trio.BrokenResourceError):
            pass  # refused, as it should be
        await trio.sleep(PAUSE_S)


async def many(address: str, first: bytes) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(400):
            nursery.start_soon(_hold, address, number, first)


@asynccontextmanager
async def _peer(address: str) -> AsyncIterator[tuple[BasicHost, Yamux]]:
    host = build_host(secrets.token_bytes(32), [LOOPBACK])
    async with listening(host, [LOOPBACK]):
        info = info_from_p2p_addr(Multiaddr(address))
        await host.connect(info)
        yield host, host.get_network().connections[info.peer_id][0].muxed_conn


async def as_peers(address: str, conduct: Callable[[BasicHost, Yamux], Awaitable[None]]) -> None:
    while True:
        await bound.turn()
        try:
            async with _peer(address) as (host, muxed):
                await conduct(host, muxed)
        except Exception:  # noqa: BLE001, S110 - cut off, as it should be
            pass
        await trio.sleep(PAUSE_S)


async def come_and_go(address: str, conduct: Callable[[BasicHost, Yamux], Awaitable[None]]) -> None:
    """A proper peer that connects, does something and leaves, again and again."""
    info = info_from_p2p_addr(Multiaddr(address))

    async def one() -> None:
        host = build_host(secrets.token_bytes(32), [LOOPBACK])
        async with listening(host, [LOOPBACK]):
            for _ in range(100):  # by then it is banned
                await bound.turn()
                try:
                    host.get_network().unblock_peer(info.peer_id)
                    await host.connect(info)
                    for connection in list(host.get_network().connections.get(info.peer_id, ())):
                        await conduct(host, connection.muxed_conn)
                        await connection.close()
                except Exception:  # noqa: BLE001 - refused, as it should be
                    await trio.sleep(PAUSE_S)

    while True:
        await one()
