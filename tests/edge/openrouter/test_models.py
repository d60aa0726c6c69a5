"""Lists of models under every name that they have, and the providers of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.edge.services import NodeEntry
from peernode.wire.advert import ModelCard
from tests.edge.conftest import PROVIDER

CARD = ModelCard("org/tiny", b"\1" * 32, "llama", 135, "Q4_1", 2048, ("tools",), 100, 25, 400, 30, 200)
OTHER = replace(CARD, id="other")
NODE = NodeEntry(PROVIDER.peer_id, (CARD, OTHER), ("/ip4/1.2.3.4/tcp/1",), "0.1.0", 4, 3, 0, 1000.5)


@pytest.fixture
def services(services):
    made, runner, shelf = services
    return replace(made, nodes=lambda: [NODE]), runner, shelf


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/chat/models", "/v1/chat/models", "/v1/models"])
async def test_the_list(edge, path):
    body = (await edge.client.get(path)).json()
    assert [model["id"] for model in body["data"]] == ["org/tiny"]
    assert body["data"][0]["pricing"]["completion"] == "0.0000004"


@pytest.mark.parametrize("path", ["/v1/chat/models/org/tiny", "/api/v1/chat/models/org/tiny"])
async def test_one_model(edge, path):
    assert (await edge.client.get(path)).json()["context_length"] == 2048
    missing = await edge.client.get(path + "x")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, 404)


async def test_the_providers_of_a_model(edge):
    body = (await edge.client.get("/api/v1/models/org/tiny/endpoints")).json()["data"]
    assert body["id"] == "org/tiny"
    (endpoint,) = body["endpoints"]
    assert (endpoint["tag"], endpoint["quantization"]) == (PROVIDER.peer_id, "Q4_1")
    assert endpoint["pricing"]["completion"] == "0.0000000004"
    assert (await edge.client.get("/api/v1/models/org/none/endpoints")).status_code == 404
