"""Nodes with the key of a private network talk to each other; others do not get as far as a handshake."""

import secrets

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.raw_connection import RawConnection
from nacl.bindings import crypto_secretbox

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.hardening import inbound_slots
from peernode.mesh.hardening.private_network import protected
from peernode.mesh.hardening.xsalsa20 import hsalsa20, xsalsa20
from peernode.mesh.settings import MeshSettings

KEY = bytes(range(32))
WITH_KEY = MeshSettings(shared_key=KEY)


def test_the_cipher_is_the_one_of_nacl():
    for size in (0, 1, 64, 1000):
        key, nonce, message = secrets.token_bytes(32), secrets.token_bytes(24), secrets.token_bytes(size)
        boxed = crypto_secretbox(message, nonce, key)[16:]  # without the authenticator
        assert xsalsa20(key, nonce).encrypt(bytes(32) + message)[32:] == boxed


def test_the_key_derivation_matches_the_published_example():
    # "Cryptography in NaCl", section 8: the shared secret and the first key derived from it.
    shared = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    first = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    assert hsalsa20(shared, bytes(16)) == first


def test_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="32 bytes of key"):
        xsalsa20(KEY, bytes(8))
    with pytest.raises(ValueError, match="32 bytes of key"):
        xsalsa20(bytes(16), bytes(24))


async def test_the_wire_begins_with_a_nonce_and_hides_what_follows():
    class Pipe:
        def __init__(self):
            self.sent = bytearray()

        async def write(self, data):
            self.sent += data

        async def read(self, n=None):
            await trio.lowlevel.checkpoint()
            taken = bytes(self.sent[: min(n, 5)])  # in small pieces, as a network may deliver it
            del self.sent[: len(taken)]
            return taken

    pipe = Pipe()
    await protected(RawConnection(pipe, True), KEY).write(b"/multistream/1.0.0")
    assert len(pipe.sent) == 24 + 18
    assert xsalsa20(KEY, bytes(pipe.sent[:24])).decrypt(bytes(pipe.sent[24:])) == b"/multistream/1.0.0"
    reader, received = protected(RawConnection(pipe, False), KEY), b""
    while len(received) < 18:
        received += await reader.read(100)
    assert received == b"/multistream/1.0.0"


async def test_nodes_with_the_key_talk(start_host, echoes):
    with trio.fail_after(60):
        async with start_host(settings=WITH_KEY) as server, start_host(settings=WITH_KEY) as client:
            assert await echoes(client, server)
            assert await echoes(server, client)


@pytest.mark.parametrize("other", [MeshSettings(), MeshSettings(shared_key=bytes(32))], ids=["no key", "another key"])
async def test_a_node_without_the_key_cannot_talk_in_either_direction(start_host, echoes, other, monkeypatch):
    with trio.fail_after(60):
        async with (
            start_host(settings=WITH_KEY) as server,
            start_host(settings=other) as outsider,
            start_host(settings=WITH_KEY) as member,
        ):
            with monkeypatch.context() as patch:
                patch.setattr(inbound_slots, "HANDSHAKE_DEADLINE_S", 0.3)  # each waits for what the other does not say
                for client, target in ((outsider, server), (server, outsider)):
                    with pytest.raises(BaseLibp2pError):
                        await echoes(client, target)
            assert not outsider.get_network().connections
            assert await echoes(member, server)
            await ConnectionWatch(server).wait_until(lambda: set(server.get_network().connections) == {member.get_id()})
