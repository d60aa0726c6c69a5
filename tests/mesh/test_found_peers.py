"""Hints of discovery are believed for a while, and never in any number."""

import trio
import trio.testing

from peernode.mesh.addresses import MAX_READ
from peernode.mesh.found_peers import MAX_PEERS, FoundPeers
from peernode.wire.identity import Identity

PEERS = [Identity.from_seed(number.to_bytes(32, "big")).peer_id for number in range(MAX_PEERS + 1)]


async def test_a_hint_ends_and_can_be_renewed(autojump_clock):
    found = FoundPeers()
    assert found.add(PEERS[0], ["/ip4/192.168.1.2/tcp/4001"], for_s=60)
    await trio.sleep(59)
    assert found.peers() == [PEERS[0]]
    found.add(PEERS[0], ["/ip4/192.168.1.2/tcp/4001"], for_s=60)
    await trio.sleep(59)
    assert found.addresses(PEERS[0]) == ("/ip4/192.168.1.2/tcp/4001",)
    await trio.sleep(1)
    assert found.addresses(PEERS[0]) == ()
    assert found.peers() == []


async def test_only_what_is_new_wakes_whoever_waits(autojump_clock):
    found = FoundPeers()
    woken = []

    async def wait():
        while True:
            await found.wait_change()
            woken.append(found.peers())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            found.add(PEERS[0], ["/ip4/192.168.1.2/tcp/4001"], for_s=60)
        await trio.testing.wait_all_tasks_blocked()
        found.add(PEERS[0], ["/ip4/192.168.1.3/tcp/4001"], for_s=60)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(woken) == 2


async def test_nonsense_is_no_peer_and_floods_are_bounded():
    found = FoundPeers()
    for nonsense in ("", "12D3KooNobody", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "x" * 10_000):
        assert not found.add(nonsense, ["/ip4/192.168.1.2/tcp/4001"], for_s=60)
    for peer in PEERS:
        found.add(peer, (f"/ip4/192.168.1.2/tcp/{port}" for port in range(1, 10_000)), for_s=60)
    assert len(found.peers()) == MAX_PEERS
    assert PEERS[0] not in found.peers()
    assert len(found.addresses(PEERS[-1])) == MAX_READ
