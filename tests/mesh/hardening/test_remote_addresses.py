"""The address of a peer is known whichever IP version it came by."""

import socket

import pytest
import trio


def _has_ipv6_loopback():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6_loopback(), reason="this machine has no IPv6 loopback")
async def test_an_ipv6_peer_has_an_address(start_host, dial, accepted):
    with trio.fail_after(60):
        async with start_host(listen=("/ip6/::1/tcp/0",)) as server, start_host() as client:
            await dial(client, server)
            connection = await accepted(server, client)
            assert connection.get_remote_address()[0] == "::1"
