"""Rows 54 to 72: what an answer costs, who pays, and who may ask."""

from __future__ import annotations

from conformance_asking import CHAT, Asker, Rows

ROWS = Rows()


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
        assert float(found) >= 0
    return found


@ROWS.row(56, "The cost in the last message of a stream", "Credits, and usage.cost")
def _(it: Asker) -> None:
    assert it.lines()[-1]["Credits"] >= 0
    assert it.chunks(stream_options={"include_usage": True})[-1]["usage"]["cost"] >= 0


ROWS.not_yet(57, "A free allowance that refills", "needs a node with [access] free_credits; tests of accounts have it")
ROWS.not_yet(58, "402 with Location", "tests/edge/peerwave/test_login.py; here a key has to run dry")


@ROWS.row(59, "Providers earn", "the provider's name and amount are in the receipt")
def _(it: Asker) -> None:
    (payment,) = it.get(f"/api/r/{it.chat()['request_id']}")["payments"]
    assert payment["payee"] in {node.peer_id for node in it.providers}


ROWS.not_yet(60, "A network's fee, a share for app builders", "none is taken")
ROWS.not_yet(61, "Prices by how long a model takes", 'price = "auto"; here both providers have the usual price')


@ROWS.row(62, "Prices are published", "the list of models, the endpoints, pricing_info agree")
def _(it: Asker) -> str:
    price = it.get(f"/v1/models/{it.model}")["pricing"]["completion"]
    endpoints = it.get(f"/api/v1/models/{it.model}/endpoints")["data"]["endpoints"]
    told = it.send("/api/tools", {"function": {"name": "pricing_info"}}).json()["models"]
    assert price in {each["pricing"]["completion"] for each in endpoints}
    assert price in {each["completion"] for each in told}
    return price


ROWS.not_yet(63, "A fixed supply, caps on purchases", "credits are each node's own; none are sold")
ROWS.not_yet(64, "A cap for each key", "tests of keys; here a key with --month-cap has to reach it")
ROWS.not_yet(65, "No charge for what failed or is empty", "tests of paid jobs; here a provider has to fail")
ROWS.not_yet(66, "Pluggable settlement", "settlement notes alone")


@ROWS.row(67, "Bearer keys", "one answers, a wrong one is refused")
def _(it: Asker) -> None:
    assert it.send(CHAT, it.body(), Authorization=f"Bearer {it.key}").status_code == 200
    wrong = it.key[:-1] + ("A" if it.key[-1] != "A" else "B")
    assert it.send(CHAT, it.body(), Authorization=f"Bearer {wrong}").status_code == 401


@ROWS.row(68, "The raw token as Authorization", "answers at /api/chat")
def _(it: Asker) -> None:
    assert it.send("/api/chat", it.body(), Authorization=it.key).status_code == 200


@ROWS.row(69, "Login redirect", "a wrong key is led to the page, the page back to the app with the key")
def _(it: Asker) -> None:
    wrong = it.key[:-1] + ("C" if it.key[-1] != "C" else "D")
    refused = it.send("/api/chat", it.body(), Authorization=wrong, Redirect="/app?x=1")
    page = refused.headers["location"]
    assert it.client.get(page).status_code == 200
    target = "http://localhost:3000/app?x=1"
    back = it.client.post("/api/third-party/auth", data={"redirect": target, "key": it.key})
    assert (back.status_code, back.headers["location"]) == (303, f"{target}#token={it.key}")


ROWS.not_yet(70, "A rate limit for each key", "tests/edge/test_limits.py; here a key with a limit has to reach it")


@ROWS.row(71, "App attribution headers", "HTTP-Referer and X-Title are accepted")
def _(it: Asker) -> None:
    headers = {"HTTP-Referer": "https://app.example", "X-Title": "App"}
    assert it.send("/api/v1/chat/completions", it.body(), **headers).status_code == 200


ROWS.not_yet(72, "CORS for apps in browsers", "other origins are refused; there is no setting yet that allows one")
