"""Who brings bad signatures, broken RPCs or floods is blamed and shut out, at a bounded price."""

import time
from collections import Counter

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.peer.id import ID
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlIHave, ControlMessage, Message
from libp2p.utils.varint import encode_uvarint

from peernode.mesh.dialing import dial
from peernode.mesh.directory import Directory
from peernode.mesh.gossip import MESHSUB, Gossip, topic_of
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity

NETWORK = "test"
FORGED = {
    "wrong signature": {"signature": b"\x01" * 64},
    "no signature": {},
    "a key that cannot be read": {"from_id": b"\x12\x20" + bytes(32), "key": b"\xff" * 40, "signature": b"x"},
}


@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED.keys())
async def test_who_brings_bad_signatures_is_shut_out(start_host, nursery, fields):
    reports = []
    told = trio.Event()

    def report(peer_id, reason, weight):
        reports.append((peer_id, reason, weight))
        told.set()

    async with start_host() as victim, start_host() as attacker:
        directory = Directory(network="test", clock_ms=lambda: time.time_ns() // 1_000_000)
        gossip = Gossip(victim, network="test", directory=directory, report=report)
        await nursery.start(gossip.run)
        await dial(attacker, str(victim.get_id()), str(victim.get_transport_addrs()[0]))
        stream = await attacker.new_stream(victim.get_id(), list(MESHSUB))
        verified = 0
        accept = gossip.scores.blame

        def counting(*args):
            nonlocal verified
            verified += 1
            accept(*args)

        gossip.scores.blame = counting
        sender = {"from_id": attacker.get_id().to_bytes(), **fields}
        messages = [
            Message(data=b"x", seqno=number.to_bytes(8, "big"), topicIDs=[topic_of("test")], **sender)
            for number in range(1000)
        ]
        raw = RPC(publish=messages).SerializeToString()
        with trio.fail_after(60):
            await stream.write(encode_uvarint(len(raw)) + raw)
            await told.wait()
        assert reports == [(str(attacker.get_id()), "gossip: bad signature", 1.0)]
        assert gossip.scores.graylisted() == [str(attacker.get_id())]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert verified < 50  # a thousand in one RPC: the rest was dropped unread


async def test_who_keeps_sending_what_is_no_rpc_is_shut_out(start_host, nursery):
    told = trio.Event()
    reports = []

    def report(peer_id, reason, weight):
        reports.append((peer_id, reason, weight))
        told.set()

    async with start_host() as victim, start_host() as attacker:
        gossip = Gossip(victim, network="test", directory=Directory(network="test", clock_ms=lambda: 0), report=report)
        await nursery.start(gossip.run)
        await dial(attacker, str(victim.get_id()), str(victim.get_transport_addrs()[0]))
        with trio.fail_after(60):
            while not told.is_set():
                stream = await attacker.new_stream(victim.get_id(), list(MESHSUB))
                await stream.write(b"\x05\xff\xff\xff\xff\xff")
                with pytest.raises((StreamEOF, StreamReset)):  # each costs the stream
                    while True:
                        await stream.read(1024)
    assert reports == [(str(attacker.get_id()), "gossip: broken RPC", 1.0)]


async def test_floods_of_control_messages_shut_out_too(start_host, nursery):
    told = trio.Event()

    async with start_host() as victim, start_host() as attacker:
        directory = Directory(network="test", clock_ms=lambda: 0)
        gossip = Gossip(victim, network="test", directory=directory, report=lambda *_: told.set())
        await nursery.start(gossip.run)
        await dial(attacker, str(victim.get_id()), str(victim.get_transport_addrs()[0]))
        stream = await attacker.new_stream(victim.get_id(), list(MESHSUB))
        ihave = ControlIHave(topicID=topic_of("test"), messageIDs=[b"no such message"])
        raw = RPC(control=ControlMessage(ihave=[ihave])).SerializeToString()
        with trio.fail_after(60):
            for _ in range(200):
                await stream.write(encode_uvarint(len(raw)) + raw)
            await told.wait()
        assert gossip.scores.graylisted() == [str(attacker.get_id())]


async def test_a_forwarder_of_ever_new_originators_has_a_budget(start_host, nursery):
    """Valid adverts, each of a newcomer: nobody's fault, so nobody is shut out, but few are verified."""
    limited = Counter()
    async with start_host() as victim, start_host() as attacker:
        directory = Directory(network=NETWORK, clock_ms=lambda: time.time_ns() // 1_000_000)
        gossip = Gossip(victim, network=NETWORK, directory=directory, limited=lambda reason: limited.update([reason]))
        await nursery.start(gossip.run)
        await dial(attacker, str(victim.get_id()), str(victim.get_transport_addrs()[0]))
        stream = await attacker.new_stream(victim.get_id(), list(MESHSUB))
        messages = [newcomer(number) for number in range(300)]
        raw = RPC(publish=messages).SerializeToString()
        with trio.fail_after(60):
            await stream.write(encode_uvarint(len(raw)) + raw)
            while len(directory.snapshot().adverts) + limited["gossip too fast"] < 300:
                await trio.sleep(0.02)
        assert 100 <= len(directory.snapshot().adverts) < 150
        assert gossip.scores.graylisted() == []


def newcomer(number):
    identity = Identity.from_seed(number.to_bytes(32, "big"))
    keys = create_new_key_pair(number.to_bytes(32, "big"))
    now_ms = time.time_ns() // 1_000_000
    advert = Advert(NETWORK, identity.peer_id, now_ms, now_ms, 60_000, (), "0", 1, 1, 0)
    message = Message(
        from_id=ID.from_pubkey(keys.public_key).to_bytes(),
        data=sign_advert(advert, identity).raw,
        seqno=bytes(8),
        topicIDs=[topic_of(NETWORK)],
    )
    message.signature = keys.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
    return message
