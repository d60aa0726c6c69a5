"""The receipt route: what it shows is what was signed, and its checks are made when it is asked."""

from __future__ import annotations

import base64

from nacl.signing import VerifyKey

from peernode.wire.receipt import Receipt

REQUEST = "req_01ARZ3NDEKTSV4RRFFQ69G5FAV"


async def fetch(edge, *records):
    edge.shelf.held[REQUEST] = list(records)
    answer = await edge.client.get(f"/v1/receipts/{REQUEST}")
    assert answer.status_code == 200
    return answer.json()


async def test_every_signed_field_is_shown(edge, record):
    held = record(REQUEST)
    shown = (await fetch(edge, held))["receipt"]
    assert list(shown) == list(Receipt.__dataclass_fields__)
    assert shown["model_digest"] == "01" * 32
    assert shown["prices"] == {"prompt": 100_000, "cached": 25_000, "completion": 400_000}
    assert shown["credits"] == held.receipt.receipt.credits


async def test_the_flat_keys_are_there(edge, record):
    body = await fetch(edge, record(REQUEST, credits=2))
    assert body["request_id"] == REQUEST
    assert body["node_id"].startswith("12D3Koo")
    assert body["model"] == "org/tiny"
    assert body["timestamp"] == "2023-11-14T22:13:20.200Z"
    assert body["payment_amount"] == 0.000002
    assert body["coordinator_signature"].startswith("0x")


async def test_anyone_can_check_the_signatures_from_the_answer_alone(edge, record):
    body = await fetch(edge, record(REQUEST))
    node, by_edge = body["signatures"]
    assert (node["role"], by_edge["role"]) == ("node", "edge")
    for signature, canonical in ((node, body["canonical"]), (by_edge, body["countersignature_canonical"])):
        VerifyKey(bytes.fromhex(signature["key"])).verify(base64.b64decode(canonical), bytes.fromhex(signature["sig"]))


async def test_the_checks_are_made_now(edge, record):
    assert (await fetch(edge, record(REQUEST)))["verified"]["ok"] is True
    wrong = (await fetch(edge, record(REQUEST, credits=999)))["verified"]
    assert wrong["ok"] is False
    assert [check["name"] for check in wrong["checks"] if not check["passed"]] == ["credits are tokens times prices"]


async def test_an_answer_of_two_parts_shows_both(edge, record):
    body = await fetch(edge, record(REQUEST, part=1, credits=3), record(REQUEST, part=0, credits=2))
    assert [part["part"] for part in body["parts"]] == [0, 1]
    assert body["part"] == 1
    assert body["payment_amount"] == 0.000005


async def test_an_unknown_receipt_is_404(edge):
    answer = await edge.client.get("/v1/receipts/req_nobody")
    assert answer.status_code == 404
    assert answer.json()["error"]["metadata"]["reason"] == "unknown_receipt"
