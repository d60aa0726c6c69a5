"""Streams whose negotiation rides with the first frame: the bytes, every kind of answer, and real meshes."""

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from trio.testing import MockClock, wait_all_tasks_blocked

from peernode.mesh import DialFailed
from peernode.mesh.optimistic_opening import OptimisticStream, speaks
from tests.mesh.test_mesh import ASK, answer

HEADER = b"\x13/multistream/1.0.0\n"
NEGOTIATION = HEADER + b"\x05/x/1\n"


class Scripted:
    """A stream that reads what it was given and keeps what was written."""

    muxed_conn = None

    def __init__(self, *reads):
        self.written, self.was_reset, self.ended = [], False, False
        self._reads = [*reads]

    async def read(self, n=None):
        await trio.lowlevel.checkpoint()
        if not self._reads:
            await trio.sleep_forever()
        data = self._reads.pop(0)
        if not data:
            raise StreamEOF
        return data

    async def write(self, data):
        self.written.append(data)

    async def close_write(self):
        self.ended = True

    async def reset(self):
        self.was_reset = True


def opened(*reads, failures=None):
    below = Scripted(*reads)
    fates = [] if failures is None else failures
    return below, OptimisticStream(below, "/x/1", answer_by=trio.current_time() + 5, failed=fates.append)


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0)


async def test_the_first_write_carries_the_negotiation_and_later_ones_do_not():
    below, stream = opened()
    await stream.write(b"first")
    await stream.write(b"second")
    assert below.written == [NEGOTIATION + b"first", b"second"]


@pytest.mark.parametrize(
    "reads",
    [
        [NEGOTIATION + b"data"],
        [HEADER, NEGOTIATION[len(HEADER) :], b"data"],
        [*(bytes([byte]) for byte in NEGOTIATION), b"data"],
        [HEADER, NEGOTIATION[len(HEADER) :] + b"data"],
    ],
)
async def test_the_answers_are_taken_off_however_they_are_cut(reads):
    _, stream = opened(*reads)
    await stream.write(b"offer")
    assert await stream.read(100) == b"data"


async def test_nothing_is_read_before_this_side_has_spoken():
    below, stream = opened(NEGOTIATION + b"data")
    async with trio.open_nursery() as nursery:
        read = []

        async def reader():
            read.append(await stream.read(100))

        nursery.start_soon(reader)
        await wait_all_tasks_blocked()
        assert not read
        await stream.write(b"offer")
    assert (read, below.written) == ([b"data"], [NEGOTIATION + b"offer"])


@pytest.mark.parametrize("reads", [[HEADER + b"\x03na\n"], [b"garbage"], [HEADER, b""], [b""]])
async def test_a_peer_that_does_not_take_the_protocol(reads):
    failures = []
    _, stream = opened(*reads, failures=failures)
    await stream.write(b"offer")
    with pytest.raises(DialFailed):
        await stream.read(100)
    assert failures == [False]


async def test_a_peer_that_stays_silent(autojump_clock):
    failures = []
    _, stream = opened(HEADER, failures=failures)
    await stream.write(b"offer")
    began = trio.current_time()
    with pytest.raises(DialFailed):
        await stream.read(100)
    assert (failures, trio.current_time() - began) == ([True], 5)


async def test_an_end_or_a_reset_before_the_first_word():
    below, stream = opened()
    await stream.close_write()
    assert (below.written, below.ended) == ([NEGOTIATION], True)
    below, stream = opened(b"")
    await stream.reset()
    with pytest.raises(DialFailed):
        await stream.read(100)
    assert (below.written, below.was_reset) == ([], True)


async def ask_at_once(client, server, question=b"?"):
    async with client.mesh.open(server.peer_id, ASK, timeout_s=5, speak_first=True) as stream:
        await stream.send(question)
        return await stream.receive(5)


async def until_known(client, server):
    """Identify runs behind the connecting."""
    while not speaks(client.mesh._life.host, server.peer_id, ASK):
        await trio.sleep(0.01)


async def test_real_nodes_converse(start_node):
    with trio.fail_after(20):
        async with start_node(handlers={ASK: answer}) as server, start_node(join=server.mesh.addresses()) as client:
            assert await ask_at_once(client, server) == b"answer to ?"  # known to speak it or not
            await until_known(client, server)
            long = b"?" * 300_000  # more than the window that a stream begins with
            assert await ask_at_once(client, server, long) == b"answer to " + long


async def test_a_real_node_that_no_longer_speaks_the_protocol(start_node):
    with trio.fail_after(20):
        async with start_node(handlers={ASK: answer}) as server, start_node(join=server.mesh.addresses()) as client:
            await until_known(client, server)
            server.mesh._life.host.remove_stream_handler(TProtocol(ASK))
            with pytest.raises(DialFailed):
                await ask_at_once(client, server)
            assert client.mesh.peers()  # it is no reason to part
