"""Dialling back over real sockets."""

from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.custom_types import TProtocol

from peernode.mesh import StreamClosed
from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.dialing import dial as dial_address
from peernode.mesh.frames import FrameStream
from peernode.mesh.nat import reach
from peernode.mesh.nat.reach import ReachProtocol
from peernode.mesh.nat.reach_messages import PROTOCOL, Ask, Back, Told, decode


def address_of(host):
    return str(host.get_transport_addrs()[0])


def port_of(host):
    return int(address_of(host).split("/")[4])


@pytest.fixture
def pair(start_host, nursery):
    """An asker that is connected to a helper, both speaking the protocol."""

    @asynccontextmanager
    async def start():
        async with start_host() as asker, start_host() as helper:
            protocols = ReachProtocol(asker, nursery), ReachProtocol(helper, nursery)
            await dial_address(asker, str(helper.get_id()), address_of(helper))
            yield asker, helper, protocols[0]

    return start


async def test_a_host_that_listens_is_reached_over_a_fresh_connection_that_is_closed_again(pair):
    async with pair() as (asker, helper, protocol):
        answer = await protocol.ask(str(helper.get_id()), port_of(asker))
        assert (answer.host, answer.port, answer.reached) == ("127.0.0.1", port_of(asker), True)
        connections = asker.get_network().connections
        with trio.fail_after(60):
            await ConnectionWatch(asker).wait_until(lambda: len(connections[helper.get_id()]) == 1)
        assert str(connections[helper.get_id()][0].direction) == "outbound"


async def test_a_port_on_which_nobody_or_somebody_else_listens_is_not_reached(pair, start_host, monkeypatch):
    monkeypatch.setattr(reach, "ASK_GAP_S", 0.0)
    async with pair() as (_, helper, protocol), start_host() as other:
        assert not (await protocol.ask(str(helper.get_id()), 1)).reached
        assert not (await protocol.ask(str(helper.get_id()), port_of(other))).reached


async def test_a_helper_does_not_dial_for_one_peer_all_the_time(pair):
    async with pair() as (asker, helper, protocol):
        assert (await protocol.ask(str(helper.get_id()), port_of(asker))).reached
        assert await protocol.ask(str(helper.get_id()), port_of(asker)) is None


async def test_a_helper_that_claims_success_without_a_fresh_connection_is_not_believed(start_host, nursery):
    async def lie(net_stream):
        stream = FrameStream(net_stream, nursery)
        nonce = decode(await stream.receive(30)).nonce
        same = FrameStream(await liar.new_stream(net_stream.muxed_conn.peer_id, [TProtocol(PROTOCOL)]), nursery)
        await same.send(Back(nonce).encode())  # over the connection that is there already
        with pytest.raises(StreamClosed):  # it has been read, and its stream ended
            await same.receive(30)
        await stream.send(Told("127.0.0.1", True).encode())
        await stream.close()

    async with start_host() as asker, start_host({PROTOCOL: lie}) as liar:
        protocol = ReachProtocol(asker, nursery)
        await dial_address(asker, str(liar.get_id()), address_of(liar))
        assert await protocol.ask(str(liar.get_id()), port_of(asker)) is None


@pytest.mark.parametrize("frame", [b"", b"\xc1", Back(bytes(16)).encode(), Told("x", True).encode(), bytes(1000)])
async def test_junk_and_unasked_words_do_no_harm(pair, nursery, frame):
    async with pair() as (asker, helper, protocol):
        stream = FrameStream(await asker.new_stream(helper.get_id(), [TProtocol(PROTOCOL)]), nursery)
        await stream.send(frame)
        await stream.abort()
        assert (await protocol.ask(str(helper.get_id()), port_of(asker))).reached


async def test_a_helper_dials_no_other_host_than_the_one_that_asks(pair):
    """There is nothing in the message to name one."""
    assert decode(Ask(22, bytes(16)).encode()) == Ask(22, bytes(16))
    async with pair() as (_, helper, protocol):
        dialled = []
        network = helper.get_network()
        original = network.dial_addr

        async def spy(address, peer, source=None):
            dialled.append(str(address))
            return await original(address, peer, source)

        network.dial_addr = spy
        await protocol.ask(str(helper.get_id()), 22)
        assert dialled == ["/ip4/127.0.0.1/tcp/22"]
