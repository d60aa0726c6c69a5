"""Rows 54 to 72: what an answer costs, who pays, and who may ask."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
from conformance_asking import CHAT, ENDLESS, ROUTER, TINY, Asker, Rows
from conformance_further import another, another_edge, new_key, peernode, soon, told
from conformance_strain import come_back, said

from tests.models import write_tiny_model

ROWS = Rows()
MICRO = 10**6
# Whatever the model would say, it ends at once: <|im_end|> of the real model.
AT_ONCE = {"2": 100}


def left_of(it: Asker, key: dict[str, str]) -> Decimal:
    return Decimal(str(it.get("/api/v1/key", **key)["data"]["limit_remaining"]))


def asked(it: Asker, key: dict[str, str], path: str = CHAT, **changes: Any) -> httpx.Response:
    return it.send(path, it.body(**changes), **key)


@ROWS.row(54, "Credits in a header", "agrees with the body, at /v1 and at /api/chat")
def _(it: Asker) -> str:
    for path, cost in ((CHAT, lambda body: body["usage"]["cost"]), ("/api/chat", lambda body: body["Credits"])):
        answer = it.send(path, it.body())
        assert float(answer.headers["credits"]) == cost(answer.json())
    return answer.headers["credits"]


@ROWS.row(55, "Cost-Per-Unit in a header", "whole and streamed")
def _(it: Asker) -> str:
    for path in (CHAT, "/api/chat", "/api/chat/stream"):
        found = it.send(path, it.body()).headers["cost-per-unit"]
        assert float(found) > 0
    return found


@ROWS.row(56, "The cost in the last message of a stream", "Credits, and usage.cost; both are what the receipt says")
def _(it: Asker) -> str:
    last = it.lines()[-1]
    assert last["Credits"] == it.get(f"/v1/receipts/{last['request_id']}")["payment_amount"]
    usage = it.chunks(stream_options={"include_usage": True})[-1]
    assert usage["usage"]["cost"] == it.get(f"/v1/receipts/{usage['request_id']}")["payment_amount"] > 0
    return str(last["Credits"])


@ROWS.row(57, "A free allowance that refills", "without a key: answers, 402 when it is used up, answers again later")
def _(it: Asker) -> str:
    with another_edge(it, "generous", "[access]\nfree_credits = 0.0001\nfree_refill = 0.01\n") as edge:
        answers = 0
        while (answer := asked(edge, {}, max_tokens=64, logit_bias={"2": -100})).status_code == 200:
            answers += 1
            assert answers < 20
        assert (answer.status_code, answers > 0) == (402, True)
        soon(lambda: asked(edge, {}, max_tokens=1).status_code == 200)
    return f"answers until then: {answers}"


@ROWS.row(58, "402 with Location", "a key that ran dry: the page at Location takes another and leads back")
def _(it: Asker) -> str:
    poor = {**new_key(it, "0.000001"), "Redirect": "/app"}
    refused = asked(it, poor, "/api/chat")
    assert refused.status_code == 402, refused.text
    page = it.client.get(refused.headers["location"])
    assert (page.status_code, "key" in page.text) == (200, True)
    error = asked(it, poor)
    assert (error.status_code, error.json()["error"]["metadata"]["reason"]) == (402, "insufficient_credit")
    return refused.headers["location"].partition("?")[0]


@ROWS.row(59, "Providers earn", "its own books grow by what the receipt says")
def _(it: Asker) -> str:
    first = it.providers[0]
    before = first.admin("/admin/credits")["owed_by_peers"]
    answer = it.chat(provider={"only": [first.peer_id]})
    (payment,) = it.get(f"/api/r/{answer['request_id']}")["payments"]
    assert payment["payee"] == first.peer_id
    cost = round(payment["amount"] * MICRO)
    soon(lambda: first.admin("/admin/credits")["owed_by_peers"] == before + cost)
    return f"{cost} micro-credits"


@ROWS.row(
    60,
    "A share for who built the app or runs the edge",
    "a tenth on top: charged, shown, booked; the provider's bill is without",
)
def _(it: Asker) -> str:
    with another_edge(it, "shop", "[prices]\ncoordinator_share = 0.1\n") as edge:
        key = new_key(edge, "1")
        answer = asked(edge, key, max_tokens=32)
        receipt = edge.get(f"/v1/receipts/{answer.json()['request_id']}", **key)["receipt"]
        fee = receipt["credits"] // 10
        charged = round(float(answer.headers["credits"]) * MICRO)
        assert charged == receipt["credits"] + fee
        assert fee > 0
        assert left_of(edge, key) == 1 - Decimal(charged).scaleb(-6)
        assert -edge.edge.admin("/admin/credits")["fees"] == fee
    return f"{receipt['credits']} + {fee}"


@ROWS.row(61, "Prices by how long a model takes", 'price = "auto": a model of 64 layers is dearer than one of two')
def _(it: Asker) -> str:
    folder = it.edge.home.parent
    config = '[prices]\nprice = "auto"\ndecode_tps = 500\n'
    for name, layers in (("heavy", 64), ("light", 2)):
        file = write_tiny_model(folder / f"{name}.gguf", layers=layers)
        config += f'[[model]]\nid = "{name}"\npath = "{file}"\nthreads = 1\n'
    mark = it.edge.mark
    with another(it, "measured", config) as node:
        it.edge.wait_for_offer(node.peer_id, since=mark)
        soon(lambda: {"heavy", "light"} <= {model["id"] for model in it.get("/v1/models")["data"]})
        for name in ("heavy", "light"):
            it.chat(model=name, max_tokens=100, logit_bias=ENDLESS)
        heavy, light = soon(lambda: _apart(it))
    return f"{heavy} and {light} credits a token"


def _apart(it: Asker) -> tuple[str, str] | None:
    prices = [it.get(f"/v1/models/{name}")["pricing"]["completion"] for name in ("heavy", "light")]
    return (prices[0], prices[1]) if float(prices[0]) > float(prices[1]) else None


@ROWS.row(62, "Prices are published", "the list of models, the endpoints, pricing_info agree")
def _(it: Asker) -> str:
    price = it.get(f"/v1/models/{it.model}")["pricing"]["completion"]
    endpoints = it.get(f"/api/v1/models/{it.model}/endpoints")["data"]["endpoints"]
    listed = it.send("/api/tools", {"function": {"name": "pricing_info"}}).json()["models"]
    assert price in {each["pricing"]["completion"] for each in endpoints}
    assert price in {each["completion"] for each in listed}
    return price


@ROWS.row(63, "A fixed supply, caps on what one gets", "what goes beyond either is refused, and not granted")
def _(it: Asker) -> str:
    home = it.edge.home
    granted = told(home, "credits", "supply")["granted"]
    peernode(home, "credits", "supply", "--total", f"{granted + 3:.6f}", "--per-key", "2")
    try:
        key = told(home, "keys", "create", "capped", "--credits", "2")["id"]
        assert "supply_exhausted" in peernode(home, "keys", "topup", key, "0.5", code=1)
        assert "supply_exhausted" in peernode(home, "keys", "create", "late", "--credits", "1.5", code=1)
        now = told(home, "credits", "supply")
        assert (round(now["granted"] - granted, 6), round(now["left"], 6)) == (2.0, 1.0)
    finally:
        peernode(home, "credits", "supply", "--total", "none", "--per-key", "none")
    return "refused: supply_exhausted"


@ROWS.row(64, "A cap for each key", "a key without end: 429 when the month's cap is used up, with Retry-After")
def _(it: Asker) -> str:
    key = new_key(it, "0", "--unlimited", "--month-cap", "0.0001")
    answers = 0
    while (answer := asked(it, key, max_tokens=32)).status_code == 200:
        answers += 1
        assert answers < 20
    error = answer.json()["error"]
    assert answers > 0
    assert (answer.status_code, error["metadata"]["reason"]) == (429, "month_cap_reached")
    assert int(answer.headers["retry-after"]) > 0
    return f"answers until then: {answers}"


@ROWS.row(
    65,
    "No charge for what failed or is empty",
    "an empty answer; kill -9 in the middle of one that may go nowhere else",
)
def _(it: Asker) -> str:
    key, first = new_key(it, "1"), it.providers[0]
    empty = asked(it, key, logit_bias=AT_ONCE)
    assert empty.json()["usage"]["completion_tokens"] == 0, empty.text
    assert (float(empty.headers["credits"]), left_of(it, key)) == (0, 1)
    only = {"only": [first.peer_id]}
    body = it.body(model=TINY, provider=only, max_tokens=4000, logit_bias=ENDLESS, stream=True)
    with it.client.stream("POST", CHAT, json=body, headers=key) as answer:
        assert answer.status_code == 200, answer.read()[:300]
        lines = answer.iter_lines()
        next(line for line in lines if said(line))
        assert left_of(it, key) < 1  # held while it runs
        first.kill()
        assert any('"error"' in line for line in lines)
    soon(lambda: left_of(it, key) == 1)
    come_back(it, first)
    return "held, then given back"


@ROWS.row(
    66,
    "Pluggable settlement",
    "paid outside by whatever means: a signed note with its reference reaches the debtor's books",
)
def _(it: Asker) -> str:
    first, reference = it.providers[0], "invoice 7 / SEPA / 0xabc"
    it.chat(provider={"only": [first.peer_id]})
    owes = soon(lambda: _debt(it))
    made = told(first.home, "credits", "settle", it.edge.peer_id, f"{owes / MICRO:.6f}", "--reference", reference)
    assert (made["delivered"], made["balance"]) == (True, 0)
    notes = soon(
        lambda: [row["note"] for row in told(it.edge.home, "credits", "history", first.peer_id) if row["note"]]
    )
    assert notes[0] == reference
    return f"{owes} micro-credits by {reference!r}"


def _debt(it: Asker) -> int:
    rows = told(it.providers[0].home, "credits", "peers")
    return next((row["balance"] for row in rows if row["peer"] == it.edge.peer_id), 0)


@ROWS.row(
    67,
    "Bearer keys, hashed, revocable",
    "one answers, a wrong one is refused, a revoked one too; the ledger holds no text",
)
def _(it: Asker) -> None:
    made = told(it.edge.home, "keys", "create", "short-lived", "--credits", "1")
    good = {"Authorization": f"Bearer {made['key']}"}
    assert asked(it, good).status_code == 200
    wrong = made["key"][:-1] + ("A" if made["key"][-1] != "A" else "B")
    assert asked(it, {"Authorization": f"Bearer {wrong}"}).status_code == 401
    peernode(it.edge.home, "keys", "revoke", made["id"])
    revoked = asked(it, good)
    assert (revoked.status_code, revoked.json()["error"]["metadata"]["reason"]) == (401, "revoked_key")
    secret = made["key"].removeprefix(f"sk-pn-{made['id']}")[:20].encode()
    assert not any(secret in file.read_bytes() for file in it.edge.home.glob("ledger.db*"))


@ROWS.row(68, "The raw token as Authorization", "answers at /api/chat, on the key's account")
def _(it: Asker) -> None:
    key = new_key(it, "1")
    raw = {"Authorization": key["Authorization"].removeprefix("Bearer ")}
    assert asked(it, raw, "/api/chat").status_code == 200
    assert left_of(it, key) < 1


@ROWS.row(69, "Login redirect", "a wrong key is led to the page, the page back to the app with the key")
def _(it: Asker) -> None:
    wrong = it.key[:-1] + ("C" if it.key[-1] != "C" else "D")
    refused = it.send("/api/chat", it.body(), Authorization=wrong, Redirect="/app?x=1")
    page = refused.headers["location"]
    assert it.client.get(page).status_code == 200
    target = "http://localhost:3000/app?x=1"
    back = it.client.post("/api/third-party/auth", data={"redirect": target, "key": it.key})
    assert (back.status_code, back.headers["location"]) == (303, f"{target}#token={it.key}")


@ROWS.row(
    70,
    "A rate limit for each key",
    "the second request of a minute: 429 with Retry-After and X-RateLimit; others go on",
)
def _(it: Asker) -> str:
    limited, other = new_key(it, "1", "--requests-per-minute", "1"), new_key(it, "1")
    first = asked(it, limited)
    assert (first.status_code, first.headers["x-ratelimit-remaining"]) == (200, "0")
    second = asked(it, limited)
    assert (second.status_code, second.headers["x-ratelimit-limit"]) == (429, "1")
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert asked(it, other).status_code == 200
    return f"Retry-After: {second.headers['retry-after']}"


@ROWS.row(71, "App attribution headers", "HTTP-Referer and X-Title are accepted")
def _(it: Asker) -> None:
    headers = {"HTTP-Referer": "https://app.example", "X-Title": "App"}
    assert it.send(ROUTER, it.body(), **headers).status_code == 200


@ROWS.row(
    72, "CORS for apps in browsers", "a listed origin: preflight, then an answer whose costs it may read; another: 403"
)
def _(it: Asker) -> str:
    app = "https://app.example"
    with another_edge(it, "apps", f'[access]\norigins = ["{app}"]\n') as edge:
        wish = {
            "Origin": app,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        preflight = edge.client.options(CHAT, headers=wish)
        assert preflight.headers["access-control-allow-origin"] == app
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        answer = asked(edge, {"Origin": app})
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, app)
        assert all(name in exposed for name in ("credits", "cost-per-unit", "location", "retry-after"))
        stranger = asked(edge, {"Origin": "https://evil.example"})
        assert (stranger.status_code, "access-control-allow-origin" in stranger.headers) == (403, False)
        assert asked(it, {"Origin": app}).status_code == 403  # nobody is listed there
    return app
