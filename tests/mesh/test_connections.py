"""Who a node dials, and when again: real meshes on loopback beside dead, silent and hostile ones."""

import contextlib
import itertools
import random
import secrets
import time
from contextlib import asynccontextmanager

import pytest
import trio

from peernode.mesh import DialFailed, Mesh
from peernode.mesh.recruiting import MAX_CONNECTED
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity
from tests.mesh.conftest import LOOPBACK, NETWORK, Node

NOBODY = [Identity.from_seed(number.to_bytes(32, "big")).peer_id for number in range(1, 41)]
ASK = "/peernode/test-ask/1"
pytestmark = pytest.mark.real


def clock_ms():
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(*, join=(), seed=None, listen=LOOPBACK, state=None, handler=None):
    """One mesh on loopback that remembers its peers in ``state``; killed without a word on leaving."""
    identity = Identity.from_seed(seed or secrets.token_bytes(32))
    mesh = Mesh(
        identity=identity,
        network=NETWORK,
        listen=[listen],
        join=join,
        clock_ms=clock_ms,
        rng=random.Random(1),
        state=state,
    )
    if handler:
        mesh.handle(ASK, handler)
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        yield Node(mesh, identity, clock_ms)
        nursery.cancel_scope.cancel()


async def connected(node, *others, direction=None):
    def all_are():
        found = {status.peer_id: status.direction for status in node.mesh.peers()}
        return all(other.peer_id in found and direction in (None, found[other.peer_id]) for other in others)

    await node.mesh._life.connections.watch.wait_until(all_are)


async def alone(node):
    await node.mesh._life.connections.watch.wait_until(lambda: node.mesh.peers() == [])


def transport(node):
    return node.mesh.addresses()[0].partition("/p2p/")[0]


@asynccontextmanager
async def doors(handler):
    """A TCP listener on loopback; gives its multiaddr."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        yield f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def say_nothing(stream):
    await trio.sleep_forever()


async def test_two_nodes_that_met_through_a_third_find_each_other_without_it(tmp_path):
    seeds = [secrets.token_bytes(32), secrets.token_bytes(32)]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with trio.fail_after(60):
        async with running() as third:
            meeting_point = third.mesh.addresses()
            async with (
                running(join=meeting_point, seed=seeds[0], state=folders[0]) as one,
                running(join=meeting_point, seed=seeds[1], state=folders[1]) as two,
            ):
                await one.advertise()
                await two.advertise()
                await connected(one, two)
                await connected(two, one)
                while not (one.mesh._known.addresses(two.peer_id) or two.mesh._known.addresses(one.peer_id)):
                    await trio.sleep(0.01)  # whoever dialled notes it when its dial returns, a moment later
                homes = [transport(one), transport(two)]
        async with (
            running(join=meeting_point, seed=seeds[0], state=folders[0], listen=homes[0]) as one,
            running(join=meeting_point, seed=seeds[1], state=folders[1], listen=homes[1]) as two,
        ):
            await connected(one, two)
            await connected(two, one)


async def test_silent_addresses_hold_up_neither_the_start_nor_the_other_dials_nor_a_job():
    async def answer(stream):
        await stream.send(await stream.receive(30))

    with trio.fail_after(60):
        async with doors(say_nothing) as hole, running(handler=answer) as good, running(handler=answer) as other:
            holes = [f"{hole}/p2p/{peer}" for peer in NOBODY]
            # The peer to join has a silent address too, and it comes first.
            join = [*holes, f"{hole}/p2p/{good.peer_id}", *good.mesh.addresses()]
            async with running(join=join) as node:
                assert node.mesh.traffic.dial_failures == 0
                await connected(node, good)
                assert node.mesh.traffic.dial_failures == 0  # a silent address takes five seconds to fail
                node.mesh.directory.offer(other.sign())
                async with node.mesh.open(other.peer_id, ASK, timeout_s=30) as stream:
                    await stream.send(b"?")
                    assert await stream.receive(30) == b"?"
                assert node.mesh.traffic.dial_failures == 0


async def test_with_all_bootstrap_peers_down_the_node_runs_and_joins_the_first_that_comes_up():
    seed = secrets.token_bytes(32)
    with trio.fail_after(60):
        async with running() as gone, running(seed=seed) as later:
            join = [*gone.mesh.addresses(), *later.mesh.addresses()]
            home = transport(later)
        async with running(join=join) as node:
            assert node.mesh.peers() == []
            async with running(seed=seed, listen=home) as later:
                await connected(node, later)


async def test_a_cut_path_is_noticed_and_dialled_again_when_it_heals():
    cut = False

    with trio.fail_after(60):
        async with running() as far:
            port = int(transport(far).split("/")[4])

            async def forward(stream):
                async with await trio.open_tcp_stream("127.0.0.1", port) as onward, trio.open_nursery() as nursery:

                    async def pump(source, sink):
                        async for data in source:
                            if not cut:
                                await sink.send_all(data)
                        nursery.cancel_scope.cancel()

                    nursery.start_soon(pump, stream, onward)
                    nursery.start_soon(pump, onward, stream)

            async def proxy(stream):
                with contextlib.suppress(OSError, ExceptionGroup):
                    await forward(stream)

            async with doors(proxy) as door, running(join=[f"{door}/p2p/{far.peer_id}"]) as near:
                await connected(near, far)
                cut = True
                await alone(near)  # within five seconds: hardening/test_yamux_keepalive.py
                await alone(far)
                cut = False
                await connected(near, far)


async def test_a_peer_that_accepts_and_hangs_up_is_called_ever_more_rarely():
    called = []

    with trio.fail_after(60):
        async with running() as rude:
            watch = rude.mesh._life.connections.watch
            swarm = watch._network
            async with running(join=rude.mesh.addresses()), trio.open_nursery() as nursery:
                while len(called) < 4:
                    await watch.wait_until(lambda: bool(rude.mesh.peers()))
                    called.append(trio.current_time())
                    for connection in [each for some in swarm.connections.values() for each in some]:
                        await connection.close()
                nursery.cancel_scope.cancel()
    gaps = [later - earlier for earlier, later in itertools.pairwise(called)]
    assert gaps[0] > 0.7
    assert gaps[1] > 1.5
    assert gaps[2] > 3.1


def forged(identity, addresses):
    """An advert, properly signed, of a peer that claims to live at other people's doors."""
    now = clock_ms()
    advert = Advert(
        network=NETWORK,
        peer=identity.peer_id,
        seq=now,
        issued_ms=now,
        lease_ms=60_000,
        addresses=tuple(addresses),
        version="0",
        slots=1,
        free_slots=1,
        queued=0,
        models=(),
    )
    return sign_advert(advert, identity)


async def test_adverts_cannot_make_a_node_hammer_somebody_elses_door():
    knocks = 0

    async def count(stream):
        nonlocal knocks
        knocks += 1
        await stream.aclose()

    with trio.fail_after(60):
        async with doors(count) as victim, running() as node:
            liars = [Identity.from_seed(secrets.token_bytes(32)) for _ in range(20)]
            for _ in range(5):
                for liar in liars:
                    node.mesh.directory.offer(forged(liar, [victim]))
                    with pytest.raises(DialFailed):
                        async with node.mesh.open(liar.peer_id, ASK, timeout_s=30):
                            pass
    assert 1 <= knocks <= 10


async def test_an_advert_does_not_make_a_node_dial_services_or_itself():
    with trio.fail_after(60):
        async with running() as node:
            liar = Identity.from_seed(secrets.token_bytes(32))
            node.mesh.directory.offer(
                forged(liar, ["/ip4/127.0.0.1/tcp/22", transport(node), "/ip4/10.0.0.1/tcp/4001"])
            )
            with pytest.raises(DialFailed) as refused:
                async with node.mesh.open(liar.peer_id, ASK, timeout_s=30):
                    pass
            assert refused.value.cause == "no address of it is known"
            assert node.mesh.traffic.dial_failures == 0


async def test_those_who_dial_us_cannot_keep_us_from_dialling_others():
    with trio.fail_after(60):
        async with running() as victim, running() as honest, trio.open_nursery() as nursery:

            async def attack(task_status=trio.TASK_STATUS_IGNORED):
                async with running(join=victim.mesh.addresses()) as attacker:
                    await connected(attacker, victim)
                    victim.mesh.directory.offer(attacker.sign(lease_ms=60_000))
                    task_status.started()
                    await trio.sleep_forever()

            for _ in range(MAX_CONNECTED + 2):
                await nursery.start(attack)
            victim.mesh.directory.offer(honest.sign(lease_ms=60_000))
            await connected(victim, honest, direction="outbound")
            nursery.cancel_scope.cancel()


async def test_the_wrong_peer_at_an_address_is_not_taken_for_the_right_one():
    with trio.fail_after(60):
        async with running() as somebody:
            claimed = NOBODY[0]
            async with running(join=[f"{transport(somebody)}/p2p/{claimed}"]) as node:
                with pytest.raises(DialFailed):
                    async with node.mesh.open(claimed, ASK, timeout_s=30):
                        pass
                assert node.mesh.peers() == []
