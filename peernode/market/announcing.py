"""What a provider tells a coordinator until there is something to tell: when the job's turn comes, every second."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import structlog
import trio

from peernode.chat.errors import ProviderFailed
from peernode.chat.events import JobEvent, Waiting
from peernode.market.provider import Work
from peernode.market.talk import Talk
from peernode.market.turns import WAIT_EVERY_S, next_event
from peernode.wire.job_frames import MAX_WAIT_MS, CancelFrame, ErrorFrame, WaitFrame

log = structlog.get_logger(__name__)


async def first_event(talk: Talk, work: Work) -> JobEvent:
    """The first event of a job that was offered. A coordinator that cancels or goes away meanwhile ends it."""
    gone = False

    async def tell(waiting: Waiting) -> None:
        nonlocal gone
        if not gone:
            try:
                await talk.send(wait_frame(waiting))
            except ProviderFailed:
                gone = True
                work.cancel()

    async def listen() -> None:
        nonlocal gone
        try:
            while not isinstance(await talk.receive(math.inf), (CancelFrame, ErrorFrame)):
                pass
        except ProviderFailed as err:
            log.info("coordinator_left", reason=err.cause)
        gone = True
        work.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        event = await next_event(work, tell, at_once=True)
        nursery.cancel_scope.cancel()
    assert event is not None  # there was no deadline
    return event


async def tell_until_begun(tell: Callable[[WaitFrame], Awaitable[None]], work: Work) -> None:
    """Go on telling, behind the acceptance, until the first tokens are there."""
    while not work.begun:
        await trio.sleep(WAIT_EVERY_S)
        if not work.begun and (waiting := work.waiting()) is not None:
            await tell(wait_frame(waiting))


def wait_frame(waiting: Waiting) -> WaitFrame:
    return WaitFrame(waiting.reason, min(round(waiting.eta_s * 1000), MAX_WAIT_MS))
