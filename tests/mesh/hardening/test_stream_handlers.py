"""A handler's exception costs its own stream and nothing else."""

import trio
from libp2p.custom_types import TProtocol
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

MESHSUB = "/meshsub/1.1.0"
FAULTY = "/peernode/test-faulty/1"


async def test_a_handler_that_raises_leaves_host_and_connection_alive(start_host, dial, open_stream, echoes):
    async def faulty(stream):
        raise ValueError("a bug in a handler")

    with trio.fail_after(60):
        async with start_host({FAULTY: faulty}) as server, start_host() as client:
            connection = await dial(client, server)
            stream = await open_stream(client, server, FAULTY)
            await stream.write(b"x")
            assert await echoes(client, server)
            assert not connection.is_closed


async def test_a_peer_that_resets_under_a_reading_handler_does_not_wedge_the_connection(
    start_host, dial, open_stream, echoes
):
    async def reads_for_ever(stream):
        while True:
            await stream.read(1024)

    with trio.fail_after(60):
        async with start_host({FAULTY: reads_for_ever}) as server, start_host() as client:
            connection = await dial(client, server)
            for _ in range(3):
                stream = await open_stream(client, server, FAULTY)
                await stream.write(b"x")
                await stream.reset()
            assert await echoes(client, server)
            assert not connection.is_closed


async def test_a_pubsub_rpc_that_is_not_protobuf_kills_nothing(start_host, dial, open_stream, echoes):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as attacker:
            router = GossipSub(protocols=[TProtocol(MESHSUB)], degree=6, degree_low=4, degree_high=12)
            pubsub = Pubsub(server, router, strict_signing=True)
            async with background_trio_service(pubsub), background_trio_service(router):
                await pubsub.wait_until_ready()
                await dial(attacker, server)
                stream = await open_stream(attacker, server, MESHSUB)
                await stream.write(b"\x28" + b"\xff" * 40)
                assert await echoes(attacker, server)
                assert pubsub.manager.is_running
