"""What strangers provoke inside the library stays out of the operator's log."""

import logging

import pytest
import trio


async def test_a_refused_protocol_logs_nothing(start_host, dial, open_stream, caplog):
    with trio.fail_after(60), caplog.at_level(logging.INFO):
        async with start_host() as server, start_host() as client:
            await dial(client, server)
            with pytest.raises(Exception, match="failed to open a stream"):
                await open_stream(client, server, "/peernode/unknown/1")
    assert [record.name for record in caplog.records if record.name.startswith(("libp2p", "root"))] == []


def test_the_root_logger_is_not_used_by_the_library():
    from libp2p.network.connection import swarm_connection

    assert swarm_connection.logging is not logging
