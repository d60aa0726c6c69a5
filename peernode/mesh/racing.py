"""Trying several addresses of one peer without letting a silent one hold up the others.

Owns the order of the attempts, after "Happy Eyeballs" (RFC 8305): the next begins when the one before failed, or was
silent for a moment; the first that succeeds ends the others. Leaves the attempt itself to whoever passes it in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

STAGGER_S = 0.25


async def first_reached(
    attempt: Callable[[str], Awaitable[bool]], addresses: Sequence[str], *, stagger_s: float = STAGGER_S
) -> str | None:
    """The first of ``addresses`` for which ``attempt`` came true, the others cancelled; None when for none."""
    reached: str | None = None

    async with trio.open_nursery() as nursery:

        async def one(address: str, over: trio.Event) -> None:
            nonlocal reached
            if await attempt(address) and reached is None:
                reached = address
                nursery.cancel_scope.cancel()
            over.set()

        for address in addresses:
            over = trio.Event()
            nursery.start_soon(one, address, over)
            with trio.move_on_after(stagger_s):
                await over.wait()
    return reached
