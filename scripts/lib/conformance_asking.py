"""What the rows of the conformance table are: a number, a feature, how it is checked; and what they ask with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
from nodes import NodeProcess

USER = {"role": "user", "content": "Name a colour."}
CHAT = "/v1/chat/completions"
ROUTER = "/api/v1/chat/completions"
# The model that the two providers have in different files, at different prices.
TINY = "tiny"
# The one that sees images; the second provider alone has it.
SEES = "sees"
# A token for each byte: these end an answer, and without them none ends before its length.
ENDLESS = {"0": -100, "2": -100}


class Asker:
    """The edge, seen by its clients. ``model`` is the one that both providers serve."""

    def __init__(self, edge: NodeProcess, providers: Sequence[NodeProcess]) -> None:
        self.edge = edge
        self.providers = providers
        self.client = httpx.Client(base_url=edge.url, timeout=180)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @cached_property
    def model(self) -> str:
        return self.get("/v1/models")["data"][0]["id"]

    @cached_property
    def key(self) -> str:
        """A key with five credits."""
        command = [sys.executable, "-m", "peernode", "keys", "create", "conformance", "--credits", "5"]
        done = subprocess.run(
            [*command, "--home", str(self.edge.home)], capture_output=True, text=True, check=True, timeout=60
        )
        return next(word for word in done.stdout.split() if word.startswith("sk-pn-"))

    def get(self, path: str, **headers: str) -> Any:
        answer = self.client.get(path, headers=headers)
        assert answer.status_code == 200, f"{path}: HTTP {answer.status_code} {answer.text[:100]}"
        return answer.json()

    def send(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def body(self, **changes: Any) -> dict[str, Any]:
        return {"model": self.model, "messages": [USER], "max_tokens": 8, "temperature": 0, **changes}

    def chat(self, path: str = CHAT, **changes: Any) -> dict[str, Any]:
        answer = self.send(path, self.body(**changes))
        assert answer.status_code == 200, f"HTTP {answer.status_code} {answer.text[:100]}"
        return answer.json()

    def says(self, path: str = CHAT, **changes: Any) -> str:
        return self.chat(path, **changes)["choices"][0]["message"]["content"]

    def several(self, **changes: Any) -> list[str]:
        """Eight answers to one request, whose seeds follow from its own."""
        return [choice["message"]["content"] for choice in self.chat(n=8, **changes)["choices"]]

    def tiny(self, wishes: dict[str, Any], **changes: Any) -> str:
        """Which provider answers with the model that they differ in."""
        return self.chat(ROUTER, model=TINY, logit_bias=ENDLESS, provider=wishes, **changes)["provider"]

    def considered(self, **changes: Any) -> list[dict[str, Any]]:
        """What the edge expected of each candidate, in the order of asking; the first has answered."""
        answer = self.send(CHAT, self.body(**changes), **{"X-Peernode-Route": "1"})
        assert answer.status_code == 200, f"HTTP {answer.status_code} {answer.text[:100]}"
        candidates = json.loads(answer.headers["x-peernode-route"])["candidates"]
        assert candidates[0]["provider"] == answer.json()["provider"]
        return candidates

    def chunks(self, path: str = CHAT, **changes: Any) -> list[dict[str, Any]]:
        """Of a stream, which must end with [DONE]."""
        *events, done = self.events(path, **changes)
        assert done == "data: [DONE]", done
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def events(self, path: str = CHAT, **changes: Any) -> list[str]:
        text = self.send(path, self.body(stream=True, **changes)).text
        return [event for event in text.split("\n\n") if event and not event.startswith(":")]

    def lines(self, **changes: Any) -> list[dict[str, Any]]:
        """As Peerwave's samples read: every piece is split at line ends, and no rest is kept."""
        found = []
        with self.client.stream("POST", "/api/chat/stream", json=self.body(**changes)) as answer:
            for piece in answer.iter_bytes():
                found += [json.loads(line) for line in piece.decode().split("\n") if line]
        return found

    def refused(self, status: int, path: str = CHAT, **changes: Any) -> dict[str, Any]:
        answer = self.send(path, self.body(**changes))
        assert answer.status_code == status, f"HTTP {answer.status_code} instead of {status}: {answer.text[:100]}"
        return answer.json()["error"]


Check = Callable[[Asker], str | None]


@dataclass(frozen=True)
class Row:
    """``check`` returns what it saw, or raises; without one, ``how`` says what is missing."""

    number: int
    feature: str
    how: str
    check: Check | None = None


@dataclass
class Rows:
    """The rows of one group, as decorators gather them."""

    rows: list[Row] = field(default_factory=list)

    def row(self, number: int, feature: str, how: str) -> Callable[[Check], Check]:
        def add(check: Check) -> Check:
            self.rows.append(Row(number, feature, how, check))
            return check

        return add

    def not_yet(self, number: int, feature: str, missing: str) -> None:
        self.rows.append(Row(number, feature, missing))
