"""Mutated pubsub traffic sent to a live node over a real connection: broken RPCs, and signed but forged adverts.

The attacker proves a key of its own, and takes another whenever the node cuts it off. None of it may reach the
node's directory, and the node must still be there at the end.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr
from mutations import Broken, mutate

from peernode.mesh.host import build_host, listening
from peernode.mesh.mesh import Mesh

MESHSUB = "/meshsub/1.1.0"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
CUT_OFF_S = 5.0


@asynccontextmanager
async def _attacker(address: str, seed: bytes) -> AsyncIterator[INetStream]:
    host = build_host(seed, [LOOPBACK])
    async with listening(host, [LOOPBACK]):
        info = info_from_p2p_addr(Multiaddr(address))
        await host.connect(info)
        yield await host.new_stream(info.peer_id, [TProtocol(MESHSUB)])


class Forger:
    """Makes RPCs, signed as pubsub wants them, each by a key that was never heard of and so has news to spend."""

    def __init__(self, topic: str, advert: bytes, rng: random.Random) -> None:
        self._topic, self._advert, self._rng = topic, advert, rng

    def _rpc(self, data: bytes) -> bytes:
        keys = create_new_key_pair(secrets.token_bytes(32))
        by = ID.from_pubkey(keys.public_key).to_bytes()
        message = Message(from_id=by, data=data, seqno=secrets.token_bytes(8), topicIDs=[self._topic])
        message.signature = keys.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
        return bytes(RPC(publish=[message]).SerializeToString())

    def rpc(self) -> tuple[str, bytes]:
        """What it is, and its bytes: a signed message of a mutated advert, or, once in sixty-four, a mutated RPC."""
        if self._rng.randrange(64):
            return "forged advert", self._rpc(mutate(self._rng, self._advert, [self._advert]))
        whole = self._rpc(self._advert)
        return "broken RPC", mutate(self._rng, whole, [whole])


async def attack(victim: Mesh, *, address: str, topic: str, advert: bytes, rounds: int, seed: int) -> Counter[str]:
    """Send ``rounds`` RPCs; how many of each, and how often the attacker was cut off.

    ``advert`` is one that the victim would accept from its originator. Raises ``Broken`` if the directory changed.
    """
    rng, sent = random.Random(seed), Counter[str]()
    before = set(victim.directory.digest())
    while sum(sent.values()) - sent["cut off"] < rounds:
        forger = Forger(topic, advert, rng)
        try:
            async with _attacker(address, secrets.token_bytes(32)) as stream:
                while sum(sent.values()) - sent["cut off"] < rounds:
                    batch = [forger.rpc() for _ in range(16)]
                    with trio.fail_after(CUT_OFF_S):
                        await stream.write(b"".join(encode_uvarint(len(rpc)) + rpc for _, rpc in batch))
                    sent.update(kind for kind, _ in batch)
        except Exception:  # noqa: BLE001 - the victim reset the stream or closed the connection, as it should
            sent["cut off"] += 1
    if set(victim.directory.digest()) != before:
        raise Broken("a forged advert reached the directory by gossip")
    return sent
