"""What strangers do to a live mesh changes nothing for a good peer."""

import contextlib
import dataclasses
import os
import secrets
import socket
import struct
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamEOF, StreamError, StreamReset
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlGraft, ControlIHave, ControlIWant, ControlMessage, Message
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr

from peernode.mesh import DialFailed, FrameTimeout, StreamClosed
from peernode.mesh.gossip import topic_of
from peernode.mesh.sync_messages import Record, encode_records
from peernode.wire.advert import sign_advert
from peernode.wire.identity import Identity
from tests.mesh.conftest import NETWORK

ASK = "/peernode/test-ask/1"
# What a client sends first, so that the server's side begins: multistream's and the protocol's names.
OPENING = b"".join(encode_uvarint(len(line)) + line for line in (b"/multistream/1.0.0\n", ASK.encode() + b"\n"))


async def answer(stream):
    question = await stream.receive(30)
    await stream.send(b"answer to " + question)


@pytest.fixture
def under_attack(start_node):
    """Runs an attack against one live mesh, and then lets a good peer, connected before, and a new one ask."""

    async def check(client, server):
        async with client.mesh.open(server.peer_id, ASK, timeout_s=30) as stream:
            await stream.send(b"?")
            assert await stream.receive(30) == b"answer to ?"

    async def knock_until_heard(client, server):
        """It comes from the attacker's address, so it shares the attacker's limit until that one's handshakes end.

        A stranger is not told when that is: it can only try again.
        """
        while True:
            try:
                return await check(client, server)
            except DialFailed:
                await trio.sleep(0.1)

    async def run(attack, handler=answer):
        with trio.fail_after(60):
            async with start_node(handlers={ASK: handler}) as victim, start_node(join=victim.mesh.addresses()) as good:
                await check(good, victim)
                await attack(victim)
                await check(good, victim)
                async with start_node(join=victim.mesh.addresses()) as newcomer:
                    await knock_until_heard(newcomer, victim)

    return run


async def _connect(victim):
    port = int(victim.mesh.addresses()[0].split("/")[4])
    return await trio.open_tcp_stream("127.0.0.1", port)


@pytest.mark.parametrize(
    "noise",
    [b"\x00" * 5000, b"\xff" * 5000, b"GET / HTTP/1.1\r\n\r\n", b"\x13/multistream/1.0.0\n" + b"\xfe" * 5000],
    ids=["zeros", "ones", "http", "multistream-then-garbage"],
)
async def test_garbage_on_the_port(under_attack, noise):
    async def attack(victim):
        for _ in range(5):
            async with await _connect(victim) as stream:
                await stream.send_all(noise)

    await under_attack(attack)


async def test_garbage_after_the_noise_handshake(under_attack, start_host):
    async def attack(victim):
        for garbage in (
            b"\xff" * 64,
            struct.pack("!BBHII", 0, 9, 0, 1, 5),
            struct.pack("!BBHII", 0, 0, 0, 1, 2**32 - 1),
        ):
            async with start_host() as attacker:
                await attacker.connect(info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0])))
                ((connection,),) = attacker.get_network().connections.values()
                await connection.muxed_conn.secured_conn.write(garbage)
                # Some garbage is refused by closing, some is skipped; either way the others are not to notice.
                with trio.move_on_after(0.5):
                    await connection.muxed_conn.event_closed.wait()

    await under_attack(attack)


async def test_peers_that_stop_or_reset_in_the_middle_of_a_frame(under_attack, start_host):
    ended = []
    both = trio.Event()

    async def handler(stream):
        try:
            question = await stream.receive(0.5)
        except (FrameTimeout, StreamClosed) as error:
            ended.append(type(error))
            if set(ended) == {FrameTimeout, StreamClosed}:
                both.set()
            raise
        await stream.send(b"answer to " + question)

    async def attack(victim):
        async with start_host() as attacker:
            info = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
            await attacker.connect(info)
            stops = await attacker.new_stream(info.peer_id, [TProtocol(ASK)])
            await stops.write(b"\x00\x00\x10\x00only the beginning")
            resets = await attacker.new_stream(info.peer_id, [TProtocol(ASK)])
            await resets.write(b"\x00\x00\x10\x00only the beginning")
            await resets.reset()
            giant = await attacker.new_stream(info.peer_id, [TProtocol(ASK)])
            await giant.write(b"\xff\xff\xff\xff")
            await both.wait()

    await under_attack(attack, handler)


async def test_a_handler_with_a_bug_costs_only_its_own_conversation(under_attack, start_node):
    async def handler(stream):
        question = await stream.receive(30)
        if question == b"bug":
            raise ZeroDivisionError
        await stream.send(b"answer to " + question)

    async def attack(victim):
        async with (
            start_node(join=victim.mesh.addresses()) as peer,
            peer.mesh.open(victim.peer_id, ASK, timeout_s=30) as stream,
        ):
            await stream.send(b"bug")
            with pytest.raises(StreamClosed):
                await stream.receive(30)

    await under_attack(attack, handler)


@pytest.mark.real
async def test_five_hundred_connections_opened_and_dropped(under_attack):
    async def attack(victim):
        limit = trio.CapacityLimiter(50)

        async def open_and_drop(number):
            async with limit, await _connect(victim) as stream:
                if number % 2:
                    await stream.send_all(b"\x13/multistream/1.0.0\n")

        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(open_and_drop, number)

    await under_attack(attack)


async def test_sync_and_gossip_full_of_forgeries_change_nothing(under_attack, start_host):
    stranger = Identity.from_seed(secrets.token_bytes(32))

    async def attack(victim):
        before = set(victim.mesh.directory.snapshot().adverts)
        mine = victim.sign(lease_ms=300_000)
        forged = mine.raw[:-1] + bytes([mine.raw[-1] ^ 1])
        genuine = sign_advert(dataclasses.replace(mine.advert, peer=stranger.peer_id), stranger)

        @asynccontextmanager
        async def opened(protocol):
            async with start_host() as attacker:
                info = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
                await attacker.connect(info)
                yield await attacker.new_stream(info.peer_id, [TProtocol(protocol)])

        async with opened("/peernode/sync/1") as stream:
            for payload in encode_records([Record(0, forged, b"")] * 10 + [Record(0, genuine.raw, b"")]):
                await stream.write(struct.pack(">I", len(payload)) + payload)
            while stranger.peer_id not in victim.mesh.directory.snapshot().adverts:  # read after all the forgeries
                await victim.mesh.directory.wait_change(victim.mesh.directory.version)
        for payload in (b"\x91" * 5000, b""):
            async with opened("/peernode/sync/1") as stream:
                await stream.write(struct.pack(">I", len(payload)) + payload)
                with pytest.raises((StreamReset, StreamEOF)):
                    while True:
                        await stream.read(65536)
        async with opened("/meshsub/1.1.0") as gossip:
            await gossip.write(b"\x28" + b"\xff" * 40)
            await trio.sleep(0.1)  # what is skipped leaves no trace to wait for
        assert set(victim.mesh.directory.snapshot().adverts) == before | {stranger.peer_id}

    await under_attack(attack)


@asynccontextmanager
async def _attacking(start_host, victim, protocol):
    """A stream from a fresh attacker, and the muxed connection under it."""
    async with start_host() as attacker:
        info = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
        await attacker.connect(info)
        stream = await attacker.new_stream(info.peer_id, [TProtocol(protocol)])
        yield attacker, stream


ODD_RPCS = {
    "announces two gigabytes": b"\xff\xff\xff\xff\x07" + bytes(1000),
    "over a mebibyte": encode_uvarint((1 << 20) + 1) + bytes((1 << 20) + 1),
    "control ids of other kinds": RPC(
        control=ControlMessage(
            ihave=[ControlIHave(topicID="x", messageIDs=[b"\x00" * 500] * 200)],
            iwant=[ControlIWant(messageIDs=[b"nonsense"] * 1000)],
            graft=[ControlGraft(topicID="no such topic")] * 500,
        )
    ),
    "a bad signed record": RPC(senderRecord=b"\xff" * 300),
    "a message from nobody": RPC(publish=[Message(data=b"x", topicIDs=[topic_of(NETWORK)])]),
    "a key that cannot be read": RPC(
        publish=[Message(from_id=b"\x12\x20" + bytes(32), key=b"\xff" * 40, topicIDs=[topic_of(NETWORK)])]
    ),
    "five thousand subscriptions": RPC(
        subscriptions=[RPC.SubOpts(subscribe=True, topicid=f"topic {number}") for number in range(5000)]
    ),
}


@pytest.mark.parametrize("rpc", ODD_RPCS.values(), ids=ODD_RPCS.keys())
async def test_gossip_that_is_odd_in_every_way(under_attack, start_host, rpc):
    if isinstance(rpc, RPC):
        raw = rpc.SerializeToString()
        rpc = encode_uvarint(len(raw)) + raw

    async def attack(victim):
        for _ in range(3):
            async with _attacking(start_host, victim, "/meshsub/1.1.0") as (_, stream):
                with contextlib.suppress(StreamError, MuxedStreamError):  # refused while it is being sent
                    await stream.write(rpc)
                await trio.sleep(0.1)  # what is skipped leaves no trace to wait for

    await under_attack(attack)


async def test_connections_reset_in_the_middle_of_a_stream(under_attack, start_host):
    async def attack(victim):
        for _ in range(5):
            async with _attacking(start_host, victim, ASK) as (attacker, stream):
                await stream.write(b"\x00\x00\x10\x00only the beginning")
                ((connection,),) = attacker.get_network().connections.values()
                sock = connection.muxed_conn.secured_conn.conn.read_writer.read_write_closer.stream.stream.socket
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    await under_attack(attack)


async def test_streams_without_end_are_bounded_and_their_opener_is_banned_and_shown(under_attack, start_host):
    conversing, most = 0, 0

    async def handler(stream):
        nonlocal conversing, most
        conversing += 1
        most = max(most, conversing)
        try:
            question = await stream.receive(30)
            await stream.send(b"answer to " + question)
        finally:
            conversing -= 1

    async def attack(victim):
        async with _attacking(start_host, victim, ASK) as (attacker, _):
            ((connection,),) = attacker.get_network().connections.values()
            with contextlib.suppress(BaseLibp2pError):
                for number in range(1000):
                    header = struct.pack("!BBHII", 0, TYPE_DATA, FLAG_SYN, 10_001 + 2 * number, len(OPENING))
                    await connection.muxed_conn._write_frame(header + OPENING)
            await connection.muxed_conn.event_closed.wait()
            (ban,) = victim.mesh.bans()
            assert ban.peer_id == str(attacker.get_id())
            assert "streams" in ban.reason
            assert 0 < most <= 128

    await under_attack(attack, handler)


@pytest.mark.real
async def test_forty_good_connections_one_after_another_leave_nothing_behind(under_attack, start_host):
    async def attack(victim):
        def living():
            return trio.lowlevel.current_statistics().tasks_living

        async def once():
            async with _attacking(start_host, victim, ASK) as (_, stream):
                await stream.write(b"\x00\x00\x00\x01?")
                assert await stream.read(64) == b"\x00\x00\x00\x0banswer to ?"

        await once()
        before = len(os.listdir("/proc/self/fd")), living()  # noqa: PTH208
        for _ in range(40):
            await once()
        with trio.fail_after(60):
            while (len(os.listdir("/proc/self/fd")), living()) > (before[0], before[1] + 8):  # noqa: PTH208
                await trio.sleep(0.05)

    await under_attack(attack)
