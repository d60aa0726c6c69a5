"""The admin app: nothing without the token, everything with it."""

from __future__ import annotations

import httpx
import pytest
import trio

from peernode.edge.admin import build_admin_app
from peernode.edge.bind import parse_bind
from peernode.edge.errors import UnknownPeer
from peernode.edge.serve import serve_app
from peernode.mesh.errors import DialFailed

TOKEN = "t" * 43


class Operator:
    def status(self):
        return {"peer_id": "12D3KooWx", "addresses": [], "http": None, "models": [], "peers": 0, "version": "0"}

    def models(self):
        return [{"id": "org/tiny"}]

    def metrics(self):
        return "peernode_engine_steps_total 3.0\n"

    def peers(self):
        return []

    def route(self, model, request, wishes):
        return {"model": model, "prompt": request.messages[0].content, "only": wishes.only, "candidates": []}

    async def ping(self, peer, count):
        if peer == "far":
            raise DialFailed("Peer far did not answer.", cause="nothing for 10 s")
        if peer != "12D3KooWy":
            raise UnknownPeer("This node knows no such peer.", cause=peer)
        return {"peer_id": peer, "sent": count}


@pytest.fixture
async def admin(nursery, services):
    made, _runner, _shelf = services
    stop = trio.Event()

    async def run(task_status):
        app = build_admin_app(made, Operator(), TOKEN)
        await serve_app(app, parse_bind("127.0.0.1:0"), stop=stop, grace_s=0.2, name="admin", task_status=task_status)

    bind = await nursery.start(run)
    async with httpx.AsyncClient(base_url=f"http://{bind}", timeout=60) as client:
        yield client
    stop.set()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer " + "u" * 43, TOKEN, f"bearer {TOKEN} x"])
async def test_without_the_token_nothing_is_told(admin, header):
    headers = {} if header is None else {"Authorization": header}
    for path in ("/admin/status", "/v1/models", "/openapi.json", "/nowhere"):
        answer = await admin.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["metadata"]["reason"] == "token_refused"


async def test_with_the_token_the_operator_sees_the_node(admin):
    admin.headers["Authorization"] = f"Bearer {TOKEN}"
    assert (await admin.get("/admin/status")).json()["peer_id"] == "12D3KooWx"
    assert (await admin.get("/admin/models")).json() == [{"id": "org/tiny"}]
    assert (await admin.get("/admin/peers")).json() == []
    metrics = await admin.get("/admin/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert metrics.text == "peernode_engine_steps_total 3.0\n"


async def test_the_operator_can_ping(admin):
    admin.headers["Authorization"] = f"Bearer {TOKEN}"
    assert (await admin.get("/admin/ping?peer=12D3KooWy&count=3")).json() == {"peer_id": "12D3KooWy", "sent": 3}
    unknown = await admin.get("/admin/ping?peer=nobody")
    assert (unknown.status_code, unknown.json()["error"]["metadata"]["reason"]) == (404, "unknown_peer")
    far = await admin.get("/admin/ping?peer=far")
    assert (far.status_code, far.json()["error"]["metadata"]["reason"]) == (504, "dial_failed")
    for query in ("", "?peer=12D3KooWy&count=0", "?peer=12D3KooWy&count=101", "?peer=12D3KooWy&count=x"):
        assert (await admin.get(f"/admin/ping{query}")).status_code == 400


async def test_the_operator_sees_how_each_model_that_is_named_would_be_routed(admin):
    admin.headers["Authorization"] = f"Bearer {TOKEN}"
    body = {"model": "a", "models": ["b"], "messages": [{"role": "user", "content": "hi"}], "provider": {"only": ["x"]}}
    answer = await admin.post("/admin/route", json=body)
    assert answer.json() == [{"model": name, "prompt": "hi", "only": ["x"], "candidates": []} for name in "ab"]
    refused = await admin.post("/admin/route", json={**body, "provider": {"sort": "beauty"}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "provider.sort")
    assert (await admin.post("/admin/route", headers={"Authorization": ""}, json=body)).status_code == 401


async def test_the_operator_can_chat(admin):
    admin.headers["Authorization"] = f"Bearer {TOKEN}"
    body = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}]}
    answer = await admin.post("/v1/chat/completions", json=body)
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"


async def test_the_token_does_not_excuse_a_foreign_host(admin):
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}
    assert (await admin.get("/admin/status", headers=headers)).status_code == 403


def test_a_short_token_is_a_programming_error(services):
    with pytest.raises(ValueError, match="32"):
        build_admin_app(services[0], Operator(), "short")
