"""One streamed chat answer read to its end, token by token, and what is wrong with it as a stream.

Asks for log-probabilities, because they name every token of the answer: its bytes, and by their number how many.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

DONE = "[DONE]"


@dataclass
class StreamedAnswer:
    """``tokens`` are the bytes of each output token of the first choice, ``stamps`` when they came (monotonic).

    ``arguments`` are those of all calls, one after the other.
    """

    status: int = 0
    request_id: str = ""
    text: str = ""
    arguments: str = ""
    tokens: list[bytes] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    usages: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    done: int = 0
    error: dict[str, Any] = field(default_factory=dict)
    provider: str = ""
    began: float = 0.0
    ended: float = 0.0

    def take(self, chunk: dict[str, Any], at: float) -> None:
        """One chunk of the stream."""
        self.error = chunk.get("error") or self.error
        self.provider = chunk.get("provider") or self.provider
        if "id" in chunk:
            self.ids.add(chunk["id"])
        if chunk.get("usage"):
            self.usages.append(chunk["usage"])
        for choice in chunk.get("choices", ()):
            if choice["index"]:
                continue
            self.text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                self.arguments += call["function"]["arguments"]
            if choice.get("finish_reason"):
                self.reasons.append(choice["finish_reason"])
            for entry in (choice.get("logprobs") or {}).get("content", ()):
                self.tokens.append(bytes(entry["bytes"]))
                self.stamps.append(at)

    def faults(self) -> list[str]:
        """What is wrong with it as a stream that should be whole."""
        found = []
        if self.status != 200 or self.error:
            found.append(f"HTTP {self.status}: {self.error.get('message')} ({self.error.get('metadata')})")
        if len(self.ids) != 1:
            found.append(f"{len(self.ids)} ids")
        if self.done != 1:
            found.append(f"[DONE] {self.done} times")
        if len(self.usages) != 1 or self.usages[0]["completion_tokens"] != len(self.tokens):
            found.append(f"{len(self.tokens)} tokens, usage {self.usages}")
        if len(self.reasons) != 1 or self.reasons[0] == "error":
            found.append(f"finish reasons {self.reasons}")
        return found


def read_answer(
    url: str,
    body: dict[str, Any],
    *,
    on_token: Callable[[StreamedAnswer], None] = lambda answer: None,
    timeout_s: float = 120.0,
) -> StreamedAnswer:
    """Ask and read to the end; ``on_token`` is called whenever tokens came. Raises httpx.HTTPError."""
    answer = StreamedAnswer(began=time.monotonic())
    body = {**body, "stream": True, "logprobs": True, "stream_options": {"include_usage": True}}
    with (
        httpx.Client(timeout=timeout_s) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
    ):
        answer.status = response.status_code
        answer.request_id = response.headers.get("x-request-id", "")
        if response.status_code != 200:
            answer.error = json.loads(response.read())["error"]
        for line in response.iter_lines():
            if line == f"data: {DONE}":
                answer.done += 1
            elif line.startswith("data: "):
                before = len(answer.tokens)
                answer.take(json.loads(line[6:]), time.monotonic())
                if len(answer.tokens) > before:
                    on_token(answer)
    answer.ended = time.monotonic()
    return answer
