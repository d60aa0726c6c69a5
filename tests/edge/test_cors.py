"""Pages of other origins: none unless listed, the listed ones with all that a browser must be told, over real HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
import trio

from peernode.edge import cors
from peernode.edge.app import build_app
from peernode.edge.bind import parse_bind
from peernode.edge.cors import is_origin
from peernode.edge.serve import serve_app
from peernode.node.access_config import AccessConfig
from tests.edge.conftest import BODY

APP, EVIL = "https://app.example.org", "https://evil.example"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


@asynccontextmanager
async def serving(services, **options):
    """A client of the real server over these services."""
    stop = trio.Event()

    async def run(task_status):
        app = build_app(services, **options)
        await serve_app(app, parse_bind("127.0.0.1:0"), stop=stop, grace_s=0.2, task_status=task_status)

    async with trio.open_nursery() as nursery:
        bind = await nursery.start(run)
        async with httpx.AsyncClient(base_url=f"http://{bind}", timeout=60) as client:
            yield client
        stop.set()


def reason(answer):
    return answer.status_code, answer.json()["error"]["metadata"]["reason"]


def names(answer, header):
    return {name.strip().lower() for name in answer.headers[header].split(",")}


async def test_unless_listed_no_page_gets_in_nor_is_told_anything(edge):
    for origin in (APP, "null"):
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("OPTIONS", "/v1/models")):
            answer = await edge.client.request(method, path, headers={"Origin": origin, **ASKED})
            assert reason(answer) == (403, "origin_refused")
            assert not any(name.startswith("access-control") for name in answer.headers)
    assert "vary" not in (await edge.client.get("/v1/models")).headers


async def test_a_listed_page_is_told_all_that_its_browser_asks(services):
    async with serving(services[0], origins=[APP]) as client:
        preflight = await client.options("/v1/chat/completions", headers={"Origin": APP.upper(), **ASKED})
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["access-control-allow-origin"] == APP.upper()
        assert "POST" in preflight.headers["access-control-allow-methods"]
        wanted = {"authorization", "content-type", "redirect", "http-referer", "x-title", "idempotency-key"}
        assert wanted <= names(preflight, "access-control-allow-headers")
        assert "x-request-id" in preflight.headers
        answer = await client.post("/v1/chat/completions", headers={"Origin": APP}, json=BODY)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["vary"] == "Origin"
        exposed = {"location", "credits", "cost-per-unit", "x-request-id", "x-peernode-receipt", "retry-after"}
        assert exposed <= names(answer, "access-control-expose-headers")
        assert "access-control-allow-credentials" not in answer.headers
        assert reason(await client.post("/v1/chat/completions", headers={"Origin": EVIL}, json=BODY)) == (
            403,
            "origin_refused",
        )


async def test_a_listed_page_can_read_refusals_and_streams_too(services):
    made, _, _ = services
    async with serving(replace(made, anonymous="no"), origins=[APP]) as client:
        for path in ("/v1/chat/completions", "/api/chat"):
            preflight = await client.options(path, headers={"Origin": APP, **ASKED})
            assert preflight.status_code == 204  # without a key: browsers send none with it
            refused = await client.post(path, headers={"Origin": APP}, json=BODY)
            assert refused.headers["access-control-allow-origin"] == APP
            assert reason(refused) == (401, "missing_key")
    async with serving(made, origins=[APP]) as client:
        streamed = await client.post("/v1/chat/completions", headers={"Origin": APP}, json={**BODY, "stream": True})
        assert streamed.headers["access-control-allow-origin"] == APP
        missing = await client.get("/nowhere", headers={"Origin": APP})
        assert missing.headers["access-control-allow-origin"] == APP


async def test_every_page_where_the_operator_says_so(services):
    async with serving(services[0], origins=["*"]) as client:
        for origin in (EVIL, "null"):
            answer = await client.get("/v1/models", headers={"Origin": origin})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "vary" not in answer.headers
        refused = await client.get("/v1/models", headers={"Origin": EVIL, "Host": "evil.example"})
        assert reason(refused) == (403, "host_refused")  # another name of ours is still none


async def test_headers_by_which_openais_client_names_itself_are_let_through_and_nothing_made_up(services):
    async with serving(services[0], origins=[APP]) as client:
        asked = {
            **ASKED,
            "Access-Control-Request-Headers": "x-stainless-os,x-stainless-retry-count,x-evil,x-stainless-ü",
        }
        preflight = await client.options(
            "/v1/models", headers={k: v.encode() for k, v in {"Origin": APP, **asked}.items()}
        )
        allowed = names(preflight, "access-control-allow-headers")
        assert {"x-stainless-os", "x-stainless-retry-count"} <= allowed
        assert allowed - {"x-stainless-os", "x-stainless-retry-count"} == {name.lower() for name in cors.ALLOWED}


async def test_an_options_request_that_is_no_preflight_gets_the_routes_own_answer(services):
    async with serving(services[0], origins=[APP]) as client:
        assert (await client.options("/v1/models")).status_code == 405


@pytest.mark.parametrize("origin", ["*", "https://app.example.org", "http://localhost:3000", "http://[::1]:1"])
def test_origins_are_listed_as_browsers_write_them(origin):
    assert is_origin(origin)
    assert AccessConfig(origins=f"{origin}, {APP}").origins == (origin, APP)


@pytest.mark.parametrize(
    "wrong",
    ["app.example.org", "https://app.example.org/", "https://a@b", "null", "", "file://x", "https://a:b", "https://"],
)
def test_what_is_no_origin_is_refused_when_the_configuration_is_read(wrong):
    assert not is_origin(wrong)
    with pytest.raises(ValueError, match="origin"):
        AccessConfig(origins=(wrong,))
