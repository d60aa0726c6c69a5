"""Among many neighbours each word crosses a node about once, and a path that falls silent is replaced in time."""

import contextlib
import random
import time

import pytest
import trio

from peernode.mesh import FrameStream, StreamClosed
from peernode.mesh.directory import Directory
from peernode.mesh.sync import PROTOCOL, Sync
from peernode.mesh.traffic import Flow
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, sign_renewal

RNG = random.Random(13)
FAR = Identity.from_seed(RNG.randbytes(32))


def clock_ms():
    return time.time_ns() // 1_000_000


def stated(seq, lease_ms):
    body = Advert("n", FAR.peer_id, seq, clock_ms(), lease_ms, ("/ip4/10.0.0.1/tcp/1",), "0", 1, 1, 0)
    return sign_advert(body, FAR)


def renewed(advert, seq, lease_ms):
    body = Renewal("n", FAR.peer_id, seq, clock_ms(), lease_ms, 1, 0, advert.digest)
    return sign_renewal(body, FAR)


class Member:
    def __init__(self, host, name):
        self.host = host
        self.directory = Directory(network="n", clock_ms=clock_ms)
        self.sync = Sync(peer_id=name, directory=self.directory, rng=RNG)
        self.flow = Flow()


@pytest.fixture
async def ring(start_host, dial, open_stream, nursery, monkeypatch):
    """Two members, left and right, that both are neighbours of a source and of each other."""
    monkeypatch.setattr("peernode.mesh.sync.BATCH_S", 0.05)
    monkeypatch.setattr("peernode.mesh.sync_session.BATCH_S", 0.05)
    monkeypatch.setattr("peernode.mesh.sync.CHASE_EVERY_S", 0.05)
    monkeypatch.setattr("peernode.mesh.sync.ASK_AGAIN_S", 0.3)
    members = {}

    async def converse(member, stream):
        with contextlib.suppress(StreamClosed):
            await member.sync.serve(FrameStream(stream, nursery, flow=member.flow))

    async with contextlib.AsyncExitStack() as stack:
        for name in ("source", "left", "right"):

            async def serve(stream, name=name):
                await converse(members[name], stream)

            host = await stack.enter_async_context(start_host({PROTOCOL: serve}))
            members[name] = Member(host, str(host.get_id()))
        for one, other in (("source", "left"), ("source", "right"), ("left", "right")):
            await dial(members[one].host, members[other].host)
            stream = await open_stream(members[one].host, members[other].host, PROTOCOL)
            nursery.start_soon(converse, members[one], stream)
        yield members


async def _reaches(member, seq):
    while member.directory.latest_seq(FAR.peer_id) < seq:
        await member.directory.wait_word(member.directory.version)


async def test_words_that_come_by_one_path_stop_coming_by_the_others(ring):
    source, left, right = ring.values()
    first = stated(1, 60_000)
    with trio.fail_after(60):
        source.directory.offer(first)
        source.sync.brought(FAR.peer_id, 1, "elsewhere")  # as if its originator were farther away
        for seq in range(2, 8):
            source.directory.renew(renewed(first, seq, 60_000))
            source.sync.brought(FAR.peer_id, seq, "elsewhere")
            await _reaches(left, seq)
            await _reaches(right, seq)
            await trio.sleep(0.3)  # what is said twice is said in this time
        before = [member.flow.bytes_in for member in (left, right)]
        sizes = []
        for seq in range(8, 13):
            word = renewed(first, seq, 60_000)
            source.directory.renew(word)
            source.sync.brought(FAR.peer_id, seq, "elsewhere")
            sizes.append(len(word.raw))
            await _reaches(left, seq)
            await _reaches(right, seq)
            await trio.sleep(0.3)
    for member, bytes_in in zip((left, right), before, strict=True):
        # Each renewal once, with a few bytes of frame around it: no advert, no number, no second copy.
        assert sum(sizes) <= member.flow.bytes_in - bytes_in <= sum(size + 24 for size in sizes)


async def test_when_the_path_of_an_originator_falls_silent_another_is_asked_in_time(ring):
    source, left, right = ring.values()
    first = stated(1, 8_000)
    with trio.fail_after(60):
        source.directory.offer(first)
        source.sync.brought(FAR.peer_id, 1, "elsewhere")
        await _reaches(left, 1)
        await _reaches(right, 1)
        await trio.sleep(0.3)
        # Nobody passes the originator on to the left any more, and only the right still hears it.
        held = left.directory.holding(FAR.peer_id)
        for member in (source, right):
            member.sync.sessions[left.sync.peer_id]._muted[FAR.peer_id] = member.directory.holding(
                FAR.peer_id
            ).joined_ms
        assert held.age_ms < 4_000
        right.directory.renew(renewed(first, 2, 8_000))
        right.sync.brought(FAR.peer_id, 2, "elsewhere")
        await _reaches(left, 2)
        assert left.directory.holding(FAR.peer_id).joined_ms == held.joined_ms
