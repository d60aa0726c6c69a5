"""A connection that is being closed is closed, whatever happens to the one who closes it."""

import trio


async def test_a_cancelled_close_still_reaches_the_peer(start_host, dial, accepted, monkeypatch):
    # Nothing else tells the peer: it does not ask whether we are still there.
    monkeypatch.setattr("peernode.mesh.hardening.yamux_keepalive.PING_DEADLINE_S", 1e6)
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            await dial(client, server)
            theirs = await accepted(server, client)
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.get_network().connections[server.get_id()][0].close()
            await theirs.event_closed.wait()
