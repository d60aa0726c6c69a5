"""``POST /v1/embeddings`` over a real server: the answer, the failures, and a client that leaves."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import httpx
import trio

from peernode.chat.embedding_request import EmbeddingRequest, vector_line
from peernode.chat.errors import ProviderBusy, ReceiptRefused
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage
from peernode.chat.route import LeftOut, Route
from peernode.chat.wishes import Wishes
from tests.edge.conftest import PROVIDER, RECEIPT, EdgeUnderTest, Step

LINES = "".join(vector_line(struct.pack("<2f", *vector)) for vector in ((1, 0), (0, 1)))
BODY = {"model": "org/tiny", "input": ["a", "b"]}
STARTED = Started(PROVIDER.peer_id, "org/tiny")
FINISHED = Finished("stop", Usage(10, 0, 0))


async def ask(edge: EdgeUnderTest, *steps: Step, **changes: object) -> httpx.Response:
    edge.runner.steps = list(steps)
    return await edge.client.post("/v1/embeddings", json={**BODY, **changes})


async def test_the_answer_comes_whole_with_its_bill(edge: EdgeUnderTest) -> None:
    pieces = [Tokens(LINES[:9], ()), Tokens(LINES[9:], ())]  # however it was cut on the way
    answer = await ask(edge, STARTED, *pieces, FINISHED, RECEIPT)
    assert answer.status_code == 200
    body = answer.json()
    assert body["data"] == [
        {"object": "embedding", "index": 0, "embedding": [1.0, 0.0]},
        {"object": "embedding", "index": 1, "embedding": [0.0, 1.0]},
    ]
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (10, 10)
    assert body["provider"] == PROVIDER.peer_id
    assert answer.headers["x-peernode-receipt"] == body["receipt"]["digest"]
    assert edge.runner.jobs[0].request == EmbeddingRequest(("a", "b"))


async def test_wishes_go_with_the_job_and_the_answer_names_the_model_and_the_choice(edge: EdgeUnderTest) -> None:
    edge.client.headers["X-Peernode-Route"] = "1"
    started = replace(STARTED, model_id="org/other", route=Route((), (LeftOut("12D3KooWb", "org/tiny", "only"),)))
    wishes = {"models": ["org/other"], "provider": {"ignore": ["12D3KooWb"]}}
    answer = await ask(edge, started, Tokens(LINES, ()), FINISHED, RECEIPT, **wishes)
    assert answer.json()["model"] == "org/other"
    assert json.loads(answer.headers["x-peernode-route"])["excluded"][0]["reason"] == "only"
    assert edge.runner.jobs[0].wishes == Wishes(("org/other",), ignore=("12D3KooWb",))


async def test_a_failure_has_its_status(edge: EdgeUnderTest) -> None:
    assert (await ask(edge, Failed(ProviderBusy("Not now.")))).status_code == 503
    assert (await ask(edge, STARTED, Tokens("AAAA\n", ()), FINISHED, RECEIPT)).status_code == 502
    assert (await ask(edge, dimensions=0)).status_code == 400
    defect = await ask(edge, STARTED, RuntimeError("a secret prompt"))
    assert defect.status_code == 500
    assert "secret" not in defect.text


async def test_an_answer_stands_although_its_receipt_is_refused(edge: EdgeUnderTest) -> None:
    refused = Failed(ReceiptRefused("It does not match."))
    answer = await ask(edge, STARTED, Tokens(LINES, ()), FINISHED, refused)
    assert answer.status_code == 200
    assert answer.json()["receipt"]["error"]["code"] == "receipt_refused"
    assert answer.json()["usage"]["cost"] == 0


async def test_a_client_that_leaves_cancels_the_job(edge: EdgeUnderTest) -> None:
    edge.runner.steps = [STARTED, trio.Event()]
    await edge.hang_up(lambda: edge.client.post("/v1/embeddings", json=BODY))
    with trio.fail_after(60):
        await edge.runner.closed.wait()
