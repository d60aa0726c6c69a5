"""A private network is private: by its key, by its list of peers, or both."""

import pytest
import trio

from peernode.mesh import DialFailed, PeerNotAllowed
from peernode.mesh.hardening import inbound_slots
from peernode.mesh.settings import MeshSettings
from peernode.wire.identity import Identity
from tests.mesh.conftest import LOOPBACK

ASK = "/peernode/test-ask/1"
SEEDS = {name: bytes([number]) * 32 for number, name in enumerate("abc", start=1)}
IDS = {name: Identity.from_seed(seed).peer_id for name, seed in SEEDS.items()}
WITH_KEY = MeshSettings(shared_key=bytes(range(32)))


async def answer(stream):
    await stream.send(b"answer to " + await stream.receive(30))


async def ask(node, other):
    async with node.mesh.open(other.peer_id, ASK, timeout_s=30) as stream:
        await stream.send(b"?")
        return await stream.receive(30)


async def test_members_with_the_key_converse_and_learn_of_each_other(start_node):
    with trio.fail_after(60):
        async with (
            start_node(handlers={ASK: answer}, settings=WITH_KEY) as first,
            start_node(join=first.mesh.addresses(), settings=WITH_KEY) as second,
        ):
            assert await ask(second, first) == b"answer to ?"
            await first.advertise()
            await second.advertise()
            await first.sees(second)
            await second.sees(first)


@pytest.mark.parametrize("other", [MeshSettings(), MeshSettings(shared_key=bytes(32))], ids=["no key", "another key"])
async def test_a_node_without_the_key_gets_nothing(start_node, other, monkeypatch):
    monkeypatch.setattr(inbound_slots, "HANDSHAKE_DEADLINE_S", 0.3)  # each waits for what the other does not say
    with trio.fail_after(60):
        async with (
            start_node(handlers={ASK: answer}, settings=WITH_KEY) as member,
            start_node(join=member.mesh.addresses(), settings=other) as outsider,
        ):
            await member.advertise()
            with pytest.raises(DialFailed):
                await ask(outsider, member)
            assert (member.mesh.peers(), outsider.mesh.peers()) == ([], [])
            assert not outsider.mesh.directory.snapshot().adverts


async def test_a_node_outside_the_list_gets_nothing_and_those_in_it_converse(start_node):
    members = MeshSettings(allow_peers=frozenset((IDS["a"], IDS["b"])))
    with trio.fail_after(60):
        async with (
            start_node(handlers={ASK: answer}, settings=members, seed=SEEDS["a"]) as server,
            start_node(join=server.mesh.addresses(), settings=members, seed=SEEDS["b"]) as member,
            start_node(join=server.mesh.addresses(), seed=SEEDS["c"], handlers={ASK: answer}) as outsider,
        ):
            await server.advertise()
            assert await ask(member, server) == b"answer to ?"
            with pytest.raises(DialFailed):
                await ask(outsider, server)
            with pytest.raises(DialFailed):
                await ask(server, outsider)
            assert [peer.peer_id for peer in server.mesh.peers()] == [IDS["b"]]
            assert IDS["a"] not in outsider.mesh.directory.snapshot().adverts


async def test_to_join_a_peer_outside_the_list_is_a_mistake_that_is_told(start_node):
    with pytest.raises(PeerNotAllowed) as refused:
        async with start_node(
            join=[f"{LOOPBACK.replace('/0', '/4001')}/p2p/{IDS['c']}"],
            settings=MeshSettings(allow_peers=frozenset((IDS["a"],))),
        ):
            pass
    assert refused.value.code == "peer_not_allowed"
    assert IDS["c"] in refused.value.cause
    assert "allow_peers" in refused.value.remedy
