"""Work that a job needs before it can run and that would hold up the others: it is done beside the decode loop.

Owns the thread for it and the wire that wakes the loop. The work itself touches neither the context nor the batcher.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from peernode.engine.worker.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Preparation:
    """``work`` runs in the preparing thread, ``finish`` with its result on the loop's. Both may raise a JobError."""

    work: Callable[[], Any]
    finish: Callable[[Any], Sequence]


class Workshop:
    """``begin`` a preparation, wait on ``descriptor``, ``collect`` what is done. ``limit`` bounds what is under way."""

    def __init__(self, *, limit: int, threads: int = 1) -> None:
        self._limit = limit
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._under_way: dict[int, tuple[Preparation, Future[Any]]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def descriptor(self) -> int:
        """Readable when something is done."""
        return self._wake_read

    def begin(self, job: int, preparation: Preparation) -> bool:
        """False when too much is under way."""
        if len(self._under_way) >= self._limit:
            return False
        future = self._pool.submit(preparation.work)
        self._under_way[job] = (preparation, future)
        future.add_done_callback(lambda _: self._wake())
        return True

    def drop(self, job: int) -> bool:
        """Forget a job; False if it is not here. Work that has begun ends in vain."""
        found = self._under_way.pop(job, None)
        if found is not None:
            found[1].cancel()
        return found is not None

    def collect(self) -> list[tuple[int, Callable[[], Sequence]]]:
        """Jobs whose work is done, each with what makes its sequence or raises what went wrong."""
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return []
        done = [(job, *entry) for job, entry in self._under_way.items() if entry[1].done()]
        for job, _, _ in done:
            del self._under_way[job]
        return [(job, _finisher(preparation, future)) for job, preparation, future in done]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # full of wakings that nobody has read yet: one more would say nothing new


def _finisher(preparation: Preparation, future: Future[Any]) -> Callable[[], Sequence]:
    return lambda: preparation.finish(future.result())
