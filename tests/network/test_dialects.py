"""Every dialect through a node that has no model: what other nodes make reaches the client in its own form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.network.conftest import MODEL_ID, Network
from tests.network.test_stock_clients import receipt_of

pytestmark = pytest.mark.real
USER = {"role": "user", "content": "Name a colour."}
ASKED: dict[str, Any] = {"model": MODEL_ID, "messages": [USER], "options": {"seed": 7, "num_predict": 12}}


@pytest.fixture
def client(network: Network) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=network.edge.url, timeout=120) as made:
        yield made


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestPeerwave:
    def test_lines_without_carry_over_say_what_the_whole_answer_says(
        self, client: httpx.Client, network: Network
    ) -> None:
        whole = post(client, "/api/chat", {**ASKED, "options": {**ASKED["options"], "temperature": 0}})
        said, last = "", {}
        body = {**ASKED, "options": {**ASKED["options"], "temperature": 0}}
        with client.stream("POST", "/api/chat/stream", json=body) as answer:
            for piece in answer.iter_bytes():
                for line in filter(None, piece.decode().split("\n")):
                    last = json.loads(line)
                    said += last["message"]["content"]
        assert said == whole["message"]["content"] != ""
        assert last["Credits"] > 0
        receipt = receipt_of(network, last["request_id"])
        assert receipt["verified"]["ok"] is True  # type: ignore[index]
        assert receipt["payment_amount"] == last["Credits"]

    def test_options_reach_the_provider(self, client: httpx.Client) -> None:
        warm = {**ASKED, "options": {"seed": 7, "temperature": 1.5, "num_predict": 12}}
        first, same = (post(client, "/api/chat", warm) for _ in range(2))
        other = post(client, "/api/chat", {**warm, "options": {**warm["options"], "seed": 8}})
        assert first["message"] == same["message"] != other["message"]
        short = post(client, "/api/chat", {**ASKED, "options": {"num_predict": 1}})
        assert short["finish_reason"] == "length"

    def test_json_is_json(self, client: httpx.Client) -> None:
        body = {**ASKED, "messages": [{"role": "user", "content": "Answer with a JSON object."}], "format": "json"}
        answer = post(client, "/api/chat", {**body, "options": {"num_predict": 200, "temperature": 0.2, "seed": 1}})
        if answer["finish_reason"] == "stop":
            assert isinstance(json.loads(answer["message"]["content"]), dict)
        assert answer["message"]["content"].lstrip()[0] == "{"

    def test_a_required_call_has_its_arguments_as_an_object(self, client: httpx.Client) -> None:
        parameters = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
        tool = {"type": "function", "function": {"name": "roll", "parameters": parameters}}
        body = {**ASKED, "options": {"seed": 1, "num_predict": 80}, "tools": [tool], "tool_choice": "required"}
        (call, *_) = post(client, "/api/chat", body)["message"]["tool_calls"]
        assert call["function"]["name"] == "roll"
        assert isinstance(call["function"]["arguments"]["n"], int)

    def test_meta_models_and_prices(self, client: httpx.Client) -> None:
        listed = client.get("/api/models").json()
        assert {"cheapest", "fastest", "auto", MODEL_ID} <= {model["id"] for model in listed["models"]}
        assert "pricing_info" in {tool["name"] for tool in listed["tools"]}
        assert post(client, "/api/chat", {**ASKED, "model": "cheapest"})["model"] == MODEL_ID
        prices = post(client, "/api/tools", {"function": {"name": "pricing_info", "arguments": {}}})
        assert [model["id"] for model in prices["models"]] == [MODEL_ID]

    def test_the_login_page_leads_back_to_the_app(self, client: httpx.Client) -> None:
        target = "http://localhost:3000/app"
        page = client.get("/api/third-party/auth", params={"redirect": target})
        assert page.status_code == 200
        assert "sk-pn-" in page.text
        key = "sk-pn-" + "a" * 10 + "A" * 43
        back = client.post("/api/third-party/auth", data={"redirect": target, "key": key})
        assert (back.status_code, back.headers["location"]) == (303, f"{target}#token={key}")
