"""When the host falls, conversations end in an error that can be routed around, and it comes back on the same port."""

import pytest
import trio

from peernode.mesh import DialFailed, FrameTimeout, MeshError, StreamClosed

ASK = "/peernode/test-ask/1"
HANG = "/peernode/test-hang/1"


class Bug(RuntimeError):
    """What no one expected."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("peernode.mesh.host.RESTART_FIRST_S", 0.1)
    monkeypatch.setattr("peernode.mesh.backoff.FIRST_PAUSE_S", 0.1)


async def _boom():
    raise Bug


async def _fall_in_our_code(mesh):
    mesh._life.nursery.start_soon(_boom)


async def _fall_in_the_library(mesh):
    mesh._life.host.get_network().background_nursery.start_soon(_boom)


async def _end_without_a_word(mesh):
    mesh._life.host.get_network().manager.cancel()


async def _lose_the_listener(mesh):
    for listener in mesh._life.host.get_network().listeners.values():
        await listener.close()


async def answer(stream):
    await stream.send(b"answer to " + await stream.receive(30))


async def hang(stream):
    await stream.send(b"started")
    await stream.receive(30)


async def ask(node, other):
    async with node.mesh.open(other.peer_id, ASK, timeout_s=30) as stream:
        await stream.send(b"?")
        return await stream.receive(30)


async def _ask_until_answered(node, other):
    while True:
        try:
            return await ask(node, other)
        except DialFailed:
            await trio.sleep(0.05)


@pytest.mark.parametrize(
    "fall", [_fall_in_our_code, _fall_in_the_library, _end_without_a_word, _lose_the_listener], ids=lambda f: f.__name__
)
async def test_streams_end_in_a_typed_error_and_the_host_returns_to_its_port(start_node, fall):
    ended = {}

    async def converse(node, other, name, started):
        try:
            async with node.mesh.open(other.peer_id, HANG, timeout_s=30) as stream:
                assert await stream.receive(30) == b"started"
                started.set()
                await stream.receive(30)
        except MeshError as error:
            ended[name] = type(error)

    with trio.fail_after(60):
        async with (
            start_node(handlers={ASK: answer, HANG: hang}) as falls,
            start_node(join=falls.mesh.addresses(), handlers={ASK: answer, HANG: hang}) as other,
        ):
            before, life = falls.mesh.addresses(), falls.mesh._life
            assert await _ask_until_answered(falls, other) == b"answer to ?"
            async with trio.open_nursery() as nursery:
                for node, peer, name in ((falls, other, "its own"), (other, falls, "to it")):
                    started = trio.Event()
                    nursery.start_soon(converse, node, peer, name, started)
                    await started.wait()
                await fall(falls.mesh)
            assert ended == {"its own": StreamClosed, "to it": StreamClosed}
            assert FrameTimeout not in ended.values()
            while falls.mesh._life in (life, None):
                await trio.sleep(0.01)
            assert await _ask_until_answered(other, falls) == b"answer to ?"
            assert falls.mesh.addresses() == before
            assert await _ask_until_answered(falls, other) == b"answer to ?"


async def test_while_the_host_is_down_opening_fails_at_once_and_publishing_waits(start_node):
    with trio.fail_after(60):
        async with start_node() as node, start_node(join=node.mesh.addresses()) as other:
            await _fall_in_our_code(node.mesh)
            while node.mesh._life is not None:
                await trio.sleep(0.001)
            with pytest.raises(DialFailed):
                await ask(node, other)
            assert (node.mesh.addresses(), node.mesh.peers()) == ([], [])
            await node.mesh.publish(node.sign(lease_ms=60_000))
            await other.sees(node)
