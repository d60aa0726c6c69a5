"""One job inside the worker: its prompt, its place in the context's memory, and its growing answer."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.answer import Answer
from peernode.engine.worker.sampler import Sampler

TokenArray: TypeAlias = NDArray[np.int32]


class Sequence:
    """Prefill until ``in_memory`` reaches the length of ``feed``, then decode ``next_token`` at each step.

    ``prompt`` includes the earlier tokens of a continued answer: they are computed like any prompt. ``feed`` is the
    prompt, and after a preemption also what was said before it. ``salt`` says with whom the sequence shares prefixes,
    ``payer`` on whose account it runs.
    """

    __slots__ = (
        "answer",
        "cached",
        "computed",
        "feed",
        "in_memory",
        "job",
        "next_token",
        "payer",
        "prompt",
        "reserved",
        "said",
        "salt",
        "sampler",
        "slot",
    )

    def __init__(
        self, job: int, prompt: TokenArray, answer: Answer, sampler: Sampler, *, payer: str = "", salt: str = ""
    ) -> None:
        self.job = job
        self.prompt = self.feed = prompt
        self.answer = answer
        self.sampler = sampler
        self.payer = payer
        self.salt = salt
        self.reserved = len(prompt) + answer.remaining
        self.said: list[int] = []
        self.slot = -1
        self.in_memory = 0
        self.computed = 0
        self.cached = 0
        self.next_token = -1

    @property
    def prefilling(self) -> bool:
        return self.in_memory < len(self.feed)

    @property
    def sharable(self) -> int:
        """How much of ``feed`` may come from others: two rows are left, because one alone rounds differently."""
        return max(0, len(self.feed) - 2)

    def tokens(self) -> TokenArray:
        """What is in memory, in order."""
        if self.in_memory <= len(self.feed):
            return self.feed
        return np.concatenate([self.prompt, np.array(self.said, np.int32)])

    def say(self, token: int) -> None:
        self.next_token = token
        self.said.append(token)

    def put_back(self) -> None:
        """Leave the memory; the answer so far becomes part of what is computed again."""
        self.feed = np.concatenate([self.prompt, np.array(self.said, np.int32)])
        self.slot = -1
        self.in_memory = self.computed = 0
