"""A round of load on a chat server: some clients at once, each streaming one answer to a prompt of its own."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from nodes import chat_stream


@dataclass
class Round:
    """Output tokens of all clients, seconds from the first request to the last token, and each client's first token."""

    tokens: int = 0
    took_s: float = 0.0
    first_token_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.tokens / self.took_s


def run_round(url: str, model: str, *, clients: int, tokens: int, salt: int, temperature: float) -> Round:
    """Prompts differ by ``salt`` and client, so that nobody answers from a cache."""
    outcome, lock = Round(), threading.Lock()

    def client(number: int) -> None:
        body = {
            "model": model,
            "messages": [
                {"role": "user", "content": f"{salt}.{number}: write a long story about a fox in the forest."}
            ],
            "max_tokens": tokens,
            "temperature": temperature,
            "seed": salt * 100 + number,
            "stream_options": {"include_usage": True},
        }
        began, first, pieces, counted = time.perf_counter(), None, 0, 0
        for chunk in chat_stream(url, body, timeout_s=600):
            if chunk.get("choices") and chunk["choices"][0]["delta"].get("content"):
                first = first or time.perf_counter() - began
                pieces += 1
            counted = (chunk.get("usage") or {}).get("completion_tokens", counted)
        with lock:
            outcome.tokens += counted or pieces  # a server that sends no usage sends a chunk a token
            outcome.first_token_s.append(first or 0.0)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.took_s = time.perf_counter() - began
    return outcome
