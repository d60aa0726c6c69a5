"""Nodes and receipts as an explorer shows them, and whose receipts are shown to whom."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from peernode.edge.accounts import NoAccounts
from peernode.ledger.client_key import ClientKey, KeyLimits, new_key_text
from peernode.ledger.client_records import ClientRequest
from tests.edge.conftest import PROVIDER
from tests.edge.openrouter.test_models import NODE

FRIEND = replace(NODE, peer_id="12D3KooWfriend", models=())
ID = "req_01J9Z4KXM8VWQE3T5P6N7R2Y0C"
OTHERS = "req_01J9Z4KXM8VWQE3T5P6N7R2Y0D"


KEY = new_key_text(secrets.token_bytes)
KEYED = {"authorization": KEY.text}


class Owned(NoAccounts):
    async def recognise(self, offered):
        return ClientKey("somebody", "app", 0, KeyLimits())

    async def request(self, request_id):
        if request_id != OTHERS:
            return None
        made = object.__new__(ClientRequest)
        for name, value in {"request_id": request_id, "key_id": "somebody"}.items():
            object.__setattr__(made, name, value)
        return made


@pytest.fixture
def services(services):
    made, runner, shelf = services
    return replace(made, nodes=lambda: [NODE, FRIEND], accounts=Owned()), runner, shelf


async def test_nodes(edge):
    plain = (await edge.client.get("/v1/nodes")).json()
    assert plain == (await edge.client.get("/api/nodes")).json()["nodes"]
    assert plain[0]["peer_id"] == PROVIDER.peer_id
    assert (plain[0]["models"], plain[0]["max_concurrent_jobs"]) == (["org/tiny", "other"], 4)
    assert plain[0]["last_seen_ms"] == 1000500
    assert plain[0]["offers"][0]["pricing"]["prompt"] == "0.0000000001"


async def test_one_node(edge):
    for name in (PROVIDER.peer_id, PROVIDER.peer_id[-8:]):
        assert (await edge.client.get(f"/api/nodes/{name}")).json()["node"]["peer_id"] == PROVIDER.peer_id
    assert (await edge.client.get("/api/nodes/nobody")).status_code == 404
    assert (await edge.client.get("/api/nodes/12D3Koo")).status_code == 404


@pytest.mark.parametrize("name", [ID, "gen-" + ID[4:], "chatcmpl-" + ID[4:], "cmpl-" + ID[4:]])
async def test_a_receipt_and_what_was_paid(edge, record, name):
    edge.shelf.held[ID] = [record(ID), record(ID, part=1)]
    body = (await edge.client.get(f"/api/r/{name}")).json()
    assert body["receipt"]["request_id"] == ID
    assert [part["part"] for part in body["receipt"]["receipt_json"]["parts"]] == [0, 1]
    assert [payment["payee"] for payment in body["payments"]] == [PROVIDER.peer_id] * 2
    assert sum(payment["amount"] for payment in body["payments"]) == body["receipt"]["receipt_json"]["payment_amount"]


async def test_receipts_that_are_not_there_or_not_the_callers(edge, record):
    edge.shelf.held[OTHERS] = [record(OTHERS)]
    assert (await edge.client.get(f"/api/r/{ID}")).status_code == 404
    assert (await edge.client.get(f"/api/r/{OTHERS}")).status_code == 403


async def test_recent_receipts(edge, record):
    names = [f"req_{number:026}" for number in range(5)]
    edge.shelf.held.update((name, [record(name)]) for name in [*names, OTHERS])
    body = (await edge.client.get("/api/recent", params={"limit": 3})).json()
    assert [row["request_id"] for row in body["receipts"]] == [names[4], names[3]]  # the newest is another's
    row = body["receipts"][0]
    assert (row["model"], row["countersigned"], row["completion_tokens"]) == ("org/tiny", True, 2)
    more = (await edge.client.get("/api/recent", params={"limit": 3, "offset": 3})).json()
    assert [row["request_id"] for row in more["receipts"]] == names[2::-1]
    assert (await edge.client.get("/api/recent", params={"limit": 101})).status_code == 400


@pytest.mark.parametrize(("anonymous", "headers"), [("yes", {}), ("loopback", KEYED)])
async def test_strangers_do_not_hear_the_names_of_requests_without_a_key(edge, record, anonymous, headers):
    object.__setattr__(edge.services, "anonymous", anonymous)
    edge.shelf.held.update((name, [record(name)]) for name in (ID, OTHERS))
    rows = (await edge.client.get("/api/recent", headers=headers)).json()["receipts"]
    assert [row["request_id"] for row in rows] == ([None] if not headers else [OTHERS, None])
    assert ID not in str(rows)
