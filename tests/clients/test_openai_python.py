"""The stock ``openai`` package for Python: everything that it is used for, but for what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest

from tests.clients.conftest import CHAT, EMBEDDER, SEEING, Place, image_url

pytestmark = pytest.mark.real
USER: Any = [{"role": "user", "content": "Name a colour."}]
SHORT: dict[str, Any] = {"model": CHAT, "messages": USER, "max_tokens": 8, "temperature": 0}


class Colour(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    colour: Literal["red", "green", "blue"]


@pytest.fixture
def client(place: Place) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=place.base, api_key="unused", max_retries=0, timeout=120) as made:
        yield made


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_an_answer_whole_and_streamed_say_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**SHORT)
    assert whole.choices[0].message.content
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 8
    assert whole._request_id == whole.request_id  # type: ignore[attr-defined]
    chunks = list(client.chat.completions.create(**SHORT, stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_async_clients_stream_side_by_side(place: Place) -> None:
    async def ask(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(**SHORT, stream=True)
        return text_of([chunk async for chunk in stream])

    async def ask_twice() -> list[str]:
        async with openai.AsyncOpenAI(base_url=place.base, api_key="unused", max_retries=0) as client:
            return await asyncio.gather(ask(client), ask(client))

    one, other = asyncio.run(ask_twice())
    assert one == other != ""


def test_the_helper_for_streams_tells_of_each_piece(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**SHORT) as stream:
        kinds = [event.type for event in stream]
        final = stream.current_completion_snapshot
    assert "content.delta" in kinds
    assert kinds.index("content.delta") < kinds.index("content.done")
    assert final.choices[0].message.content


def test_tools_are_called_whole_and_in_streams_and_their_results_understood(client: openai.OpenAI) -> None:
    tool = openai.pydantic_function_tool(Colour, name="paint")
    asked: Any = {**SHORT, "max_tokens": 60, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    choice = client.chat.completions.create(**asked).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "paint"
    with client.chat.completions.stream(**asked) as stream:
        events = list(stream)
        streamed = stream.get_final_completion().choices[0]
    pieces = [event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert len(pieces) > 1
    assert streamed.message.tool_calls is not None
    (same,) = streamed.message.tool_calls
    assert "".join(pieces) == same.function.arguments == call.function.arguments
    assert isinstance(same.function.parsed_arguments, Colour)
    told = {"role": "tool", "tool_call_id": call.id, "content": "Done."}
    named: Any = {"type": "function", "function": {"name": "paint"}}
    messages = [*USER, choice.message, told]
    again = client.chat.completions.create(**{**asked, "messages": messages, "tool_choice": named})
    assert again.choices[0].message.tool_calls
    assert client.chat.completions.create(**{**asked, "messages": messages, "tool_choice": "none"}).choices[0].message


def test_of_several_tools_only_those_allowed_are_called(client: openai.OpenAI) -> None:
    tools = [openai.pydantic_function_tool(Colour, name=name) for name in ("paint", "draw")]
    allowed: Any = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools[1:]}}
    answer = client.chat.completions.create(**{**SHORT, "max_tokens": 60}, tools=tools, tool_choice=allowed)
    assert answer.choices[0].message.tool_calls
    for call in answer.choices[0].message.tool_calls:
        assert call.type == "function"
        assert call.function.name == "draw"


def test_parse_gives_an_object_of_the_schema(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(**{**SHORT, "max_tokens": 40}, response_format=Colour).choices[0].message
    assert isinstance(parsed.parsed, Colour)
    with client.chat.completions.stream(**{**SHORT, "max_tokens": 40}, response_format=Colour) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == parsed.parsed
    answer = client.responses.parse(
        model=CHAT, input="Name a colour.", max_output_tokens=40, temperature=0, text_format=Colour
    )
    assert isinstance(answer.output_parsed, Colour)


def test_an_image_reaches_the_model(client: openai.OpenAI) -> None:
    def look(*colours: str) -> Any:
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": image_url(each)}} for each in colours]
        messages: Any = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
        return client.chat.completions.create(
            model=SEEING, messages=messages, max_tokens=2, temperature=0, logprobs=True, top_logprobs=5
        )

    blind, red, blue = look(), look("red"), look("blue")
    assert red.usage.prompt_tokens == blue.usage.prompt_tokens > blind.usage.prompt_tokens
    assert red.choices[0].logprobs != blue.choices[0].logprobs
    said: Any = [
        {"type": "input_image", "image_url": image_url("red")},
        {"type": "input_text", "text": "What is this?"},
    ]
    answer = client.responses.create(
        model=SEEING, input=[{"role": "user", "content": said}], max_output_tokens=2, temperature=0
    )
    assert answer.usage is not None
    assert answer.usage.input_tokens == red.usage.prompt_tokens
    shown: Any = [{"type": "image_url", "image_url": {"url": image_url("red")}}]
    with pytest.raises(openai.BadRequestError, match="only text"):
        client.chat.completions.create(**{**SHORT, "messages": [{"role": "user", "content": shown}]})


def test_embeddings_as_numbers_and_as_base64(client: openai.OpenAI) -> None:
    usual = client.embeddings.create(model=EMBEDDER, input=["the cat", "a dog"])  # base64 on the way
    plain = client.embeddings.create(model=EMBEDDER, input=["the cat", "a dog"], encoding_format="float")
    assert [each.index for each in usual.data] == [0, 1]
    for one, other in zip(usual.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(value * value for value in one.embedding) == pytest.approx(1, abs=1e-4)
    assert usual.usage.prompt_tokens > 0
    assert len(client.embeddings.create(model=EMBEDDER, input="the cat", dimensions=8).data[0].embedding) == 8


def test_responses_whole_and_as_events_say_the_same(client: openai.OpenAI) -> None:
    asked: Any = {"model": CHAT, "input": "Name a colour.", "max_output_tokens": 8, "temperature": 0}
    whole = client.responses.create(**asked, instructions="Be brief.")
    assert whole.output_text
    assert whole.usage is not None
    assert whole.usage.output_tokens <= 8
    with client.responses.stream(**asked, instructions="Be brief.") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert events[0].type == "response.created"
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert final.output_text == whole.output_text
    history: Any = [{"role": "user", "content": "Name a colour."}, *whole.output, {"role": "user", "content": "More."}]
    assert client.responses.create(**{**asked, "input": history}).output_text


def test_responses_call_functions_and_hear_of_their_results(client: openai.OpenAI) -> None:
    tool: Any = openai.pydantic_function_tool(Colour, name="paint")["function"]
    asked: Any = {
        "model": CHAT,
        "input": [{"role": "user", "content": "Paint it red."}],
        "max_output_tokens": 60,
        "temperature": 0,
        "tools": [{"type": "function", **tool}],
    }
    with client.responses.stream(**asked, tool_choice="required", parallel_tool_calls=False) as stream:
        deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        (call,) = stream.get_final_response().output
    assert call.type == "function_call"
    assert "".join(deltas) == call.arguments
    assert Colour.model_validate_json(call.arguments)
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "Done."}
    history = [*asked["input"], call, told]
    answer = client.responses.create(**{**asked, "input": history, "max_output_tokens": 4, "tool_choice": "none"})
    assert answer.output_text


def test_completions_of_the_older_kind(client: openai.OpenAI) -> None:
    asked: Any = {"model": CHAT, "prompt": "Name a colour.", "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked)
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True))
    assert streamed == whole.choices[0].text != ""


def test_models_are_listed_and_retrieved_by_names_with_a_slash(client: openai.OpenAI) -> None:
    assert {CHAT, EMBEDDER, SEEING} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(CHAT).id == CHAT


def test_choices_headers_and_logprobs(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**{**SHORT, "max_tokens": 2}, n=2, logprobs=True)
    assert raw.headers["x-request-id"].startswith("req_")
    answer = raw.parse()
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.logprobs is not None and choice.logprobs.content for choice in answer.choices)
