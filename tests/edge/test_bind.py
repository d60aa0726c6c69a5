"""Where HTTP may listen, and what happens when it cannot."""

from __future__ import annotations

import pytest
import trio

from peernode.edge.bind import Bind, parse_bind
from peernode.edge.errors import AddressInUse, BadBind, OpenBindRefused
from peernode.edge.serve import listen, serve_app


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8080", Bind("127.0.0.1", 8080)),
        ("localhost:0", Bind("127.0.0.1", 0)),
        ("[::1]:80", Bind("::1", 80)),
        ("127.9.9.9:1", Bind("127.9.9.9", 1)),
    ],
)
def test_loopback_addresses_are_read(text, bind):
    assert parse_bind(text) == bind


@pytest.mark.parametrize("text", ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:80", "a:-1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(BadBind):
        parse_bind(text)


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::]:80", "192.168.1.5:80", "example.com:80", "127.0.0.1.evil.com:80"])
def test_an_open_bind_is_refused_with_a_remedy(text):
    with pytest.raises(OpenBindRefused) as found:
        parse_bind(text)
    assert "authenticating proxy" in found.value.remedy


async def test_a_port_that_is_taken_is_a_typed_error(edge):
    taken = parse_bind(edge.base.removeprefix("http://"))
    with pytest.raises(AddressInUse) as found:
        listen(taken)
    assert "already in use" in found.value.cause
    with pytest.raises(AddressInUse):
        await serve_app(lambda *_: None, taken, stop=trio.Event())
