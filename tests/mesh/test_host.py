"""A failing host is started again; one that never started is the operator's to know about."""

import itertools
import random

import pytest
import trio
from trio.testing import MockClock

from peernode.mesh.host import build_host, keep_running, sole_cause


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0)


async def test_a_host_that_fails_is_started_again_after_growing_pauses(autojump_clock, nursery):
    starts = []
    fifth = trio.Event()

    async def life(*, task_status):
        starts.append(trio.current_time())
        if len(starts) == 5:
            fifth.set()
        if len(starts) in (1, 5):
            task_status.started()
        if len(starts) == 5:
            await trio.sleep_forever()
        raise OSError("the network went away")

    async def run(*, task_status):
        await keep_running(life, rng=random.Random(1), task_status=task_status)

    await nursery.start(run)
    await fifth.wait()
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(later > earlier for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] < 6


async def test_a_host_that_never_started_says_why():
    async def life(*, task_status):
        raise OSError("no such address")

    with pytest.raises(OSError, match="no such address"):
        await keep_running(life, rng=random.Random(1))


def test_only_noise_and_yamux_are_spoken():
    host = build_host(bytes(32), ["/ip4/127.0.0.1/tcp/0"])
    upgrader = host.get_network().upgrader
    assert [str(p) for p in upgrader.security_multistream.transports] == ["/noise"]
    assert [str(p) for p in upgrader.muxer_multistream.transports] == ["/yamux/1.0.0"]


def test_the_one_cause_is_found_in_nested_groups():
    cause = ValueError()
    assert sole_cause(ExceptionGroup("", [ExceptionGroup("", [cause])])) is cause
    several = ExceptionGroup("", [ValueError(), KeyError()])
    assert sole_cause(several) is several
