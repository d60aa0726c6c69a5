"""Jobs that are too long are run again shorter, as often as it takes and no oftener."""

from __future__ import annotations

from contextlib import asynccontextmanager

from peernode.chat.contract import StreamContract
from peernode.chat.errors import ContextTooLong, NoProvider
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage
from peernode.chat.job import ChatJob
from peernode.chat.message import Message
from peernode.chat.middle_out import size_of
from peernode.chat.request import ChatRequest
from peernode.market.fitting import MAX_TIMES, FittingRunner

LONG = ChatRequest(tuple(Message("user", f"{at} " + "x" * 400) for at in range(40)))
DONE = [Started("p", "m"), Tokens("a", (1,)), Finished("stop", Usage(5, 1))]


class Counting:
    """A provider with room for so many characters, each counted as a token; it may say so badly."""

    def __init__(self, context, *, tells=True, starts=False):
        self.context, self.tells, self.starts = context, tells, starts
        self.asked = []

    @asynccontextmanager
    async def open(self, job):
        self.asked.append(job)
        yield self._events(job)

    async def _events(self, job):
        size = sum(map(size_of, job.request.messages))
        if size < self.context:
            for event in DONE:
                yield event
            return
        if self.starts:
            yield Started("p", "m")
        cause = f"{size} tokens, the context holds {self.context} with the answer" if self.tells else "far more"
        yield Failed(ContextTooLong("Too long.", param="messages", cause=cause))


async def run(runner, *, shortened=True, request=LONG):
    job = ChatJob("req_1", "m", request, 1, may_be_shortened=shortened)
    contract, events = StreamContract(receipted=False), []
    async with FittingRunner(runner).open(job) as stream:
        async for event in stream:
            contract.observe(event)
            events.append(event)
    return events


async def test_what_is_too_long_is_shortened_once_where_the_provider_counts():
    runner = Counting(5000)
    assert await run(runner) == DONE
    assert [job.transformed for job in runner.asked] == [False, True]
    assert sum(map(size_of, runner.asked[1].request.messages)) <= 5000 - 256
    assert runner.asked[1].total_s <= runner.asked[0].total_s


async def test_a_provider_that_does_not_count_is_asked_with_half_each_time():
    runner = Counting(3000, tells=False)
    assert await run(runner) == DONE
    assert len(runner.asked) == 4


async def test_a_start_that_came_to_nothing_is_not_told():
    assert await run(Counting(5000, starts=True)) == DONE


async def test_what_fits_passes_and_so_does_what_may_not_be_shortened():
    assert await run(Counting(10**6)) == DONE
    runner = Counting(5000)
    (failed,) = await run(runner, shortened=False)
    assert isinstance(failed.error, ContextTooLong)
    assert len(runner.asked) == 1


async def test_it_gives_up_in_the_end():
    for context in (1, 100):
        runner = Counting(context, tells=context != 1)
        *_, failed = await run(runner)
        assert isinstance(failed.error, ContextTooLong)
        assert len(runner.asked) <= MAX_TIMES


async def test_other_failures_pass():
    class Nobody:
        @asynccontextmanager
        async def open(self, job):
            async def events():
                yield Failed(NoProvider("Nobody."))

            yield events()

    (failed,) = await run(Nobody())
    assert isinstance(failed.error, NoProvider)
