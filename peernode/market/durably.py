"""Waiting in trio for a write of the ledger, without a thread for each that waits."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from typing import TypeVar

import trio

T = TypeVar("T")


async def durably(future: Future[T]) -> T:
    """What ``future`` gives, or raises. A write that was submitted happens, so waiting for it is not cancelled."""
    token, done = trio.lowlevel.current_trio_token(), trio.Event()

    def tell(_: Future[T]) -> None:
        with contextlib.suppress(trio.RunFinishedError):  # nobody is left to hear it
            token.run_sync_soon(done.set)

    future.add_done_callback(tell)
    with trio.CancelScope(shield=True):
        await done.wait()
    return future.result()
