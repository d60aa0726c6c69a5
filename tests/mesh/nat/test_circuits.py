"""Circuits over real sockets: three hosts on loopback, one of them the relay."""

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.network.stream.exceptions import StreamError
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, StopMessage
from libp2p.stream_muxer.exceptions import MuxedStreamError

from peernode.mesh.dial_budget import DialBudget
from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.dialing import dial as dial_address
from peernode.mesh.errors import DialFailed
from peernode.mesh.nat.circuit_messages import HOP, STOP, read_message, stop_status, write_message
from peernode.mesh.nat.circuit_stream import is_relayed, relay_behind, upgrade
from peernode.mesh.nat.errors import RelayRefused
from peernode.mesh.nat.relay_client import RelayClient
from peernode.mesh.nat.relay_limits import RelayLimits
from peernode.mesh.nat.relay_service import RelayService
from peernode.mesh.settings import MeshSettings
from peernode.wire.identity import Identity

RELAY = Identity.from_seed(bytes(32)).peer_id


def own_address(host):
    return str(host.get_transport_addrs()[0])


def id_of(host):
    return str(host.get_id())


def client_of(host, reserved=()):
    async def dial(peer, address):
        await dial_address(host, peer, address)

    return RelayClient(host, dial=dial, reserved=reserved)


def through(relay):
    return f"{own_address(relay)}/p2p/{id_of(relay)}/p2p-circuit"


@pytest.fixture
async def relay(start_host):
    async with start_host() as host:
        service = RelayService(host, RelayLimits(circuit_bytes=200_000))
        service.switch(True)
        host.service = service
        yield host


@pytest.fixture
async def called(start_host, relay):
    """A host that has reserved at the relay."""
    async with start_host() as host:
        client = client_of(host, reserved={id_of(relay)})
        await dial_address(host, id_of(relay), own_address(relay))
        await client.reserve(id_of(relay))
        yield host


def connections(host, peer):
    return host.get_network().connections.get(peer.get_id(), [])


async def test_two_hosts_talk_through_a_relay(start_host, relay, called, open_stream):
    async with start_host() as caller:
        await client_of(caller).call(id_of(called), through(relay))
        stream = await open_stream(caller, called)
        await stream.write(b"hello")
        assert await stream.read(5) == b"hello"
        (mine,) = connections(caller, called)
        (theirs,) = connections(called, caller)
        assert is_relayed(mine)
        assert is_relayed(theirs)
        assert relay_behind(mine) == relay_behind(theirs) == id_of(relay)
        assert relay.service.book.circuits == 1
        await mine.close()
        await ConnectionWatch(called).wait_until(lambda: not connections(called, caller))
        while relay.service.book.circuits:
            await trio.sleep(0.01)


async def test_a_circuit_that_carries_too_much_is_ended(start_host, relay, called, open_stream):
    async with start_host() as caller:
        await client_of(caller).call(id_of(called), through(relay))
        stream = await open_stream(caller, called)
        watch = ConnectionWatch(caller)
        with trio.fail_after(60):
            while watch.live(id_of(called)):
                try:
                    await stream.write(bytes(50_000))
                except (StreamError, MuxedStreamError):
                    break
            await watch.wait_until(lambda: not watch.live(id_of(called)))
        assert watch.live(id_of(relay))


async def test_nobody_is_called_who_did_not_reserve(start_host, relay):
    async with start_host() as caller, start_host() as stranger:
        client_of(stranger)
        await dial_address(stranger, id_of(relay), own_address(relay))
        with pytest.raises(DialFailed) as refused:
            await client_of(caller).call(id_of(stranger), through(relay))
        assert "no reservation" in str(refused.value)


@pytest.mark.parametrize("kind", [HopMessage.CONNECT, HopMessage.STATUS, HopMessage.RESERVE])
async def test_an_answer_reaches_also_who_reads_it_late(start_host, relay, kind):
    """The relay's end of the stream must not overtake its last message."""
    async with start_host() as caller:
        await dial_address(caller, id_of(relay), own_address(relay))
        stream = await caller.new_stream(relay.get_id(), [TProtocol(HOP)])
        muxed = stream.muxed_stream
        await write_message(stream, HopMessage(type=kind, peer=PeerId(id=caller.get_id().to_bytes())))
        with trio.fail_after(60):
            while not muxed.recv_closed:
                await trio.lowlevel.checkpoint()
        answer = await read_message(stream, HopMessage)
        assert answer.status == {HopMessage.CONNECT: 204, HopMessage.STATUS: 400, HopMessage.RESERVE: 100}[kind]
        await stream.reset()


async def test_a_reservation_is_for_the_peer_of_the_connection_whatever_the_message_says(start_host, relay):
    async with start_host() as impostor, start_host() as victim:
        await dial_address(impostor, id_of(relay), own_address(relay))
        stream = await impostor.new_stream(relay.get_id(), [TProtocol(HOP)])
        victim_id = PeerId(id=victim.get_id().to_bytes())
        await write_message(stream, HopMessage(type=HopMessage.RESERVE, peer=victim_id))
        assert (await read_message(stream, HopMessage)).status == 100
        assert not relay.service.book.reserved(id_of(victim), trio.current_time())
        assert relay.service.book.reserved(id_of(impostor), trio.current_time())


async def test_a_host_that_is_no_relay_refuses(start_host):
    async with start_host() as caller, start_host() as other:
        await dial_address(caller, id_of(other), own_address(other))
        with pytest.raises(RelayRefused):
            await client_of(caller).reserve(id_of(other))


async def test_calls_from_a_relay_that_was_not_asked_are_refused(start_host, relay, called):
    async with start_host() as pushy:
        await dial_address(pushy, id_of(called), own_address(called))
        stream = await pushy.new_stream(called.get_id(), [TProtocol(STOP)])
        peer = PeerId(id=relay.get_id().to_bytes())
        await write_message(stream, StopMessage(type=StopMessage.CONNECT, peer=peer))
        assert (await read_message(stream, StopMessage)).status == 202


async def test_a_relay_cannot_pass_one_peer_off_as_another(start_host):
    """The called peer is told of one caller and meets another."""
    async with start_host() as liar, start_host() as called, start_host() as victim:
        client_of(called, reserved={id_of(liar)})
        await dial_address(liar, id_of(called), own_address(called))
        (direct,) = connections(liar, called)
        stream = await liar.new_stream(called.get_id(), [TProtocol(STOP)])
        peer = PeerId(id=victim.get_id().to_bytes())
        await write_message(stream, StopMessage(type=StopMessage.CONNECT, peer=peer))
        assert (await read_message(stream, StopMessage)).status == 100
        circuit = await upgrade(liar, stream, relay=id_of(liar), peer=id_of(called), dialler=True)
        await circuit.event_closed.wait()
        assert not connections(called, victim)
        assert not direct.is_closed


@pytest.mark.parametrize("junk", [b"\xff" * 11, b"\x80\x80\x80\x80\x10", b"\x02\xff\xff", b"\x03\x08\x09\x10"])
async def test_junk_does_the_relay_no_harm(start_host, relay, called, open_stream, junk):
    async with start_host() as caller:
        await dial_address(caller, id_of(relay), own_address(relay))
        stream = await caller.new_stream(relay.get_id(), [TProtocol(HOP)])
        await stream.write(junk)
        await stream.close_write()
        await client_of(caller).call(id_of(called), through(relay))
        stream = await open_stream(caller, called)
        await stream.write(b"hello")
        assert await stream.read(5) == b"hello"


async def test_a_called_peer_that_goes_silent_costs_the_relay_a_moment_only(start_host, relay, monkeypatch):
    monkeypatch.setattr("peernode.mesh.nat.relay_service.CALL_DEADLINE_S", 0.3)

    async def silent(stream):
        await trio.sleep_forever()

    async with start_host({STOP: silent}) as mute, start_host() as caller:
        await dial_address(mute, id_of(relay), own_address(relay))
        relay.service.book.reserve(id_of(mute), "127.0.0.1", trio.current_time())
        with pytest.raises(DialFailed):
            await client_of(caller).call(id_of(mute), through(relay))
        assert relay.service.book.circuits == 0


async def test_a_called_peer_that_agrees_and_then_talks_nonsense_is_no_connection(start_host, relay):
    async def nonsense(stream):
        await read_message(stream, StopMessage)
        await write_message(stream, stop_status(100))
        await stream.write(b"GET / HTTP/1.1\r\n\r\n" * 20)
        await stream.close()

    async with start_host({STOP: nonsense}) as liar, start_host() as caller:
        await dial_address(liar, id_of(relay), own_address(relay))
        relay.service.book.reserve(id_of(liar), "127.0.0.1", trio.current_time())
        with pytest.raises(DialFailed):
            await client_of(caller).call(id_of(liar), through(relay))
        assert not connections(caller, liar)


async def test_a_relayed_connection_is_no_way_to_a_relay(start_host, relay, called):
    """Reservations and calls over circuits are refused, so circuits do not nest."""
    called_service = RelayService(called, RelayLimits())
    called_service.switch(True)
    async with start_host() as caller:
        client = client_of(caller)
        await client.call(id_of(called), through(relay))
        with pytest.raises(RelayRefused) as refused:
            await client.reserve(id_of(called))
        assert "not allowed" in refused.value.cause


async def test_circuits_of_a_private_network_need_its_key(start_host, open_stream):
    key = MeshSettings(shared_key=bytes(range(32)))
    async with (
        start_host(settings=key) as relay,
        start_host(settings=key) as called,
        start_host(settings=key) as caller,
    ):
        RelayService(relay, RelayLimits()).switch(True)
        await dial_address(called, id_of(relay), own_address(relay))
        await client_of(called, reserved={id_of(relay)}).reserve(id_of(relay))
        await client_of(caller).call(id_of(called), through(relay))
        stream = await open_stream(caller, called)
        await stream.write(b"hello")
        assert await stream.read(5) == b"hello"


async def test_a_peer_that_is_not_allowed_does_not_get_in_through_a_relay_either(start_host, relay):
    only = MeshSettings(allow_peers=frozenset({id_of(relay)}))
    async with start_host(settings=only) as called, start_host() as caller:
        await dial_address(called, id_of(relay), own_address(relay))
        await client_of(called, reserved={id_of(relay)}).reserve(id_of(relay))
        with pytest.raises(DialFailed):
            await client_of(caller).call(id_of(called), through(relay))
            await connections(caller, called)[0].event_closed.wait()
            raise DialFailed("The connection was closed at once.")
        assert not connections(called, caller)


async def test_a_relay_is_not_to_blame_for_who_cannot_be_called_through_it():
    budget = DialBudget()
    circuit = f"/ip4/198.51.100.10/tcp/4701/p2p/{RELAY}/p2p-circuit"
    for number in range(200):
        budget.failed(f"sybil {number}", circuit, 0.0)
    assert budget.permits("honest", circuit, 0.0)
    assert budget.permits("honest", "/ip4/198.51.100.10/tcp/4701", 0.0)
    for _ in range(200):
        budget.failed("sybil 1", circuit, 0.0)
    assert not budget.permits("sybil 1", circuit, 0.0)


async def test_a_named_relay_that_nobody_finds_is_not_knocked_at_for_ever(start_host):
    knocks = []

    async def dial(peer, address):
        knocks.append(address)
        raise DialFailed("Nobody there.")

    async with start_host() as caller, start_host() as other:
        client = RelayClient(caller, dial=dial, reserved=())
        for _ in range(100):
            with pytest.raises(DialFailed):
                await client.call(id_of(other), f"/ip4/198.51.100.10/tcp/4701/p2p/{RELAY}/p2p-circuit")
        assert len(knocks) < 40


async def test_a_caller_that_stays_silent_in_the_handshake_holds_up_itself_only(start_host, relay, called, open_stream):
    async with start_host() as silent, start_host() as caller:
        await dial_address(silent, id_of(relay), own_address(relay))
        wanted = PeerId(id=called.get_id().to_bytes())
        answers = []
        for _ in range(6):
            stream = await silent.new_stream(relay.get_id(), [TProtocol(HOP)])
            await write_message(stream, HopMessage(type=HopMessage.CONNECT, peer=wanted))
            answers.append((await read_message(stream, HopMessage)).status)
        assert answers == [100, 100, 203, 203, 203, 203]
        await client_of(caller).call(id_of(called), through(relay))
        stream = await open_stream(caller, called)
        await stream.write(b"hello")
        assert await stream.read(5) == b"hello"


async def test_a_flood_of_requests_leaves_nothing_behind(start_host, relay, called, open_stream):
    """Reservations, calls to nobody, half requests: the relay serves others meanwhile, and is as before afterwards."""
    async with start_host() as flooder, start_host() as caller:
        await dial_address(flooder, id_of(relay), own_address(relay))

        async def flood(number):
            wanted = PeerId(id=flooder.get_id().to_bytes())
            calling = HopMessage(type=HopMessage.CONNECT, peer=wanted)
            request = calling if number % 2 else HopMessage(type=HopMessage.RESERVE)
            try:
                stream = await flooder.new_stream(relay.get_id(), [TProtocol(HOP)])
                await write_message(stream, request)
                if number % 3:
                    await read_message(stream, HopMessage)
                await stream.reset()
            except (RelayRefused, StreamFailure, StreamError):
                return

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(120):
                    nursery.start_soon(flood, number)
                await client_of(caller).call(id_of(called), through(relay))
                stream = await open_stream(caller, called)
                await stream.write(b"hello")
                assert await stream.read(5) == b"hello"
        assert relay.service.book.reservations <= 2
        for connection in connections(caller, called):
            await connection.close()
        with trio.fail_after(60):
            while relay.service.book.circuits:
                await trio.sleep(0.02)
