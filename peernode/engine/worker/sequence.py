"""One job inside the worker: its prompt, its place in the context's memory, and its growing answer."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.answer import Answer
from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.constraint import Constraint
from peernode.engine.worker.sampler import Sampler
from peernode.engine.worker.vision.spans import TEXT_ONLY, Layout
from peernode.wire.logprobs import Logprobs

TokenArray: TypeAlias = NDArray[np.int32]


class Sequence:
    """Prefill until ``in_memory`` reaches the length of ``feed``, then decode ``pending`` and ``drafts`` at each step.

    ``prompt`` includes the earlier tokens of a continued answer: they are computed like any prompt. ``feed`` is the
    prompt, and after a preemption also what was said before it. ``pending`` are tokens that were said and are not in
    memory, ``drafts`` guesses at what comes after them. ``salt`` says with whom the sequence shares prefixes,
    ``payer`` on whose account it runs, ``background`` that everything else goes before it,
    ``markup`` which marks its answer may hold, ``layout`` where among the cells of ``prompt`` images stand.
    """

    __slots__ = (
        "answer",
        "background",
        "cached",
        "computed",
        "constraint",
        "drafts",
        "feed",
        "in_memory",
        "job",
        "layout",
        "markup",
        "payer",
        "pending",
        "prompt",
        "reserved",
        "said",
        "salt",
        "sampler",
        "slot",
    )

    def __init__(
        self,
        job: int,
        prompt: TokenArray,
        answer: Answer,
        sampler: Sampler,
        *,
        constraint: Constraint | None = None,
        payer: str = "",
        salt: str = "",
        background: bool = False,
        markup: str = "",
        layout: Layout = TEXT_ONLY,
    ) -> None:
        self.job = job
        self.prompt = self.feed = prompt
        self.answer = answer
        self.sampler = sampler
        self.constraint = constraint
        self.payer = payer
        self.salt = salt
        self.background = background
        self.markup = markup
        self.layout = layout
        self.reserved = len(prompt) + answer.remaining
        self.said: list[int] = []
        self.slot = -1
        self.in_memory = 0
        self.computed = 0
        self.cached = 0
        self.pending: list[int] = []
        self.drafts: list[int] = []

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

    def choose(self, logits: Floats) -> list[tuple[int, list[Logprobs]]]:
        """The next token and all that the grammar forces before and after it, each with its log-probabilities, if due.

        Raises NonFiniteLogits and ConstraintBroken.
        """
        sampler, constraint, position = self.sampler, self.constraint, self.answer.position
        if constraint is None:
            choice = sampler.choose(logits, position)
            return [(choice.token, choice.logprobs)]
        chosen: list[tuple[int, list[Logprobs]]] = []
        if not constraint.forced():
            choice = sampler.choose(constraint.mask(logits), position)
            constraint.accept(choice.token)
            chosen.append((choice.token, choice.logprobs))
        # What was forced may force more, the end of the answer at last.
        while forced := constraint.forced():
            for token in forced:
                constraint.accept(token)
                chosen.append((token, sampler.force(token)))
        return chosen

    def feed_pending(self) -> None:
        """Compute what is pending as if it were prompt."""
        self.feed = np.concatenate([self.prompt, np.array(self.said, np.int32)])
        self.pending = []

    def put_back(self) -> None:
        """Leave the memory; the answer so far becomes part of what is computed again."""
        self.feed_pending()
        self.slot = -1
        self.in_memory = self.computed = 0
