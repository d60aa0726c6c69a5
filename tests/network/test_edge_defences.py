"""The HTTP port of a real node: who is refused and by which code, hostile bytes, a crowd, and requests sent again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from fuzz_http import attack, check_node, held_by
from http_cases import KINDS, make_case
from nodes import NodeProcess

from tests.network.conftest import MODEL_ID
from tests.network.test_keys import peernode

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
APP = "https://app.example.org"
# As many systems begin, or fewer: the node asks for what its connections need.
FEW = ("sh", "-c", 'ulimit -Sn 400; exec "$@"', "sh")
CONFIG = f"""
[access]
anonymous = "no"
origins = ["{APP}"]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[NodeProcess]:
    """A node with a model that answers nobody without a key."""
    folder = tmp_path_factory.mktemp("defended")
    (folder / "node.toml").write_text(CONFIG)
    made = NodeProcess(
        folder / "home", "--network", "test", "--config", str(folder / "node.toml"), "--model", str(model_path),
        name="defended", inside=FEW,
    )  # fmt: skip
    try:
        made.start().wait_for_model()
        yield made
        assert made.stop() == 0
    finally:
        made.kill()


def new_key(node: NodeProcess, name: str) -> dict[str, str]:
    """The header of a fresh key with one credit."""
    return {"Authorization": f"Bearer {peernode(node, 'keys', 'create', name, '--credits', '1')['key']}"}


@pytest.fixture(scope="module")
def own(node: NodeProcess) -> dict[str, str]:
    return new_key(node, "own")


@pytest.fixture(scope="module")
def other(node: NodeProcess) -> dict[str, str]:
    return new_key(node, "other")


def body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL_ID, "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 4, **more}


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["metadata"]["reason"]


def test_each_intruder_is_refused_by_a_code_of_its_own(
    node: NodeProcess, own: dict[str, str], other: dict[str, str]
) -> None:
    gone = peernode(node, "keys", "create", "gone", "--credits", "1")
    peernode(node, "keys", "revoke", "gone")
    with httpx.Client(base_url=node.url, timeout=60) as client:
        streamed = client.post(CHAT, json=body(stream=True, resumable=True), headers=own)
        request_id = streamed.headers["x-request-id"]
        receipt, stream = f"/v1/receipts/{request_id}", f"/v1/streams/{request_id}"
        assert client.get(receipt, headers=own).status_code == 200
        assert client.get(stream, headers=own).text.count("data: ") == streamed.text.count("data: ")
        revoked = {"Authorization": f"Bearer {gone['key']}"}
        refusals = {
            "a name that leads here (DNS rebinding)": client.get("/v1/models", headers={**own, "Host": "evil.example"}),
            "a foreign page": client.post(CHAT, json=body(), headers={**own, "Origin": "https://evil.example"}),
            "no key": client.post(CHAT, json=body()),
            "a revoked key": client.post(CHAT, json=body(), headers=revoked),
            "another one's receipt": client.get(receipt, headers=other),
            "another one's stream": client.get(stream, headers=other),
        }
        assert {who: reason(answer) for who, answer in refusals.items()} == {
            "a name that leads here (DNS rebinding)": (403, "host_refused"),
            "a foreign page": (403, "origin_refused"),
            "no key": (401, "missing_key"),
            "a revoked key": (401, "revoked_key"),
            "another one's receipt": (403, "not_yours"),
            "another one's stream": (403, "not_your_stream"),
        }
        let_in = client.post(CHAT, json=body(), headers={**own, "Origin": APP})
        assert (let_in.status_code, let_in.headers["access-control-allow-origin"]) == (200, APP)


def test_a_request_that_is_sent_again_costs_once(node: NodeProcess, own: dict[str, str]) -> None:
    def spent() -> float:
        return float(httpx.get(f"{node.url}/v1/usage", headers=own).json()["spent"])

    before = spent()
    keyed = {**own, "Idempotency-Key": "once"}
    for stream in (False, True):
        keyed["Idempotency-Key"] = f"once-{stream}"
        answers: list[httpx.Response] = []

        def ask(stream: bool = stream, answers: list[httpx.Response] = answers) -> None:
            answers.append(httpx.post(f"{node.url}{CHAT}", json=body(stream=stream), headers=keyed, timeout=60))

        together = [threading.Thread(target=ask) for _ in range(3)]
        for thread in together:
            thread.start()
        for thread in together:
            thread.join(60)
        ask()
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["x-request-id"] for answer in answers}) == 1
        cost = httpx.get(f"{node.url}/v1/receipts/{answers[0].headers['x-request-id']}", headers=own).json()
        after = spent()
        assert after - before == pytest.approx(cost["payment_amount"], abs=1e-9)
        assert cost["payment_amount"] > 0
        before = after
    reused = httpx.post(f"{node.url}{CHAT}", json=body(max_tokens=5), headers=keyed)
    assert reason(reused) == (422, "idempotency_key_reused")


def test_hostile_bytes_of_every_kind_leave_it_as_it_was(node: NodeProcess, own: dict[str, str]) -> None:
    before = held_by(node)
    host, port = node.url.removeprefix("http://").split(":")
    ends = trio.run(attack, host, int(port), [make_case(7, number) for number in range(25 * len(KINDS))])
    assert {kind for kind, _ in ends} == set(KINDS)
    assert {end for kind, end in ends if kind == "smuggling"} <= {"400", "closed"}
    check_node(node, before, headers=own)
    assert httpx.post(f"{node.url}{CHAT}", json=body(), headers=own, timeout=60).status_code == 200


def test_a_crowd_of_idle_and_slow_connections_costs_nobody_an_answer(node: NodeProcess, own: dict[str, str]) -> None:
    before = held_by(node)
    host, port = node.url.removeprefix("http://").split(":")
    command = [sys.executable, "-P", str(ROOT / "scripts/lib/http_crowd.py"), host, port, "500", "200"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        try:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == "ready\n"
            for _ in range(5):
                assert httpx.post(f"{node.url}{CHAT}", json=body(), headers=own, timeout=60).status_code == 200
            said, _ = crowd.communicate(timeout=60)
        finally:
            crowd.kill()
    counts = json.loads(said)
    assert counts.get("refused", 0) == 0
    assert counts.get("broken", 0) == 0
    assert counts["served"] >= 250
    check_node(node, before, headers=own)
