"""A node's own word: stated once, renewed after that, and stated anew when its lease ended while it slept."""

from __future__ import annotations

import trio
import trio.testing

from peernode.market.advertising import LEASE_MS, Advertiser
from peernode.market.models import OwnModels
from peernode.mesh.directory import Directory
from peernode.wire.identity import Identity

OWN = Identity.from_seed(bytes(range(32)))


class Mesh:
    """What an advertiser sees of one, with a real directory."""

    def __init__(self, clock_ms):
        self.directory = Directory(network="test", clock_ms=clock_ms, own=OWN.peer_id)
        self.said = []

    def addresses(self):
        return ["/ip4/127.0.0.1/tcp/4701"]

    async def publish(self, signed):
        self.said.append("advert")
        self.directory.offer(signed)

    def renew(self, renewal):
        self.said.append("renewal")
        self.directory.renew(renewal)


async def test_a_node_that_slept_through_its_lease_states_its_advert_anew(mock_clock, nursery):
    mock_clock.autojump_threshold = 0

    def clock_ms():
        return 1_700_000_000_000 + int(trio.current_time() * 1000)

    mesh = Mesh(clock_ms)
    nursery.start_soon(mesh.directory.run)
    advertiser = Advertiser(
        identity=OWN,
        network="test",
        mesh=mesh,
        models=OwnModels(()),
        changed=trio.sleep_forever,
        clock_ms=clock_ms,
    )
    with trio.CancelScope() as awake:
        async with trio.open_nursery() as first:
            first.start_soon(advertiser.run)
            await trio.sleep(12)
            assert mesh.said[:2] == ["advert", "renewal"]
            assert "advert" not in mesh.said[1:]
            awake.cancel()
    await trio.sleep(LEASE_MS / 1000 + 1)  # asleep
    assert OWN.peer_id not in mesh.directory.snapshot().adverts
    mesh.said.clear()
    nursery.start_soon(advertiser.run)
    await trio.sleep(12)
    assert mesh.said[:2] == ["advert", "renewal"]
    assert OWN.peer_id in mesh.directory.snapshot().adverts
    nursery.cancel_scope.cancel()
