"""The document and the app: the same routes, one error body, and a page that needs no other host."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from peernode.edge.answers import TABLE
from peernode.edge.auth import OPEN_PATHS
from peernode.edge.document import page
from peernode.edge.document.operations import OPERATIONS
from peernode.edge.sessions.routes import sessions_router
from peernode.edge.sessions.session import Sessions
from peernode.node.session_files import SessionFiles


@pytest.fixture
async def document(edge):
    return (await edge.client.get("/openapi.json")).json()


def described(document):
    return {(method, path) for path, methods in document["paths"].items() for method in methods}


async def test_every_route_is_described_and_nothing_else(document):
    # Where a node keeps no sessions, it has no routes for them.
    without = {(method, path) for method, path in OPERATIONS if path.startswith("/v1/sessions")}
    assert described(document) == set(OPERATIONS) - without


def test_routes_of_sessions_are_described_where_they_are(services, tmp_path):
    made, _, _ = services
    router = sessions_router(
        replace(made, sessions=Sessions(SessionFiles(tmp_path, per_key=1, days=1, clock=made.clock), busy_s=1))
    )
    found = {(method.lower(), route.path) for route in router.routes for method in route.methods}
    assert found
    assert found <= set(OPERATIONS)


async def test_no_operation_is_left_as_the_framework_has_it(document):
    assert "ValidationError" not in str(document)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"] and operation["tags"]
            for answer in operation["responses"].values():
                assert "X-Request-Id" in answer["headers"]
            if "requestBody" in operation:
                (content,) = operation["requestBody"]["content"].values()
                assert content["examples"]


async def test_references_lead_somewhere(document):
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])
    assert not [name for name in document["components"]["schemas"] if name not in names]


async def test_every_status_of_an_error_is_described_where_jobs_run(document):
    statuses = {str(verdict.status) for verdict in TABLE.values()} - {"405"}
    assert statuses <= set(document["paths"]["/v1/chat/completions"]["post"]["responses"])


async def test_answers_are_as_they_are_described(edge, document):
    for path, method in (("/v1/models", "get"), ("/healthz", "get"), ("/v1/nodes", "get"), ("/api/models", "get")):
        answer = await edge.client.request(method, path)
        form = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**form, "components": document["components"]}).validate(answer.json())
    refused = await edge.chat(model=5)
    form = document["paths"]["/v1/chat/completions"]["post"]["responses"]["400"]["content"]["application/json"]
    Draft202012Validator({**form["schema"], "components": document["components"]}).validate(refused.json())


async def test_who_may_come_without_a_key_is_said(document):
    paths = document["paths"]
    assert paths["/v1/models"]["get"]["security"] == [{"key": []}, {}]
    assert paths["/v1/usage"]["get"]["security"] == [{"key": []}]
    assert paths["/healthz"]["get"]["security"] == []


async def test_the_page_loads_nothing_from_elsewhere(edge):
    shown = await edge.client.get("/docs")
    assert shown.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert page.OPEN <= OPEN_PATHS
    loaded = re.findall(r'(?:src|href)="([^"]+)"', shown.text)
    assert len(loaded) == 4
    for path in loaded:
        assert path.startswith("/")
        found = await edge.client.get(path)
        assert found.status_code == 200, path
        assert found.content
    assert "SwaggerUIBundle" in (await edge.client.get("/docs/swagger-ui-bundle.js")).text
    assert "validatorUrl: null" in (await edge.client.get("/docs/start.js")).text
