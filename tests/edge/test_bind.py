"""Where HTTP may listen, and what happens when it cannot."""

from __future__ import annotations

import pytest
import trio

from peernode.edge.bind import Bind, parse_bind
from peernode.edge.errors import AddressInUse, BadBind, OpenBindRefused
from peernode.edge.serve import listen, serve_app
from peernode.node.access_config import AccessConfig


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


@pytest.mark.parametrize("text", ["example.com:80", "127.0.0.1.evil.com:80", "[localhost]x:1"])
def test_a_name_is_no_address_to_listen_on(text):
    with pytest.raises(BadBind, match="HOST:PORT"):
        parse_bind(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])
def test_a_bind_that_is_open_to_everybody_is_said_twice(host):
    bind = Bind(host, 80)
    assert parse_bind(str(bind)) == bind
    with pytest.raises(OpenBindRefused) as found:
        AccessConfig(anonymous="yes").check_bind(bind)
    assert "keys create" in found.value.remedy
    AccessConfig(anonymous="yes", anonymous_from_anywhere=True).check_bind(bind)
    AccessConfig(anonymous="loopback").check_bind(bind)
    AccessConfig(anonymous="no").check_bind(bind)
    AccessConfig(anonymous="yes").check_bind(Bind("127.0.0.1", 80))


async def test_a_port_that_is_taken_is_a_typed_error(edge):
    taken = parse_bind(edge.base.removeprefix("http://"))
    with pytest.raises(AddressInUse) as found:
        listen(taken)
    assert "already in use" in found.value.cause
    with pytest.raises(AddressInUse):
        await serve_app(lambda *_: None, taken, stop=trio.Event())
