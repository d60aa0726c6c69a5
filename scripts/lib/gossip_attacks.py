"""Attacks by gossip and sync, each going on until it is stopped."""

import random
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import replace

from attack_tools import as_peers, bound
from gossip_mutations import MESHSUB, Forger
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlGraft, ControlIHave, ControlIWant, ControlMessage, Message
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.utils.varint import encode_uvarint
from vector_values import ADVERT, PROVIDER

from peernode.mesh.gossip import topic_of
from peernode.mesh.sync_messages import Record, encode_records
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity

NETWORK = "test"
SYNC = TProtocol("/peernode/sync/1")


def _forger() -> Forger:
    now_ms = time.time_ns() // 1_000_000
    advert = replace(ADVERT, network=NETWORK, issued_ms=now_ms, seq=now_ms, lease_ms=60_000)
    return Forger(topic_of(NETWORK), sign_advert(advert, PROVIDER).raw, random.Random(1))


async def _rpcs(address: str, make: Callable[[BasicHost], bytes]) -> None:
    async def conduct(host: BasicHost, muxed: Yamux) -> None:
        while True:
            stream: INetStream = await host.new_stream(muxed.peer_id, [TProtocol(MESHSUB)])
            try:
                while True:
                    await bound.turn()
                    rpc = make(host)
                    await stream.write(encode_uvarint(len(rpc)) + rpc)
            except Exception:
                if muxed.is_closed:
                    raise

    await as_peers(address, conduct)


async def gossip(address: str) -> None:
    """Signed messages of forged adverts, each by an originator never heard of."""
    forger = _forger()
    await _rpcs(address, lambda _: forger.rpc()[1])


async def signatures(address: str) -> None:
    """Messages with wrong signatures, a hundred in each RPC."""

    def make(host: BasicHost) -> bytes:
        fields = {"from_id": host.get_id().to_bytes(), "topicIDs": [topic_of(NETWORK)], "signature": bytes(64)}
        messages = [Message(data=b"x", seqno=secrets.token_bytes(8), **fields) for _ in range(100)]
        return bytes(RPC(publish=messages).SerializeToString())

    await _rpcs(address, make)


async def broken(address: str) -> None:
    """Bytes that are no RPC, on one stream after the other."""
    await _rpcs(address, lambda _: b"\xff" * 100)


async def control(address: str) -> None:
    """IHAVE, IWANT and GRAFT without end."""
    topic = topic_of(NETWORK)
    ids = [secrets.token_hex(24).encode() for _ in range(200)]
    words = ControlMessage(
        ihave=[ControlIHave(topicID=topic, messageIDs=ids)],
        iwant=[ControlIWant(messageIDs=ids)],
        graft=[ControlGraft(topicID=topic)],
    )
    rpc = bytes(RPC(control=words).SerializeToString())
    await _rpcs(address, lambda _: rpc)


async def sybils(address: str) -> None:
    """Valid adverts, each of a newcomer that does not exist."""

    def make(_: BasicHost) -> bytes:
        seed, now_ms = secrets.token_bytes(32), time.time_ns() // 1_000_000
        identity, keys = Identity.from_seed(seed), create_new_key_pair(seed)
        advert = Advert(NETWORK, identity.peer_id, now_ms, now_ms, 5_000, (), "0", 1, 1, 0)
        message = Message(
            from_id=ID.from_pubkey(keys.public_key).to_bytes(),
            data=sign_advert(advert, identity).raw,
            seqno=secrets.token_bytes(8),
            topicIDs=[topic_of(NETWORK)],
        )
        message.signature = keys.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
        return bytes(RPC(publish=[message]).SerializeToString())

    await _rpcs(address, make)


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


async def records(address: str) -> None:
    """Sync records that are not genuine."""
    now_ms = time.time_ns() // 1_000_000
    raw = sign_advert(replace(ADVERT, network=NETWORK, issued_ms=now_ms, seq=now_ms, lease_ms=60_000), PROVIDER).raw
    forged = raw[:-1] + bytes([raw[-1] ^ 1])

    async def conduct(host: BasicHost, muxed: Yamux) -> None:
        stream: INetStream = await host.new_stream(muxed.peer_id, [SYNC])
        while True:
            await bound.turn()
            await stream.write(b"".join(map(frame, encode_records([Record(0, forged, b"")] * 10))))

    await as_peers(address, conduct)
