"""What the verdict over a broken answer finds: a token too many, one too few, another text, a bill for more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from failover_verdict import judge
from faults import plan_fault, take_fault
from streamed_answer import StreamedAnswer

from peernode.wire.receipt import text_digest

TOKENS = [b"Once", b" upon", b" a", b" ti", b"me", b" \xc3", b"\xa9t", b"\xc3\xa9"]
SEAM = 3


def answer(tokens: list[bytes] = TOKENS, *, counted: int | None = None) -> StreamedAnswer:
    return StreamedAnswer(
        status=200,
        text=b"".join(tokens).decode(errors="replace"),
        tokens=tokens,
        stamps=[0.1 * at + (4.0 if at >= SEAM else 0.0) for at in range(len(tokens))],
        ids={"chatcmpl-1"},
        usages=[{"prompt_tokens": 7, "completion_tokens": len(tokens) if counted is None else counted}],
        reasons=["length"],
        done=1,
    )


def receipt(tokens: int = len(TOKENS) - SEAM, text: str = " time été") -> dict[str, Any]:
    signed = {"completion_tokens": tokens, "text_digest": text_digest(text).hex()}
    return {"receipt": signed, "countersignature": {}, "verified": {"ok": True}}


def test_a_seam_that_nobody_sees_is_fine() -> None:
    verdict = judge("kill", answer(), answer(), [SEAM], [receipt()])
    assert (verdict.broken, verdict.identical, verdict.unreceipted) == ([], True, 1)
    assert verdict.gap_s == pytest.approx(4.1)


def test_every_part_has_a_receipt_for_exactly_its_own_tokens() -> None:
    lost = receipt(SEAM, "Once upon a")
    verdict = judge("kill", answer(), answer(), [SEAM], [lost, receipt()])
    assert (verdict.broken, verdict.unreceipted) == ([], 0)
    for wrong in (receipt(SEAM + 1), receipt(0), {**lost, "countersignature": None}):
        (said,) = judge("kill", answer(), answer(), [SEAM], [wrong, receipt()]).broken
        assert "the receipt of the lost part 1" in said


def test_who_goes_on_otherwise_behind_the_seam_is_told_apart_and_is_no_fault() -> None:
    other = [*TOKENS[:4], b"ger", *TOKENS[5:]]
    verdict = judge("kill", answer(other), answer(), [SEAM], [receipt(text=" tiger été")])
    assert (verdict.broken, verdict.identical, verdict.alike) == ([], False, 4)


@pytest.mark.parametrize(
    ("broken", "receipts", "said"),
    [
        (answer([*TOKENS[:2], *TOKENS[3:]]), [receipt(4)], "differs"),
        (answer([*TOKENS[:2], TOKENS[1], *TOKENS[2:]]), [receipt(6)], "differs"),
        (answer(counted=5), [receipt()], "usage"),
        (replace(answer(), ids={"chatcmpl-1", "chatcmpl-2"}), [receipt()], "2 ids"),
        (replace(answer(), done=2), [receipt()], "[DONE] 2 times"),
        (replace(answer(), text="Once upon a time"), [receipt()], "text"),
        (replace(answer(), usages=[{"prompt_tokens": 9, "completion_tokens": 8}]), [receipt()], "prompt tokens"),
        (answer(), [receipt(len(TOKENS))], "bills"),
        (answer(), [receipt(text=" another")], "another text"),
        (answer(), [], "no part has a receipt"),
        (answer(), [{**receipt(), "countersignature": None}], "countersigned"),
    ],
)
def test_what_is_wrong_is_found(broken: StreamedAnswer, receipts: list[dict[str, Any]], said: str) -> None:
    assert any(said in each for each in judge("kill", broken, answer(), [SEAM], receipts).broken)


def test_a_fault_is_taken_once_and_when_it_is_due(tmp_path) -> None:
    path = tmp_path / "fault"
    assert take_fault(path, 100) == ""
    plan_fault(path, "reset", 5)
    assert [take_fault(path, tokens) for tokens in (5, 6, 7)] == ["", "reset", ""]
