"""Who brings messages with bad signatures is blamed for them, and shut out; others are still heard."""

import time

import pytest
import trio
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from libp2p.utils.varint import encode_uvarint

from peernode.mesh.dialing import dial
from peernode.mesh.directory import Directory
from peernode.mesh.gossip import MESHSUB, Gossip, topic_of

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
        with trio.fail_after(20):
            await stream.write(encode_uvarint(len(raw)) + raw)
            await told.wait()
        assert reports == [(str(attacker.get_id()), "gossip: bad signature", 1.0)]
        assert gossip.scores.graylisted() == [str(attacker.get_id())]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert verified < 50  # a thousand in one RPC: the rest was dropped unread
