"""The login page: who is sent there, where it leads, and that it gives keys to nobody else."""

from __future__ import annotations

import secrets
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from peernode.chat.events import Failed
from peernode.ledger.client_key import new_key_text
from peernode.market.client_errors import InsufficientCredit
from tests.edge.known_keys import KnownKeys

KEY = new_key_text(secrets.token_bytes)
PATH = "/api/third-party/auth"
BODY = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def services(services):
    made, runner, shelf = services
    return replace(made, accounts=KnownKeys(KEY), anonymous="no"), runner, shelf


async def refused(edge, **headers):
    answer = await edge.client.post("/api/chat", json=BODY, headers=headers)
    assert answer.status_code == 401
    return answer.headers["location"]


async def test_who_has_no_key_is_sent_to_the_page_and_comes_back_with_one(edge):
    origin = edge.base
    page = await refused(edge, redirect="/story?part=2", origin=origin)
    assert urlsplit(page).path == PATH
    shown = await edge.client.get(page)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    back = parse_qs(urlsplit(page).query)["redirect"][0]
    assert back == f"{origin}/story?part=2"
    sent = await edge.client.post(PATH, data={"redirect": back, "key": f" {KEY.text} "})
    assert (sent.status_code, sent.headers["location"]) == (303, f"{back}#token={KEY.text}")
    token = sent.headers["location"].partition("#token=")[2]
    answer = await edge.client.post("/api/chat", json=BODY, headers={"authorization": token})
    assert answer.status_code == 200
    assert edge.runner.jobs[0].payer == KEY.id


async def test_an_app_elsewhere_on_this_machine_is_named_by_its_url(edge):
    page = await refused(edge, redirect="http://127.0.0.1:3000/app")
    assert parse_qs(urlsplit(page).query)["redirect"] == ["http://127.0.0.1:3000/app"]
    assert "127.0.0.1:3000" in (await edge.client.get(page)).text


@pytest.mark.parametrize(
    "redirect",
    [
        "",
        "/story",
        "javascript:alert(1)",
        "https://evil.example/",
        "http://localhost.evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "http://[::1/",
        "data:text/html,x",
    ],
)
async def test_nobody_else_is_given_a_key(edge, redirect):
    assert (await edge.client.get(PATH, params={"redirect": redirect})).status_code == 400
    assert (await edge.client.post(PATH, data={"redirect": redirect, "key": KEY.text})).status_code == 400


async def test_what_is_shown_is_escaped(edge):
    target = 'http://127.0.0.1/"><script>alert(1)</script>'
    text = (await edge.client.get(PATH, params={"redirect": target})).text
    assert "<script" not in text


async def test_what_is_no_key_is_said_to_be_none(edge):
    answer = await edge.client.post(PATH, data={"redirect": f"{edge.base}/", "key": "sk-pn-short"})
    assert answer.status_code == 400
    assert "This is not a key" in answer.text


async def test_who_has_no_credit_is_sent_there_too(edge):
    edge.runner.steps = [Failed(InsufficientCredit(needed=2, available=1, remedy=""))]
    answer = await edge.client.post("/api/chat", json=BODY, headers={"authorization": KEY.text})
    assert answer.status_code == 402
    assert PATH in answer.headers["location"]


async def test_other_dialects_are_not_sent_anywhere(edge):
    answer = await edge.client.post("/v1/chat/completions", json=BODY)
    assert answer.status_code == 401
    assert "location" not in answer.headers


async def test_a_method_that_the_page_does_not_take_is_told_both_that_it_takes(edge):
    answer = await edge.client.delete("/api/third-party/auth")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
