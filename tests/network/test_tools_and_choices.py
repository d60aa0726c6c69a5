"""Tools, schemas, choices and turns to be continued: the stock ``openai`` package and a node without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pydantic
import pytest

from tests.network.conftest import MODEL_ID, Network
from tests.network.test_stock_clients import receipt_of

pytestmark = pytest.mark.real


class Place(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    city: str = pydantic.Field(max_length=20)


ASKED = {
    "model": MODEL_ID,
    "messages": [{"role": "user", "content": "What is the weather like in Bern?"}],
    "max_tokens": 80,
    "seed": 1,
}


@pytest.fixture
def client(network: Network) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_a_required_call_comes_in_a_stream_and_its_result_is_understood(client: openai.OpenAI) -> None:
    tool = openai.pydantic_function_tool(Place, name="get_weather")
    required = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    with client.chat.completions.stream(**ASKED, **required) as stream:
        choice = stream.get_final_completion().choices[0]
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content or None) == ("tool_calls", None)
    assert isinstance(call.function.parsed_arguments, Place)
    told = {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees."}
    messages = [*ASKED["messages"], choice.message.model_dump(include={"role", "content", "tool_calls"}), told]
    answer = client.chat.completions.create(**{**ASKED, "messages": messages, "max_tokens": 8}, tools=[tool])
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls


def test_every_choice_keeps_to_the_schema_and_has_a_receipt(client: openai.OpenAI, network: Network) -> None:
    answer = client.chat.completions.parse(**ASKED, response_format=Place, n=2)
    assert [isinstance(choice.message.parsed, Place) for choice in answer.choices] == [True, True]
    ids = [choice.request_id for choice in answer.choices]
    assert len(set(ids)) == 2
    assert sum(receipt_of(network, each)["receipt"]["completion_tokens"] for each in ids) == (
        answer.usage.completion_tokens
    )


def test_a_turn_that_was_begun_is_continued(client: openai.OpenAI) -> None:
    messages = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is"},
    ]
    answer = client.chat.completions.create(model=MODEL_ID, messages=messages, max_tokens=6, temperature=0)
    assert "Paris" in answer.choices[0].message.content


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"response_format": {"type": "json_object", "schema": {"not": {}}}}, "response_format"),
        ({"response_format": {"type": "grammar", "syntax": "lark", "grammar": "start: nothing"}}, "response_format"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
    ],
)
def test_a_peer_that_cannot_do_it_says_which_parameter_is_at_fault(
    client: openai.OpenAI, changes: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**ASKED, extra_body=changes)
    error = json.loads(refused.value.response.text)["error"]
    assert error["param"] == param
    assert error["metadata"]["cause"]
