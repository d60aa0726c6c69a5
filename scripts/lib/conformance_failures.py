"""Rows 51 to 53: what a client hears when a provider is lost in the middle, and while it waits for one."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from conformance_asking import CHAT, ENDLESS, ROUTER, TINY, Asker, Rows
from conformance_strain import busy, come_back, opened, said

ROWS = Rows()
STORY = {"messages": [{"role": "user", "content": "Tell a story about a bridge."}], "temperature": 0.8, "seed": 5}
LONG = {**STORY, "max_tokens": 1500, "logit_bias": {"0": -100, "2": -100}}
LINES = "/api/chat/stream"
STRIKE_AT = 8


@ROWS.row(
    51,
    "Another node when one fails",
    "kill -9 in the middle: the answer is whole, word for word, and its end is receipted by the other",
)
def _(it: Asker) -> str:
    first, second = it.providers
    whole = it.says(**STORY, max_tokens=60, provider={"only": [second.peer_id]})
    words, chunks = 0, []
    with opened(it, **STORY, max_tokens=60, provider={"order": [first.peer_id]}) as lines:
        for line in lines:
            if line.startswith("data: {"):
                chunks.append(json.loads(line[6:]))
            words += said(line)
            if words == STRIKE_AT and first.running:
                first.kill()
        assert line == "data: [DONE]"
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == whole
    assert chunks[-1]["provider"] == second.peer_id
    last = it.get(f"/v1/receipts/{chunks[-1]['request_id']}")["parts"][-1]["receipt"]
    assert last["provider"] == second.peer_id
    assert last["part"] > 0
    come_back(it, first)
    return f"lost behind {STRIKE_AT} pieces of {words}"


@ROWS.row(52, "A failure in the middle is an event", "kill -9 of all: OpenAI's, OpenRouter's and Peerwave's framing")
def _(it: Asker) -> str:
    paths = (CHAT, ROUTER, LINES)
    begun = Barrier(len(paths) + 1, timeout=120)

    def read(path: str) -> list[str]:
        heard = []
        with opened(it, path, **LONG) as lines:
            for line in lines:
                if not any(map(said, heard)) and said(line):
                    begun.wait()
                heard.append(line)
        return heard

    with ThreadPoolExecutor(len(paths)) as pool:
        reading = [pool.submit(read, path) for path in paths]
        begun.wait()
        for node in it.providers:
            node.kill()
        ends = {path: each.result()[-2:] for path, each in zip(paths, reading, strict=True)}
    come_back(it, *it.providers)
    for path in (CHAT, ROUTER):
        broken, done = ends[path]
        assert done == "data: [DONE]"
        failed(json.loads(broken.removeprefix("data: ")))
    last = json.loads(ends[LINES][-1])
    assert last["Credits"] >= 0
    return str(last["error"]["message"])


def failed(chunk: dict[str, Any]) -> None:
    assert chunk["error"]["code"] == 502
    assert chunk["error"]["message"]
    assert chunk["choices"][0]["finish_reason"] == "error"


@ROWS.row(53, "Comments while an answer is waited for", "behind a long answer: a comment, then the answer")
def _(it: Asker) -> str:
    only = {"only": [it.providers[0].peer_id]}
    with contextlib.ExitStack() as before:
        before.enter_context(busy(it))
        with opened(it, model=TINY, provider=only, logit_bias=ENDLESS) as lines:
            comment = next(lines)
            assert comment.startswith(":")
            before.close()
            rest = [line for line in lines if not line.startswith(":")]
    assert any(map(said, rest))
    assert rest[-1] == "data: [DONE]"
    return comment
