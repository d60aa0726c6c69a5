"""A connection that is being closed is closed, whatever happens to the one who closes it."""

import trio


async def test_a_cancelled_close_still_reaches_the_peer(start_host, dial, accepted):
    with trio.fail_after(10):
        async with start_host() as server, start_host() as client:
            await dial(client, server)
            theirs = await accepted(server, client)
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.get_network().connections[server.get_id()][0].close()
            with trio.fail_after(1):
                await theirs.event_closed.wait()
