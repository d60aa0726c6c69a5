"""A burst of messages waits for its subscriber."""

import trio
from libp2p.custom_types import TProtocol
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

BURST = 200


async def test_a_burst_is_not_dropped_while_the_subscriber_is_busy(start_host):
    async with start_host() as host:
        router = GossipSub(protocols=[TProtocol("/meshsub/1.1.0")], degree=6, degree_low=4, degree_high=12)
        pubsub = Pubsub(host, router, strict_signing=True)
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            subscription = await pubsub.subscribe("t")
            for number in range(BURST):
                await pubsub.publish("t", str(number).encode())
            with trio.fail_after(60):
                received = [int((await subscription.get()).data) for _ in range(BURST)]
            assert received == list(range(BURST))
