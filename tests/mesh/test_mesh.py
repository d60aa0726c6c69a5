"""Nodes find each other, tell each other what they have, and notice who left: real meshes on loopback."""

import secrets

import pytest
import trio

from peernode.mesh import DialFailed, ListenFailed, StreamClosed
from tests.mesh.conftest import LEASE_MS

ASK = "/peernode/test-ask/1"


async def answer(stream):
    question = await stream.receive(30)
    await stream.send(b"answer to " + question)


async def ask(node, other, question=b"?"):
    async with node.mesh.open(other.peer_id, ASK, timeout_s=30) as stream:
        await stream.send(question)
        return await stream.receive(30)


async def test_peers_converse_and_know_each_other_as_authenticated(start_node):
    asked_by = []

    async def note(stream):
        asked_by.append(stream.peer_id)
        await answer(stream)

    with trio.fail_after(60):
        async with start_node(handlers={ASK: note}) as server, start_node(join=server.mesh.addresses()) as client:
            assert await ask(client, server) == b"answer to ?"
            assert asked_by == [client.peer_id]
            (status,) = client.mesh.peers()
            assert (status.peer_id, status.direction) == (server.peer_id, "outbound")
            assert status.address in server.mesh.addresses()[0]


async def test_a_late_joiner_learns_of_all_and_all_of_it(start_node):
    with trio.fail_after(60):
        async with (
            start_node() as first,
            start_node(join=first.mesh.addresses()) as second,
        ):
            await first.advertise(model="a")
            await second.advertise(model="b")
            await first.sees(second)
            await second.sees(first)
            async with start_node(join=first.mesh.addresses()) as late:
                snapshot = await late.sees(first, second)
                assert set(snapshot.models()) == {"a", "b"}
                await late.advertise(model="c")
                assert (await second.sees(late)).for_model("c")[0].peer == late.peer_id


async def test_a_departure_is_seen_at_once(start_node):
    with trio.fail_after(60):
        async with start_node() as stays, start_node(join=stays.mesh.addresses()) as leaves:
            await leaves.advertise(lease_ms=300_000)
            await stays.sees(leaves)
            await leaves.advertise(lease_ms=0)
            await stays.sees(not_=[leaves])
            assert stays.mesh.directory.departed(leaves.peer_id)  # by its own word, not for want of one


async def test_whoever_departs_may_go_at_once_and_is_heard_without_gossip(start_node, monkeypatch):
    async def lost(self, raw):
        pass

    with trio.fail_after(60):
        async with start_node() as stays, start_node(join=stays.mesh.addresses()) as leaves:
            await leaves.advertise(lease_ms=300_000)
            await stays.sees(leaves)
            monkeypatch.setattr("peernode.mesh.gossip.Gossip.publish", lost)
            await leaves.advertise(lease_ms=0)
            assert stays.mesh.directory.departed(leaves.peer_id)  # already when the word counts as published


@pytest.mark.real
async def test_a_killed_node_is_gone_within_its_lease_and_may_come_back(start_node):
    seed = secrets.token_bytes(32)
    with trio.fail_after(60):
        async with start_node() as first, start_node(join=first.mesh.addresses()) as second:
            async with (
                start_node(join=first.mesh.addresses(), seed=seed) as victim,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(victim.keep_advertising)
                await first.sees(victim)
                await second.sees(victim)
                first_lease_ends = victim.mesh.directory.latest_seq(victim.peer_id) + LEASE_MS
                while second.mesh.directory.latest_seq(victim.peer_id) <= first_lease_ends:
                    # Longer than one lease, and never out of sight: the renewals carry it.
                    snapshot = await second.mesh.directory.wait_word(second.mesh.directory.version)
                    assert victim.peer_id in snapshot.adverts
                nursery.cancel_scope.cancel()
            await first.sees(not_=[victim])
            await second.sees(not_=[victim])
            async with (
                start_node(join=first.mesh.addresses(), seed=seed) as again,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(again.keep_advertising)
                await first.sees(again)
                await second.sees(again)
                nursery.cancel_scope.cancel()


async def test_a_peer_that_cannot_be_reached_is_hidden_until_it_speaks_again(start_node):
    with trio.fail_after(60):
        async with start_node() as node:
            async with start_node(join=node.mesh.addresses()) as dead:
                await dead.advertise(lease_ms=60_000)
                await node.sees(dead)
            with pytest.raises(DialFailed) as refused:
                await ask(node, dead)
            assert refused.value.code == "dial_failed"
            assert dead.peer_id not in node.mesh.directory.snapshot().adverts


async def test_an_unknown_protocol_is_a_failed_dial_but_no_reason_to_hide_the_peer(start_node):
    with trio.fail_after(60):
        async with start_node() as server, start_node(join=server.mesh.addresses()) as client:
            await server.advertise()
            await client.sees(server)
            with pytest.raises(DialFailed):
                await ask(client, server)
            assert server.peer_id in client.mesh.directory.snapshot().adverts


async def test_a_lost_connection_is_dialled_again(start_node):
    with trio.fail_after(60):
        seed = secrets.token_bytes(32)
        async with start_node(seed=seed) as server:
            addresses = server.mesh.addresses()
            port = addresses[0].split("/")[4]
        async with start_node(join=addresses) as client:  # starting does not wait for the dead
            assert client.mesh.peers() == []
            async with start_node(seed=seed, listen=(f"/ip4/127.0.0.1/tcp/{port}",)) as server:
                await server.advertise()
                await client.sees(server)
                assert client.mesh.peers()[0].peer_id == server.peer_id


async def test_a_port_in_use_is_told_as_such(start_node):
    with trio.fail_after(60):
        with pytest.raises(ExceptionGroup) as refused:
            async with start_node(listen=("/ip4/203.0.113.1/tcp/4001",)):
                pass
        assert refused.group_contains(ListenFailed)


async def test_a_wildcard_listener_advertises_real_addresses(start_node):
    with trio.fail_after(60):
        async with start_node(listen=("/ip4/0.0.0.0/tcp/0",)) as node:
            assert node.mesh.addresses()
            for address in node.mesh.addresses():
                assert "/0.0.0.0/" not in address
                assert "/tcp/0/" not in address
                assert address.endswith(node.peer_id)


async def test_ipv6_works_like_ipv4(start_node):
    with trio.fail_after(60):
        async with (
            start_node(handlers={ASK: answer}, listen=("/ip6/::1/tcp/0",)) as server,
            start_node(join=server.mesh.addresses()) as client,
        ):
            assert await ask(client, server) == b"answer to ?"
            assert client.mesh.peers()[0].address.startswith("/ip6/::1/tcp/")


async def test_a_node_dials_a_peer_that_it_only_knows_from_its_advert(start_node):
    with trio.fail_after(60):
        async with (
            start_node() as meeting_point,
            start_node(join=meeting_point.mesh.addresses(), handlers={ASK: answer}) as one,
            start_node(join=meeting_point.mesh.addresses()) as other,
        ):
            await one.advertise()
            await other.sees(one)
            assert await ask(other, one) == b"answer to ?"


async def test_leaving_the_stream_by_an_exception_resets_it(start_node):
    closed = trio.Event()

    async def wait(stream):
        try:
            await stream.receive(30)
        except StreamClosed:
            closed.set()

    with trio.fail_after(60):
        async with start_node(handlers={ASK: wait}) as server, start_node(join=server.mesh.addresses()) as client:
            with pytest.raises(KeyError):
                async with client.mesh.open(server.peer_id, ASK, timeout_s=30):
                    raise KeyError
            await closed.wait()
