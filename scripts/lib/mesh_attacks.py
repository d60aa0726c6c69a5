"""Attacks on the mesh port of a live node, each going on until it is stopped; to be run in a process of its own.

``python scripts/lib/mesh_attacks.py KIND ADDRESS [PER_SECOND]``. An attacker that is cut off or banned comes back under
another key. ``PER_SECOND`` bounds its connections, frames or messages: on a small machine its own CPU would otherwise
be the attack. ``ATTACKS`` says what the node does about each.
"""

from __future__ import annotations

import secrets
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import gossip_attacks
import trio
from attack_tools import as_peers, bound, come_and_go, many
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_WINDOW_UPDATE, Yamux

HEADER = "!BBHII"
ASK = TProtocol("/peernode/job/1")


async def silent(address: str) -> None:
    """Four hundred connections that never say anything."""
    await many(address, b"")


async def garbage(address: str) -> None:
    """Four hundred connections that begin well and go on with garbage."""
    await many(address, b"\x13/multistream/1.0.0\n" + secrets.token_bytes(2000))


async def handshakes(address: str) -> None:
    """Proper peers that come and go as fast as they can."""

    async def leave(host: BasicHost, muxed: Yamux) -> None:
        del host, muxed

    await come_and_go(address, leave)


async def frames(address: str) -> None:
    """Empty frames without end, a hundred at a time."""

    async def conduct(_: BasicHost, muxed: Yamux) -> None:
        flood = struct.pack(HEADER, 0, TYPE_WINDOW_UPDATE, 0, 0, 0) * 100  # in one encrypted message: cheap to send
        while True:
            await bound.turn()
            await muxed._write_frame(flood)

    await as_peers(address, conduct)


async def streams(address: str) -> None:
    """Streams without end, on which nothing is said."""

    async def conduct(_: BasicHost, muxed: Yamux) -> None:
        for number in range(100_000):
            await bound.turn()
            await muxed._write_frame(struct.pack(HEADER, 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * number, 0))

    await as_peers(address, conduct)


async def window(address: str) -> None:
    """More data than the window that was given."""

    async def conduct(_: BasicHost, muxed: Yamux) -> None:
        await muxed._write_frame(struct.pack(HEADER, 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001, 0))
        while True:
            await bound.turn()
            await muxed._write_frame(struct.pack(HEADER, 0, TYPE_DATA, 0, 10_001, 60_000) + bytes(60_000))

    await as_peers(address, conduct)


async def giants(address: str) -> None:
    """Frames that announce four gigabytes, on one job stream after the other."""

    async def conduct(host: BasicHost, muxed: Yamux) -> None:
        while not muxed.is_closed:
            await bound.turn()
            stream: INetStream = await host.new_stream(muxed.peer_id, [ASK])
            await stream.write(b"\xff\xff\xff\xff" + bytes(1000))

    await as_peers(address, conduct)


async def half_open(address: str) -> None:
    """Job streams on which a frame begins and never ends."""

    async def conduct(host: BasicHost, muxed: Yamux) -> None:
        while not muxed.is_closed:
            await bound.turn()
            stream: INetStream = await host.new_stream(muxed.peer_id, [ASK])
            await stream.write(b"\x00\x00\x10\x00only the beginning")

    await as_peers(address, conduct)


async def resets(address: str) -> None:
    """Connections reset in the middle of a frame."""

    async def conduct(host: BasicHost, muxed: Yamux) -> None:
        stream: INetStream = await host.new_stream(muxed.peer_id, [ASK])
        await stream.write(b"\x00\x00\x10\x00only the beginning")
        sock = muxed.secured_conn.conn.read_writer.read_write_closer.stream.stream.socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    await come_and_go(address, conduct)


async def crowd(address: str) -> None:
    """Eight peers that each send empty frames without end."""
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(frames, address)


@dataclass(frozen=True, slots=True)
class Attack:
    """``per_second`` is what ``scripts/chaos attacks`` bounds it to.

    ``banned`` is what the node says of those it bans for it; ``limited`` the reasons, one of which it counts.
    """

    run: Callable[[str], Awaitable[None]]
    per_second: float
    banned: str = ""
    limited: tuple[str, ...] = ()


_FULL = ("too many handshakes from one address", "too many handshakes")

ATTACKS = {
    "silent": Attack(silent, 300, limited=("handshake unfinished", *_FULL)),
    "garbage": Attack(garbage, 300, limited=("handshake failed", *_FULL)),
    "handshakes": Attack(handshakes, 50, banned="connects too often"),
    "resets": Attack(resets, 50, banned="connects too often"),
    "frames": Attack(frames, 100, limited=("frames too fast",)),
    "crowd": Attack(crowd, 300, limited=("frames too fast",)),
    "streams": Attack(streams, 4000, banned="streams"),
    "window": Attack(window, 200, banned="stream window"),
    "half_open": Attack(half_open, 400, banned="too many streams"),
    "giants": Attack(giants, 100, banned="frame_too_large"),
    "gossip": Attack(gossip_attacks.gossip, 100, banned="gossip"),
    "signatures": Attack(gossip_attacks.signatures, 20, banned="gossip: bad signature"),
    "broken": Attack(gossip_attacks.broken, 50, banned="gossip: broken RPC"),
    "control": Attack(gossip_attacks.control, 100, banned="gossip: floods of control messages"),
    "sybils": Attack(gossip_attacks.sybils, 100, limited=("gossip too fast",)),
    "records": Attack(gossip_attacks.records, 50, banned="bad_sync_message"),
}

if __name__ == "__main__":
    if len(sys.argv) > 3:
        bound.per_second = float(sys.argv[3])
    trio.run(ATTACKS[sys.argv[1]].run, sys.argv[2])
