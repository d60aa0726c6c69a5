"""Who may call: Host must name this machine, and pages of other origins change nothing."""

from __future__ import annotations

import pytest

from peernode.edge.hosts import hostname_of

BODY = {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.5", "a b", "["])
async def test_foreign_hosts_are_refused_on_every_route(edge, host):
    for method, path in (("GET", "/healthz"), ("GET", "/docs"), ("POST", "/v1/chat/completions"), ("GET", "/x")):
        answer = await edge.client.request(method, path, headers={"Host": host}, json=BODY)
        assert answer.status_code == 403
        assert answer.json()["error"]["metadata"]["reason"] == "host_refused"
    assert not edge.runner.jobs


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:5", "[::1]:80"])
async def test_loopback_names_are_answered(edge, host):
    assert (await edge.client.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1:1@evil.example"]
)
async def test_pages_of_other_origins_may_not_post(edge, origin):
    answer = await edge.client.post("/v1/chat/completions", headers={"Origin": origin}, json=BODY)
    assert answer.status_code == 403
    assert answer.json()["error"]["metadata"]["reason"] == "origin_refused"
    assert not edge.runner.jobs


async def test_our_own_pages_may(edge):
    answer = await edge.client.post("/v1/chat/completions", headers={"Origin": edge.base}, json=BODY)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_hostnames_are_read_strictly():
    assert hostname_of("Host.Example:80") == "host.example"
    assert hostname_of("[::1]") == "::1"
    for wrong in ("", "a/b", "a@b", "a:x", "[::1", "a?b", "a b"):
        assert hostname_of(wrong) is None
