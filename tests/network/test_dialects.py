"""Every dialect through a node that has no model: what other nodes make reaches the client in its own form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import httpx
import openai
import pydantic
import pytest

from tests.network.conftest import MODEL_ID, Launch, Network
from tests.network.test_stock_clients import receipt_of

pytestmark = pytest.mark.real
USER = {"role": "user", "content": "Name a colour."}
ASKED: dict[str, Any] = {"model": MODEL_ID, "messages": [USER], "options": {"seed": 7, "num_predict": 12}}


class Colour(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    colour: Literal["red", "green", "blue"]


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


class TestOpenRouter:
    PATH = "/api/v1/chat/completions"

    def test_usage_and_ids_and_the_same_words_at_every_path(self, client: httpx.Client, network: Network) -> None:
        body = {"model": MODEL_ID, "messages": [USER], "max_tokens": 12, "temperature": 0}
        answers = [post(client, path, body) for path in (self.PATH, "/ai/v1/chat/completions", "/v1/chat/completions")]
        assert len({answer["choices"][0]["message"]["content"] for answer in answers}) == 1
        assert answers[0]["id"].startswith("gen-")
        assert answers[0]["usage"]["cost"] == receipt_of(network, answers[0]["request_id"])["payment_amount"]
        streamed = client.post(self.PATH, json={**body, "stream": True}).text
        usage = json.loads(streamed.split("\n\n")[-3].removeprefix("data: "))
        assert usage["usage"]["completion_tokens"] == answers[0]["usage"]["completion_tokens"]

    def test_a_prompt_and_no_model(self, client: httpx.Client) -> None:
        body = {"prompt": "What is the capital of France?", "max_tokens": 16, "temperature": 0}
        answer = post(client, self.PATH, body)
        assert answer["model"] == MODEL_ID
        asked = {"role": "user", "content": body.pop("prompt")}
        said = post(client, self.PATH, {**body, "messages": [asked]})["choices"][0]["message"]["content"]
        assert answer["choices"][0]["text"] == said != ""

    def test_a_conversation_too_long_for_the_model_loses_its_middle(
        self, launch: Launch, model_path: Path, tmp_path: Path
    ) -> None:
        config = tmp_path / "small.toml"
        config.write_text(f"[[model]]\npath = '{model_path}'\nid = 'small'\ncontext = 128\n")
        provider = launch("provider", "--config", str(config), "--no-http")
        edge = launch("edge", joins=(provider,))
        provider.wait_for_model()
        edge.wait_for_offer(provider.peer_id)
        roles = ("user", "assistant")
        turns = [{"role": role, "content": f"{at} " + "blah " * 12} for at in range(12) for role in roles]
        messages = [{"role": "system", "content": "Be brief."}, *turns, USER]
        asked = {"model": "small", "messages": messages, "max_tokens": 4}
        with httpx.Client(base_url=edge.url, timeout=120) as client:
            fitted = post(client, self.PATH, asked)
            assert 40 < fitted["usage"]["prompt_tokens"] <= 124
            assert client.get(f"/v1/receipts/{fitted['request_id']}").json()["verified"]["ok"] is True
            for path, more in ((self.PATH, {"transforms": []}), ("/v1/chat/completions", {})):
                refused = client.post(path, json={**asked, **more})
                assert refused.status_code == 400
                assert refused.json()["error"]["metadata"]["reason"] == "context_length_exceeded"
            one = {**asked, "messages": [{"role": "user", "content": "long " * 1000}]}
            assert post(client, self.PATH, one)["usage"]["prompt_tokens"] <= 124

    def test_lists_of_models_and_providers(self, client: httpx.Client, network: Network) -> None:
        for path in ("/api/v1/models", "/api/v1/chat/models", "/v1/chat/models"):
            assert client.get(path).json()["data"][0]["id"] == MODEL_ID
        assert client.get(f"/v1/chat/models/{MODEL_ID}").json()["id"] == MODEL_ID
        listed = client.get(f"/api/v1/models/{MODEL_ID}/endpoints").json()["data"]["endpoints"]
        assert {endpoint["tag"] for endpoint in listed} == {provider.peer_id for provider in network.providers}
        chosen = network.providers[0].peer_id
        body = {"model": MODEL_ID, "messages": [USER], "max_tokens": 4, "provider": {"only": [listed[0]["tag"]]}}
        assert post(client, self.PATH, body)["provider"] == listed[0]["tag"]
        assert chosen in {endpoint["provider_name"] for endpoint in listed}


class TestText:
    def test_texts_echoes_and_log_probabilities(self, client: httpx.Client) -> None:
        body = {"model": MODEL_ID, "prompt": ["What is the capital of France?", "2 + 2 ="], "temperature": 0}
        answer = post(client, "/v1/completions", {**body, "echo": True, "max_tokens": 16})
        texts = [choice["text"] for choice in answer["choices"]]
        assert [text.startswith(prompt) for text, prompt in zip(texts, body["prompt"], strict=True)] == [True, True]
        assert all(len(text) > len(prompt) for text, prompt in zip(texts, body["prompt"], strict=True))
        (choice,) = post(client, "/v1/completions", {**body, "prompt": "Hi", "logprobs": 2, "max_tokens": 6})["choices"]
        assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
        assert [len(top) for top in choice["logprobs"]["top_logprobs"]] == [2] * len(choice["logprobs"]["tokens"])


class TestExplorer:
    def test_nodes_and_receipts(self, client: httpx.Client, network: Network) -> None:
        nodes = {node["peer_id"]: node for node in client.get("/v1/nodes").json()}
        assert {network.edge.peer_id, *(provider.peer_id for provider in network.providers)} <= nodes.keys()
        provider = network.providers[0].peer_id
        assert client.get(f"/api/nodes/{provider}").json()["node"]["models"] == [MODEL_ID]
        answer = post(client, "/api/chat", ASKED)
        newest = client.get("/api/recent", params={"limit": 5}).json()["receipts"]
        assert answer["request_id"] in [row["request_id"] for row in newest]
        found = client.get(f"/api/r/{answer['request_id']}").json()
        assert found["receipt"]["receipt_json"]["verified"]["ok"] is True
        assert [payment["amount"] for payment in found["payments"]] == [answer["Credits"]]


class TestResponses:
    ASKED: ClassVar[dict[str, Any]] = {"model": MODEL_ID, "input": "Name a colour.", "temperature": 0}

    @pytest.fixture
    def responses(self, network: Network) -> Iterator[openai.resources.Responses]:
        with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused", max_retries=0) as made:
            yield made.responses

    def test_whole_and_streamed_are_the_same(self, responses: openai.resources.Responses, network: Network) -> None:
        whole = responses.create(**self.ASKED, max_output_tokens=16)
        events = list(responses.create(**self.ASKED, max_output_tokens=16, stream=True))
        final = events[-1].response
        assert whole.output_text == final.output_text != ""
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert whole.usage.output_tokens == final.usage.output_tokens
        assert receipt_of(network, final.request_id)["verified"]["ok"] is True  # type: ignore[index]

    def test_a_schema_is_kept(self, responses: openai.resources.Responses) -> None:
        found = responses.parse(**self.ASKED, text_format=Colour, max_output_tokens=80)
        assert isinstance(found.output_parsed, Colour)

    def test_a_required_call_and_its_output(self, responses: openai.resources.Responses) -> None:
        parameters = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
        tool = {"type": "function", "name": "roll", "parameters": parameters, "strict": False}
        asked = {**self.ASKED, "tools": [tool], "parallel_tool_calls": False, "max_output_tokens": 80}
        call = responses.create(**asked, tool_choice="required").output[-1]
        assert (call.type, call.name) == ("function_call", "roll")
        told = {"type": "function_call_output", "call_id": call.call_id, "output": "6"}
        items = [{"role": "user", "content": "Roll the die."}, call, told]
        answer = responses.create(**{**asked, "input": items, "max_output_tokens": 8})
        assert answer.output


class TestStreams:
    def test_a_stream_whose_connection_is_lost_is_heard_to_its_end(self, client: httpx.Client) -> None:
        body = {"model": MODEL_ID, "messages": [USER], "max_tokens": 24, "temperature": 0}
        whole = post(client, "/v1/chat/completions", body)["choices"][0]["message"]["content"]
        heard = ""
        asked = {**body, "stream": True, "resumable": True}
        with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
            name = answer.headers["x-request-id"]
            for piece in answer.iter_text():
                heard += piece
                if heard.count("\n\n") >= 3:
                    break
        whole_events = [event for event in heard.split("\n\n")[:-1] if not event.startswith(":")]
        rest = client.get(f"/v1/streams/{name}", params={"from": len(whole_events)}).text
        events = [*whole_events, *(event for event in rest.split("\n\n") if event)]
        assert events[-1] == "data: [DONE]"
        chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
        assert "error" not in chunks[-1], chunks[-1]
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == whole
