"""Gossip outlives the connection it ran on, if there is another."""

import trio

from peernode.mesh.dialing import dial
from peernode.mesh.directory import Directory
from peernode.mesh.gossip import Gossip


async def test_gossip_moves_to_the_connection_that_is_left(start_host, nursery):
    async with start_host() as one, start_host() as two:
        pubsubs = []
        for host in (one, two):
            gossip = Gossip(host, network="test", directory=Directory(network="test", clock_ms=lambda: 0))
            await nursery.start(gossip.run)
            pubsubs.append((gossip._pubsub, two if host is one else one))

        def carrying():
            """The connections that carry gossip now, seen from either side."""
            streams = [pubsub.peers.get(other.get_id()) for pubsub, other in pubsubs]
            return [stream.swarm_conn for stream in streams if stream is not None and not stream.swarm_conn.is_closed]

        await dial(one, str(two.get_id()), str(two.get_transport_addrs()[0]))
        with trio.fail_after(60):
            while len(carrying()) < 2:
                await trio.sleep(0.02)
        first = carrying()[0]
        await dial(one, str(two.get_id()), str(two.get_transport_addrs()[0]))
        await first.close()
        with trio.fail_after(60):
            while len(carrying()) < 2:
                await trio.sleep(0.02)
        assert first not in carrying()
