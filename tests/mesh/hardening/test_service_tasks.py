"""Nothing a peer sends, and no failing task of a service, ends the service."""

import hashlib

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import Service, background_trio_service
from libp2p.utils.varint import encode_varint_prefixed

MESHSUB = "/meshsub/1.1.0"
TOPIC = "t"


async def _survives(start_host, dial, open_stream, payload, validator=lambda forwarder, message: True):
    async with start_host() as server, start_host() as attacker:
        router = GossipSub(protocols=[TProtocol(MESHSUB)], degree=6, degree_low=4, degree_high=12)
        pubsub = Pubsub(server, router, strict_signing=True)
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            subscription = await pubsub.subscribe(TOPIC)
            pubsub.set_topic_validator(TOPIC, validator, False)
            await dial(attacker, server)
            stream = await open_stream(attacker, server, MESHSUB)
            await stream.write(encode_varint_prefixed(payload))
            await trio.sleep(0.3)  # the attack leaves no trace to wait for when it fails
            pubsub.set_topic_validator(TOPIC, lambda forwarder, message: True, False)
            await pubsub.publish(TOPIC, b"alive")
            return (await subscription.get()).data == b"alive" and pubsub.manager.is_running


async def test_a_message_with_an_unparsable_key_kills_nothing(start_host, dial, open_stream):
    key = b"\x08\x7f\x12\x03abc"
    sender = b"\x12\x20" + hashlib.sha256(key).digest()
    message = rpc_pb2.Message(data=b"x", topicIDs=[TOPIC], from_id=sender, seqno=b"1", key=key, signature=b"s")
    with trio.fail_after(60):
        rpc = rpc_pb2.RPC(publish=[message]).SerializeToString()
        assert await _survives(start_host, dial, open_stream, rpc)


async def test_a_validator_that_raises_kills_nothing(start_host, dial, open_stream):
    def faulty(forwarder, message):
        raise RuntimeError("a bug in a validator")

    author = create_new_key_pair()
    message = rpc_pb2.Message(
        data=b"x", topicIDs=[TOPIC], from_id=ID.from_pubkey(author.public_key).to_bytes(), seqno=b"1"
    )
    message.signature = author.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
    message.key = author.public_key.serialize()
    with trio.fail_after(60):
        rpc = rpc_pb2.RPC(publish=[message]).SerializeToString()
        assert await _survives(start_host, dial, open_stream, rpc, faulty)


async def test_a_failing_daemon_task_is_started_again(monkeypatch):
    monkeypatch.setattr("peernode.mesh.hardening.service_tasks.RESTART_PAUSE_S", 0.01)
    second_life = trio.Event()

    class Heart(Service):
        lives = 0

        async def beat(self):
            self.lives += 1
            if self.lives == 1:
                raise RuntimeError("missed a beat")
            second_life.set()
            await trio.sleep_forever()

        async def run(self):
            self.manager.run_daemon_task(self.beat)
            await self.manager.wait_finished()

    async with background_trio_service(Heart()):
        with trio.fail_after(60):
            await second_life.wait()
