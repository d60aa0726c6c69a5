"""Rows 1 to 16: paths, framings and lists."""

from __future__ import annotations

import json

from conformance_asking import ROUTER, SEES, TINY, USER, Asker, Rows
from conformance_strain import come_back, wait_well

ROWS = Rows()


@ROWS.row(1, "POST /v1/chat/completions, OpenAI's shape", "asked")
def _(it: Asker) -> str:
    answer = it.chat()
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["total_tokens"] > 0
    return answer["choices"][0]["finish_reason"]


@ROWS.row(2, "POST /api/v1/chat/completions", "says what row 1's path says, also at /ai/v1")
def _(it: Asker) -> None:
    assert it.says() == it.says(ROUTER) == it.says("/ai/v1/chat/completions")


@ROWS.row(3, "POST /api/chat: {model, message}", "asked")
def _(it: Asker) -> None:
    answer = it.send("/api/chat", it.body()).json()
    assert answer["model"] == it.model
    assert answer["message"]["role"] == "assistant"


@ROWS.row(4, "POST /api/chat/stream, lines of JSON", "split without carry-over, same words as whole")
def _(it: Asker) -> str:
    lines = it.lines()
    assert "".join(line["message"]["content"] for line in lines) == it.says()
    return f"{len(lines)} lines"


@ROWS.row(5, "Server-sent events that end with [DONE]", "same words as whole")
def _(it: Asker) -> None:
    for path in ("/v1/chat/completions", ROUTER):
        said = [chunk["choices"][0]["delta"].get("content", "") for chunk in it.chunks(path) if chunk["choices"]]
        assert "".join(said) == it.says()


@ROWS.row(6, "List of models, OpenAI's form", "GET /v1/models")
def _(it: Asker) -> None:
    assert it.get("/v1/models")["object"] == "list"


@ROWS.row(7, "One model", "GET /v1/models/{id} and /v1/chat/models/{id}")
def _(it: Asker) -> None:
    assert it.get(f"/v1/models/{it.model}")["id"] == it.get(f"/v1/chat/models/{it.model}")["id"] == it.model


@ROWS.row(8, "GET /api/models: models and tools", "asked")
def _(it: Asker) -> None:
    listed = it.get("/api/models")
    assert it.model in [model["id"] for model in listed["models"]]
    assert "pricing_info" in [tool["name"] for tool in listed["tools"]]


@ROWS.row(9, "GET /api/v1/chat/models", "asked, also /v1/chat/models and /api/v1/models")
def _(it: Asker) -> None:
    for path in ("/api/v1/chat/models", "/v1/chat/models", "/api/v1/models"):
        assert it.get(path)["data"][0]["id"] == it.model


@ROWS.row(10, "The list follows providers that come and go", "kill -9 of one, and back: its model goes and comes")
def _(it: Asker) -> None:
    def listed() -> dict[str, int]:
        names = (it.model, SEES)
        return {each["id"]: each["nodes_available"] for each in it.get("/v1/models")["data"] if each["id"] in names}

    seeing = it.providers[1]
    assert listed() == {it.model: 2, SEES: 1}
    seeing.kill()
    # Whoever was to be asked first, and could not be, is off the list at once; else when its lease is over.
    assert it.chat(provider={"order": [seeing.peer_id]})["provider"] == it.providers[0].peer_id
    assert listed() == {it.model: 1}
    come_back(it, seeing)
    wait_well(it, seeing, SEES)
    assert listed() == {it.model: 2, SEES: 1}


@ROWS.row(11, "prompt, answered with choices[].text", "says what the same words as a message get")
def _(it: Asker) -> None:
    body = {**it.body(), "prompt": USER["content"]}
    del body["messages"]
    for path in (ROUTER, "/v1/completions"):
        assert it.send(path, body).json()["choices"][0]["text"] == it.says()


@ROWS.row(12, "POST /api/tools", "pricing_info asked")
def _(it: Asker) -> str:
    answer = it.send("/api/tools", {"function": {"name": "pricing_info", "arguments": {"model": it.model}}}).json()
    return f"{answer['models'][0]['completion']} credits a token"


@ROWS.row(13, "GET /v1/usage", "counts an answer of a fresh key")
def _(it: Asker) -> str:
    bearer = {"Authorization": f"Bearer {it.key}"}
    before = it.get("/v1/usage", **bearer)["total_tokens"]
    used = it.send("/v1/chat/completions", it.body(), **bearer).json()["usage"]["total_tokens"]
    assert it.get("/v1/usage", **bearer)["total_tokens"] == before + used
    return f"{used} tokens"


@ROWS.row(14, "GET /v1/receipts/{id}", "fetched, and verified by the node")
def _(it: Asker) -> None:
    receipt = it.get(f"/v1/receipts/{it.chat()['request_id']}")
    assert receipt["verified"]["ok"]
    assert {"request_id", "node_id", "model", "timestamp", "payment_amount", "coordinator_signature"} <= receipt.keys()


@ROWS.row(15, "Explorer: by id, by node, recent", "/api/r, /api/nodes, /api/recent")
def _(it: Asker) -> None:
    name = it.chat()["request_id"]
    assert it.get(f"/api/r/{name}")["payments"]
    assert name in json.dumps(it.get("/api/recent"))
    provider = it.providers[0].peer_id
    assert it.get(f"/api/nodes/{provider}")["node"]["models"] == [it.model, TINY]


@ROWS.row(16, "Nodes and health", "/v1/nodes, /healthz, /readyz")
def _(it: Asker) -> str:
    assert it.client.get("/healthz").status_code == it.client.get("/readyz").status_code == 200
    return f"{len(it.get('/v1/nodes'))} nodes"
