"""A host takes new connections for as long as it lives, and no one stranger can use up its handshakes."""

import trio

from peernode.mesh.dialing import ConnectionWatch


async def test_slots_come_back_when_connections_end(start_host, echoes):
    with trio.fail_after(30):
        async with start_host() as server:
            server.get_network()._inbound_limiter.total_tokens = 3
            watch = ConnectionWatch(server)
            for _ in range(8):
                async with start_host() as client:
                    assert await echoes(client, server)
                await watch.wait_until(lambda: not server.get_network().connections)


async def test_silent_connections_from_one_address_leave_slots_for_others(start_host, monkeypatch):
    monkeypatch.setattr("peernode.mesh.hardening.inbound_slots.HANDSHAKES_PER_ADDRESS", 4)
    with trio.fail_after(10):
        async with start_host() as server, trio.open_nursery() as nursery:
            port = int(server.get_transport_addrs()[0].value_for_protocol("tcp"))
            refused = 0
            enough = trio.Event()

            async def silent():
                nonlocal refused
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    while await stream.receive_some(1024):
                        pass
                    refused += 1
                    if refused >= 6:
                        enough.set()

            for _ in range(10):
                nursery.start_soon(silent)
            with trio.fail_after(3):
                await enough.wait()
            nursery.cancel_scope.cancel()
