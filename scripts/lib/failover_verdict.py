"""What an answer that changed its provider is held against: an uninterrupted run, and its receipts. Pure."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from streamed_answer import StreamedAnswer

from peernode.wire.receipt import text_digest


@dataclass
class Verdict:
    """``seam``: tokens before the break. ``gap_s``: from the last of them to the next one."""

    kind: str
    seam: int
    gap_s: float
    alike: int
    identical: bool
    unreceipted: int
    broken: list[str] = field(default_factory=list)


def judge(
    kind: str,
    answer: StreamedAnswer,
    whole: StreamedAnswer,
    seams: Sequence[int],
    receipts: Sequence[dict[str, Any]],
) -> Verdict:
    """``whole`` is the same request without a break; ``seams`` are the token counts at each break, at least one."""
    alike = common(answer.tokens, whole.tokens)
    identical = answer.tokens == whole.tokens and answer.text == whole.text
    broken = answer.faults()
    seam = seams[-1]
    if alike < seams[0]:
        broken.append(f"the first part differs from the whole run at token {alike} of {seams[0]}")
    if len(answer.usages) == len(whole.usages) == 1:
        asked, wanted = answer.usages[0]["prompt_tokens"], whole.usages[0]["prompt_tokens"]
        if asked != wanted:
            broken.append(f"{asked} prompt tokens are counted, {wanted} were sent")
    said = b"".join(answer.tokens).decode(errors="replace")
    if not said.startswith(answer.text) or (answer.reasons == ["length"] and said != answer.text):
        broken.append("the text is not that of the tokens")
    gap_s = answer.stamps[seam] - answer.stamps[seam - 1] if 0 < seam < len(answer.stamps) else 0.0
    broken += receipt_faults(answer, seams, receipts)
    return Verdict(kind, seam, gap_s, alike, identical, len(seams) + 1 - len(receipts), broken)


def receipt_faults(answer: StreamedAnswer, seams: Sequence[int], receipts: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with the receipts of the parts: each for exactly its own tokens, and of the last one its text.

    Where some have none yet, only the last one is looked at.
    """
    if not receipts:
        return ["no part has a receipt"]
    bounds = [0, *seams, len(answer.tokens)]
    sizes = [end - begin for begin, end in itertools.pairwise(bounds)]
    found = []
    for place, (part, size) in enumerate(zip(reversed(receipts), reversed(sizes), strict=False)):
        name = "last receipt" if place == 0 else f"receipt of the lost part {len(sizes) - place}"
        if place and len(receipts) != len(sizes):
            break
        if not part["verified"]["ok"] or part["countersignature"] is None:
            found.append(f"the {name} is not verified and countersigned")
        if (billed := part["receipt"]["completion_tokens"]) != size:
            found.append(f"the {name} bills {billed} tokens, its part has {size} of {len(answer.tokens)}")
    own = answer.text[len(complete(answer.tokens[: seams[-1]])) :]
    if receipts[-1]["receipt"]["text_digest"] != text_digest(own).hex():
        found.append("the last receipt is for another text than its part's")
    return found


def complete(tokens: Sequence[bytes]) -> str:
    """The text of tokens without half a character at its end."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(b"".join(tokens))


def common(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
