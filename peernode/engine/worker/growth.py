"""What one step adds to one answer: the chosen token, those that the grammar forces after it, and drafts that held.

Owns the order of choice: a row of logits is used only when everything before it stands. A sequence's step computes its
``pending`` tokens and then its ``drafts``; row 0 is the one after the last pending token, row k the one after draft k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.sequence import Sequence
from peernode.wire.logprobs import Logprobs


@dataclass(slots=True)
class Growth:
    """``kept`` of the drafts were right; the others must be cut. ``failure`` says what went wrong, if anything did."""

    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[Logprobs] = field(default_factory=list)
    kept: int = 0
    failure: str = ""


def grow(sequence: Sequence, logits: Callable[[int], Floats]) -> Growth:
    """Extend the answer by as much as the rows of this step allow; afterwards ``pending`` is what is not in memory.

    Raises NonFiniteLogits and ConstraintBroken; the answer so far stands.
    """
    growth = Growth()
    answer, drafts = sequence.answer, sequence.drafts
    sequence.pending, sequence.drafts = [], []
    while True:
        for token, entries in sequence.choose(logits(growth.kept)):
            text, ids = answer.add(token)
            growth.text += text
            if ids:  # the end token is no part of the answer
                growth.ids += ids
                growth.logprobs += entries
            sequence.said.append(token)
            if not sequence.pending and growth.kept < len(drafts) and token == drafts[growth.kept]:
                growth.kept += 1
            else:
                sequence.pending.append(token)
            if answer.end:
                return growth
        if sequence.pending:
            return growth
