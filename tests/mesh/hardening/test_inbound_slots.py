"""A host takes new connections for as long as it lives, and silent strangers cannot keep others out."""

import contextlib
import os
from contextlib import asynccontextmanager

import trio
from libp2p.exceptions import BaseLibp2pError

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.hardening import inbound_slots
from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.limits.admission import HANDSHAKES_PER_ADDRESS, MAX_HANDSHAKES
from peernode.mesh.settings import MeshSettings


async def _silent(server, source):
    """A connection from ``source`` on which nobody says anything."""
    port = int(server.get_transport_addrs()[0].value_for_protocol("tcp"))
    sock = trio.socket.socket()
    await sock.bind((source, 0))
    await sock.connect(("127.0.0.1", port))
    return sock


def _descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no need of the names


@asynccontextmanager
async def _held(sockets):
    try:
        yield
    finally:
        for sock in sockets:
            sock.close()


async def test_slots_come_back_when_connections_end(start_host, echoes):
    with trio.fail_after(60):
        async with start_host(settings=MeshSettings(max_connections=4)) as server:
            guard = guard_of(server.get_network())
            for _ in range(8):
                async with start_host() as client:
                    assert await echoes(client, server)
                    assert guard.admission.seats == 1
                await ConnectionWatch(server).wait_until(lambda: not server.get_network().connections)
            assert guard.admission.handshakes == 0


async def test_connections_beyond_the_limit_of_an_address_are_refused(start_host, dial, echoes):
    with trio.fail_after(60):
        async with (
            start_host(settings=MeshSettings(max_connections_per_address=2)) as server,
            start_host() as one,
            start_host() as two,
            start_host() as three,
        ):
            await dial(one, server)
            await dial(two, server)
            with contextlib.suppress(BaseLibp2pError):  # refused before or after its own side was ready: both will do
                await dial(three, server)
                await ConnectionWatch(three).wait_until(lambda: not three.get_network().connections)
            assert guard_of(server.get_network()).refusals["too many connections from one address"] >= 1
            assert await echoes(one, server)


async def test_four_hundred_silent_connections_keep_nobody_out(start_host, echoes, monkeypatch):
    monkeypatch.setattr(inbound_slots, "HANDSHAKE_DEADLINE_S", 1000.0)  # nobody is to wait for their end
    with trio.fail_after(60):
        async with start_host() as server, start_host() as good:
            guard = guard_of(server.get_network())
            assert await echoes(good, server)
            await good.disconnect(server.get_id())
            await ConnectionWatch(server).wait_until(lambda: not server.get_network().connections)
            before = _descriptors()
            silent = [await _silent(server, f"127.0.0.{2 + number // 50}") for number in range(400)]
            async with _held(silent):
                assert guard.admission.handshakes <= MAX_HANDSHAKES
                async with start_host() as stranger:  # shares its address with none of the silent
                    assert await echoes(good, server)
                    assert await echoes(stranger, server)
                # and one that shares the address of many
                crowded = [await _silent(server, "127.0.0.1") for _ in range(40)]
                async with _held(crowded):
                    assert guard.admission.handshakes <= MAX_HANDSHAKES
                    async with start_host() as neighbour:
                        assert await echoes(neighbour, server)
            while guard.admission.handshakes:
                await trio.sleep(0.01)
            await good.disconnect(server.get_id())
            await ConnectionWatch(server).wait_until(lambda: not server.get_network().connections)
            while _descriptors() > before:  # the last sockets close in the background
                await trio.sleep(0.01)
            assert {ban.address for ban in guard.bans.bans()} <= {f"127.0.0.{n}" for n in range(1, 11)}


async def test_a_silent_connection_is_closed_at_the_deadline(start_host, monkeypatch):
    monkeypatch.setattr(inbound_slots, "HANDSHAKE_DEADLINE_S", 0.3)
    with trio.fail_after(60):
        async with start_host() as server:
            sock = await _silent(server, "127.0.0.1")
            async with _held([sock]):
                while await sock.recv(1024):  # what the server says first is of no interest
                    pass
            while guard_of(server.get_network()).refusals["handshake unfinished"] != 1:  # counted after the closing
                await trio.sleep(0.01)


async def test_the_oldest_of_one_address_gives_way(start_host, monkeypatch):
    monkeypatch.setattr(inbound_slots, "HANDSHAKE_DEADLINE_S", 1000.0)
    with trio.fail_after(60):
        async with start_host() as server:
            silent = [await _silent(server, "127.0.0.1") for _ in range(HANDSHAKES_PER_ADDRESS + 1)]
            async with _held(silent):
                while await silent[0].recv(1024):
                    pass
                assert guard_of(server.get_network()).admission.handshakes == HANDSHAKES_PER_ADDRESS
