"""Load on a chat server: some clients at once, each streaming one answer, with the time of every piece.

A client only reads and stamps while the answer runs and looks into the bytes afterwards, because it takes its time
from the very cores that the server computes on.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 900.0
_STORY = "write a long story about a fox in the forest."


class LoadFailed(Exception):
    """A server did not answer a request as it should."""


@dataclass
class Answer:
    """One streamed answer. ``sent`` and ``stamps``, one for each piece of text, are ``time.perf_counter`` seconds."""

    sent: float
    stamps: list[float] = field(default_factory=list)
    text: str = ""
    completion_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0

    @property
    def first_s(self) -> float:
        """To the first piece; all the time if there was none."""
        return (self.stamps[0] if self.stamps else time.perf_counter()) - self.sent

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that were not taken from a cache, by the server's own account."""
        return self.prompt_tokens - self.cached_tokens


@dataclass
class Round:
    """The answers of clients that began together."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(answer.completion_tokens for answer in self.answers)

    @property
    def took_s(self) -> float:
        """From the first request to the last token."""
        last = max(answer.stamps[-1] for answer in self.answers)
        return last - min(answer.sent for answer in self.answers)

    @property
    def rate(self) -> float:
        return self.tokens / self.took_s

    @property
    def first_token_s(self) -> list[float]:
        return sorted(answer.first_s for answer in self.answers)

    @property
    def computed_tokens(self) -> int:
        return sum(answer.computed_tokens for answer in self.answers)


class Client:
    """One streaming request, started by ``run`` or ``start``; ``stop`` hangs up. Raises LoadFailed from ``join``."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
        self._body = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}).encode()
        self._pieces: list[tuple[float, bytes]] = []
        self._failure: Exception | None = None
        self._stopped = False
        self._sent = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True

    @property
    def pieces(self) -> int:
        """How often something of the answer has arrived so far."""
        return len(self._pieces)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> Answer:
        self._thread.join()
        if self._failure is not None and not self._stopped:
            raise LoadFailed(str(self._failure)) from self._failure
        return parse_answer(self._sent, self._pieces)

    def _work(self) -> None:
        try:
            self._sent = time.perf_counter()
            self._connection.request("POST", "/v1/chat/completions", self._body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            if response.status != 200:
                raise LoadFailed(f"HTTP {response.status}: {response.read(2000).decode(errors='replace')}")
            while not self._stopped and (piece := response.read1(1 << 16)):
                self._pieces.append((time.perf_counter(), piece))
        except (OSError, http.client.HTTPException, LoadFailed) as err:
            self._failure = err
        finally:
            self._connection.close()


def parse_answer(sent: float, pieces: Sequence[tuple[float, bytes]]) -> Answer:
    """``pieces`` are a server-sent event stream as it arrived, cut anywhere. Raises LoadFailed on an error event."""
    answer, rest, counted = Answer(sent), b"", None
    for at, piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:") or line[5:].strip() in (b"", b"[DONE]"):
                continue
            event = json.loads(line[5:])
            if event.get("error"):
                raise LoadFailed(str(event["error"]))
            choices = event.get("choices")
            content = choices[0].get("delta", {}).get("content") if choices else None
            if content:
                answer.stamps.append(at)
                answer.text += content
            counted = event.get("usage") or counted
    usage = counted or {}
    # A server that sends no usage sends a piece a token.
    answer.completion_tokens = usage.get("completion_tokens") or len(answer.stamps)
    answer.prompt_tokens = usage.get("prompt_tokens", 0)
    answer.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return answer


def run_together(url: str, bodies: Sequence[dict[str, Any]]) -> Round:
    """Raises LoadFailed when any of them fails."""
    clients = [Client(url, body) for body in bodies]
    for client in clients:
        client.start()
    outcome = Round([client.join() for client in clients])
    if any(not answer.stamps for answer in outcome.answers):
        raise LoadFailed(f"{url} answered without any text")
    return outcome


def run_round(url: str, model: str, *, clients: int, tokens: int, salt: int, temperature: float) -> Round:
    """Prompts differ by ``salt`` and client, so that nobody answers from a cache."""
    return run_together(
        url,
        [
            chat_body(
                model, f"{salt}.{number}: {_STORY}", tokens=tokens, temperature=temperature, seed=salt * 100 + number
            )
            for number in range(clients)
        ],
    )


def chat_body(model: str, prompt: str, *, tokens: int, temperature: float = 0.0, seed: int = 0) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": temperature,
        "seed": seed,
    }
