"""Clients that keep asking an edge for streamed answers while its nodes are killed, and remember every receipt."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from failover_network import chat
from nodes import NodeFailed, NodeProcess, chat_stream

AGAIN_S = 0.2
TOPICS = ("a fox", "a lighthouse", "the sea", "an old clock", "winter", "a market")
# Some are shorter than an acknowledgement's distance, some several times as long.
LENGTHS = (8, 8, 40, 40, 160, 300)


@dataclass
class Seen:
    """What clients were told; threads share it. ``receipts`` holds digests by request id."""

    receipts: dict[str, str] = field(default_factory=dict)
    whole: int = 0
    broken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client(threading.Thread):
    """One of them, from ``start`` until ``resting`` is set for good; while it is set nobody asks."""

    def __init__(self, number: int, edge: NodeProcess, key: str, seen: Seen, *, seed: int) -> None:
        super().__init__(daemon=True)
        self.resting = threading.Event()
        self.idle = threading.Event()
        self.over = False
        self._number = number
        self._edge = edge
        self._key = key
        self._seen = seen
        self._rng = random.Random(seed * 1000 + number)
        self._asked = 0

    def run(self) -> None:
        while not self.over:
            if self.resting.is_set():
                self.idle.set()
                time.sleep(AGAIN_S)
                continue
            self.idle.clear()
            try:
                self._ask()
            except (httpx.HTTPError, NodeFailed, OSError):
                with self._seen.lock:
                    self._seen.broken += 1
                time.sleep(AGAIN_S)
        self.idle.set()

    def _ask(self) -> None:
        self._asked += 1
        topic, length = self._rng.choice(TOPICS), self._rng.choice(LENGTHS)
        body = chat(
            f"Client {self._number} wants story {self._asked} about {topic}.",
            max_tokens=length,
            temperature=0.8,
            seed=self._rng.getrandbits(31),
        )
        last: dict[str, Any] = {}
        for chunk in chat_stream(self._edge.url, body, headers={"Authorization": f"Bearer {self._key}"}):
            last = chunk if "receipt" in chunk or "error" in chunk else last
        with self._seen.lock:
            receipt = last.get("receipt", {})
            if "digest" in receipt:
                self._seen.whole += 1
                self._seen.receipts[receipt["id"]] = receipt["digest"]
            else:
                self._seen.broken += 1
