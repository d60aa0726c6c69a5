"""Embeddings for the stock client: on the node that has the model, and through one that has not; with receipts."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
from nodes import NodeProcess

from tests.models import demo_model
from tests.network.conftest import _launcher

pytestmark = pytest.mark.real

WIDTH = 576
TEXTS = ["The cat sat on the mat.", "A kitten rests on a rug.", "Stock markets fell sharply today."]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """A provider with one model to embed and a lazy one to chat, and an edge with none."""
    folder = tmp_path_factory.mktemp("embeddings")
    config = folder / "node.toml"
    config.write_text(
        f"""
        [[model]]
        path = "{demo_model()}"
        id = "embedder"
        embeddings = true
        context = 512
        [[model]]
        path = "{demo_model()}"
        id = "chatter"
        context = 512
        load = "lazy"
        """
    )
    nodes: list[NodeProcess] = []
    launch = _launcher(folder, nodes)
    provider = launch("provider", "--config", str(config))
    provider.wait_for("model_ready", timeout_s=120, where=lambda line: line["model"] == "embedder")
    edge = launch("edge", joins=(provider,))
    edge.wait_for("peer_offers", timeout_s=60, where=lambda line: {"embedder", "chatter"} <= set(line["models"]))
    yield provider, edge
    for node in nodes:
        node.kill()


def client(node: NodeProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=120)


@pytest.mark.parametrize("which", ["provider", "edge"])
def test_the_stock_client_gets_unit_vectors_of_the_models_width(
    pair: tuple[NodeProcess, NodeProcess], which: str
) -> None:
    provider, edge = pair
    node = {"provider": provider, "edge": edge}[which]
    for encoding in ("float", "base64"):
        answer = client(node).embeddings.create(model="embedder", input=TEXTS, encoding_format=encoding)
        assert [item.index for item in answer.data] == [0, 1, 2]
        raw = [item.embedding for item in answer.data]
        vectors = np.array(
            [np.frombuffer(base64.b64decode(one), "<f4") if isinstance(one, str) else one for one in raw]
        )
        assert vectors.shape == (3, WIDTH)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens >= 20
    assert answer.provider == provider.peer_id
    receipt = httpx.get(f"{node.url}/v1/receipts/{answer.request_id}").json()
    assert receipt["verified"]
    short = client(node).embeddings.create(model="embedder", input=TEXTS[0], dimensions=16).data[0].embedding
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-5)
    assert len(short) == 16


def test_what_is_billed_is_the_prompt(pair: tuple[NodeProcess, NodeProcess]) -> None:
    provider, edge = pair
    answer = client(edge).embeddings.create(model="embedder", input=TEXTS)
    for node in (edge, provider):
        body = httpx.get(f"{node.url}/v1/receipts/{answer.request_id}").json()["receipt"]
        assert body["prompt_tokens"] == answer.usage.prompt_tokens
        assert body["completion_tokens"] == 0
        assert body["credits"] == -(-answer.usage.prompt_tokens * 100_000 // 10**6)


def test_more_inputs_than_one_context_holds_are_one_job(pair: tuple[NodeProcess, NodeProcess]) -> None:
    answer = client(pair[1]).embeddings.create(model="embedder", input=[f"word {n} " * 30 for n in range(8)])
    assert len(answer.data) == 8
    assert answer.usage.prompt_tokens > 512


def test_each_model_does_what_it_is_for(pair: tuple[NodeProcess, NodeProcess]) -> None:
    for node in pair:
        with pytest.raises(openai.BadRequestError, match="makes embeddings and does not chat"):
            client(node).chat.completions.create(model="embedder", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
            client(node).embeddings.create(model="chatter", input="Hi")
        with pytest.raises(openai.BadRequestError, match="does not fit"):
            client(node).embeddings.create(model="embedder", input="word " * 2000)
        with pytest.raises(openai.BadRequestError, match="dimensions is more"):
            client(node).embeddings.create(model="embedder", input="Hi", dimensions=577)
        with pytest.raises(openai.NotFoundError):
            client(node).embeddings.create(model="nobody", input="Hi")


def test_a_peer_can_use_a_model_that_is_not_loaded(pair: tuple[NodeProcess, NodeProcess]) -> None:
    provider, edge = pair
    state = {model["id"]: model["state"] for model in provider.admin("/admin/status")["models"]}
    assert state["chatter"] == "unloaded"
    answer = client(edge).chat.completions.create(
        model="chatter",
        messages=[{"role": "user", "content": "Name the capital city of France."}],
        max_tokens=12,
        temperature=0,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
