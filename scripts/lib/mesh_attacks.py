"""Attacks on the mesh port of a live node, each going on until it is stopped; to be run in a process of its own.

``python scripts/lib/mesh_attacks.py KIND ADDRESS``. An attacker that is cut off or banned comes back under another key.
"""

from __future__ import annotations

import random
import secrets
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import trio
from gossip_mutations import LOOPBACK, MESHSUB, Forger
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_WINDOW_UPDATE, Yamux
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr
from vector_values import ADVERT, PROVIDER

from peernode.mesh.gossip import topic_of
from peernode.mesh.host import build_host, listening
from peernode.wire.advert import sign_advert

NETWORK = "test"
HEADER = "!BBHII"
SOURCES = 8
PAUSE_S = 0.05


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
        try:
            async with await _socket(address, number) as stream:
                await stream.send_all(first)
                while await stream.receive_some(4096):
                    pass
        except (OSError, trio.BrokenResourceError):
            pass  # refused, as it should be
        await trio.sleep(PAUSE_S)


async def _many(address: str, first: bytes) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(400):
            nursery.start_soon(_hold, address, number, first)


async def silent(address: str) -> None:
    """Four hundred connections that never say anything."""
    await _many(address, b"")


async def garbage(address: str) -> None:
    """Four hundred connections that begin well and go on with garbage."""
    await _many(address, b"\x13/multistream/1.0.0\n" + secrets.token_bytes(2000))


@asynccontextmanager
async def _peer(address: str) -> AsyncIterator[tuple[BasicHost, Yamux]]:
    host = build_host(secrets.token_bytes(32), [LOOPBACK])
    async with listening(host, [LOOPBACK]):
        info = info_from_p2p_addr(Multiaddr(address))
        await host.connect(info)
        yield host, host.get_network().connections[info.peer_id][0].muxed_conn


async def _as_peers(address: str, conduct: Callable[[BasicHost, Yamux], Awaitable[None]]) -> None:
    while True:
        try:
            async with _peer(address) as (host, muxed):
                await conduct(host, muxed)
        except Exception:  # noqa: BLE001, S110 - cut off, as it should be
            pass
        await trio.sleep(PAUSE_S)


async def handshakes(address: str) -> None:
    """A proper peer that comes and goes as fast as it can."""

    async def leave(host: BasicHost, muxed: Yamux) -> None:
        del host, muxed

    await _as_peers(address, leave)


async def frames(address: str) -> None:
    """Empty frames without end."""

    async def conduct(_: BasicHost, muxed: Yamux) -> None:
        flood = struct.pack(HEADER, 0, TYPE_WINDOW_UPDATE, 0, 0, 0)
        while True:
            await muxed._write_frame(flood)

    await _as_peers(address, conduct)


async def streams(address: str) -> None:
    """Streams without end, on which nothing is said."""

    async def conduct(_: BasicHost, muxed: Yamux) -> None:
        for number in range(100_000):
            await muxed._write_frame(struct.pack(HEADER, 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * number, 0))

    await _as_peers(address, conduct)


async def window(address: str) -> None:
    """More data than the window that was given."""

    async def conduct(_: BasicHost, muxed: Yamux) -> None:
        await muxed._write_frame(struct.pack(HEADER, 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001, 0))
        while True:
            await muxed._write_frame(struct.pack(HEADER, 0, TYPE_DATA, 0, 10_001, 60_000) + bytes(60_000))

    await _as_peers(address, conduct)


async def gossip(address: str) -> None:
    """Signed messages of forged adverts, each by an originator never heard of."""
    now_ms = time.time_ns() // 1_000_000
    advert = replace(ADVERT, network=NETWORK, issued_ms=now_ms, seq=now_ms, lease_ms=60_000)
    forger = Forger(topic_of(NETWORK), sign_advert(advert, PROVIDER).raw, random.Random(1))

    async def conduct(host: BasicHost, muxed: Yamux) -> None:
        stream: INetStream = await host.new_stream(muxed.peer_id, [TProtocol(MESHSUB)])
        while True:
            _, rpc = forger.rpc()
            await stream.write(encode_uvarint(len(rpc)) + rpc)

    await _as_peers(address, conduct)


KINDS = {attack.__name__: attack for attack in (silent, garbage, handshakes, frames, streams, window, gossip)}

if __name__ == "__main__":
    trio.run(KINDS[sys.argv[1]], sys.argv[2])
