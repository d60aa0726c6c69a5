"""One job inside the worker: its prompt, its place in the context's memory, and its growing answer."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.answer import Answer
from peernode.engine.worker.sampler import Sampler

TokenArray: TypeAlias = NDArray[np.int32]


class Sequence:
    """Prefill until ``in_memory`` reaches the prompt's length, then decode ``next_token`` at each step.

    ``prompt`` includes the earlier tokens of a continued answer: they are computed like any prompt.
    """

    __slots__ = ("answer", "in_memory", "job", "next_token", "prompt", "reserved", "sampler", "slot")

    def __init__(self, job: int, prompt: TokenArray, answer: Answer, sampler: Sampler) -> None:
        self.job = job
        self.prompt = prompt
        self.answer = answer
        self.sampler = sampler
        self.reserved = len(prompt) + answer.remaining
        self.slot = -1
        self.in_memory = 0
        self.next_token = -1

    @property
    def prefilling(self) -> bool:
        return self.in_memory < len(self.prompt)
