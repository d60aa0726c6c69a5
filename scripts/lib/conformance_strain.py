"""Providers under strain, for the rows that ask what happens then: kept busy, killed in the middle, and back again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from conformance_asking import CHAT, ENDLESS, TINY, Asker
from nodes import NodeFailed, NodeProcess

# Until a provider that was killed, or asked to be left alone, is asked again.
BACK_S = 90.0
RETRY_S = 0.2
_WORDS = re.compile(r'"content": ?"[^"]')


@contextmanager
def busy(it: Asker, tokens: int = 8000) -> Iterator[None]:
    """The first provider's only slot for ``tiny`` is taken, for so many tokens if nobody hangs up before."""
    only = {"only": [it.providers[0].peer_id]}
    with opened(it, model=TINY, provider=only, max_tokens=tokens, logit_bias=ENDLESS) as lines:
        next(line for line in lines if said(line))
        yield


@contextmanager
def opened(it: Asker, path: str = CHAT, **changes: object) -> Iterator[Iterator[str]]:
    """The lines of a stream as they come, but for empty ones; leaving it hangs up."""
    with it.client.stream("POST", path, json=it.body(stream=True, **changes)) as answer:
        assert answer.status_code == 200, f"HTTP {answer.status_code}"
        yield (line for line in answer.iter_lines() if line)


def said(line: str) -> bool:
    """Whether there are words in it, whatever the framing."""
    return _WORDS.search(line) is not None


def come_back(it: Asker, *killed: NodeProcess) -> None:
    """Start providers that were killed, and wait until each is asked again. Raises NodeFailed."""
    for node in killed:
        node.kill()  # reaped
        node.spawn()
    for node in killed:
        for model in (it.model, TINY):
            wait_well(it, node, model)


def wait_well(it: Asker, node: NodeProcess, model: str) -> None:
    """Until ``node`` is asked for ``model`` again and answers. Raises NodeFailed."""
    deadline = time.monotonic() + BACK_S
    body = it.body(model=model, provider={"only": [node.peer_id]}, max_tokens=1)
    while (answer := it.send(CHAT, body)).status_code != httpx.codes.OK:
        if time.monotonic() > deadline:
            raise NodeFailed(f"{node.name} did not come back: {answer.text[:200]}")
        time.sleep(RETRY_S)
