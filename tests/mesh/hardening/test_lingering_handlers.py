"""No handler outlives its connection."""

import trio

SLEEPY = "/peernode/test-sleepy/1"


async def test_a_handler_that_reads_nothing_is_cancelled_after_its_connection_is_gone(
    start_host, dial, open_stream, monkeypatch
):
    monkeypatch.setattr("peernode.mesh.hardening.lingering_handlers.GRACE_S", 0.05)
    started, ended = trio.Event(), trio.Event()

    async def sleepy(stream):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with start_host({SLEEPY: sleepy}) as server:
        async with start_host() as client:
            await dial(client, server)
            await open_stream(client, server, SLEEPY)
            with trio.fail_after(60):
                await started.wait()
        with trio.fail_after(60):
            await ended.wait()
