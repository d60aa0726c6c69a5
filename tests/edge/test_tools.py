"""Calls and thoughts as clients see them: whole, streamed, and through the openai package with its own helpers."""

from __future__ import annotations

import asyncio
import json

import openai
import pydantic
import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage
from peernode.chat.markup import call_id
from peernode.wire.logprobs import Logprobs, TokenLogprob
from tests.edge.conftest import BODY, PROVIDER, RECEIPT

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
PARTS = [
    "<thi", "nk>\nIt asks.", "\n</think>\n\n", "<tool", "_call>\n{\"name\": \"get_", "weather\", \"arguments\": {\"ci",
    "ty\": \"Bern\"}}\n</tool_call>", "\n<tool_call>{\"name\": \"get_weather\", \"arguments\": {}}</tool_call>",
]  # fmt: skip


def play(edge, *texts, markup="hermes+think", reason="stop", end=None):
    edge.runner.play(*texts, end=end or [Finished(reason, Usage(10, len(texts), 4)), RECEIPT])
    edge.runner.steps[0] = Started(PROVIDER.peer_id, "org/tiny", markup)


def client_of(edge):
    return openai.OpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0)


async def chunks_of(edge, **changes):
    answer = await edge.chat(stream=True, **changes)
    assert answer.status_code == 200
    return [json.loads(event[6:]) for event in answer.text.split("\n\n") if event[6:].startswith("{")]


async def test_calls_in_one_piece(edge):
    play(edge, *PARTS)
    body = (await edge.chat(tools=TOOLS)).json()
    (choice,) = body["choices"]
    ids = [call_id(body["request_id"], index) for index in range(2)]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "It asks.",
        "tool_calls": [
            {"id": ids[0], "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}},
            {"id": ids[1], "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
        ],
    }
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("tool_calls", "stop")


async def test_calls_in_a_stream(edge):
    play(edge, *PARTS)
    chunks = await chunks_of(edge, tools=TOOLS)
    ids = [call_id(chunks[0]["request_id"], index) for index in range(2)]
    start = {"type": "function", "function": {"name": "get_weather", "arguments": ""}}
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "It asks."},
        {"tool_calls": [{"index": 0, "id": ids[0], **start}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'ty": "Bern"}'}}]},
        {"tool_calls": [{"index": 1, "id": ids[1], **start}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 7 + ["tool_calls"]


async def test_a_stream_that_opens_with_a_call_has_no_content(edge):
    play(edge, *PARTS[3:])
    chunks = await chunks_of(edge, tools=TOOLS)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}


@pytest.mark.parametrize("changes", [{}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_who_offers_no_tools_gets_the_text(edge, changes):
    play(edge, *PARTS[3:])
    message = (await edge.chat(**changes)).json()["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "".join(PARTS[3:]), "refusal": None}


async def test_one_call_when_not_in_parallel(edge):
    play(edge, *PARTS)
    message = (await edge.chat(tools=TOOLS, parallel_tool_calls=False)).json()["choices"][0]["message"]
    assert len(message["tool_calls"]) == 1


async def test_a_thought_that_the_prompt_opened(edge):
    play(edge, "so it", " is</think>", "Yes.", markup="think+open")
    message = (await edge.chat()).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("so it is", "Yes.")


async def test_an_answer_that_was_cut_off_says_so(edge):
    play(edge, *PARTS[3:6], reason="length")
    (choice,) = (await edge.chat(tools=TOOLS)).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"ci'


async def test_what_was_held_back_is_said_when_the_answer_ends_or_fails(edge):
    play(edge, "a <tool")
    assert (await edge.chat(tools=TOOLS)).json()["choices"][0]["message"]["content"] == "a <tool"
    for end in (None, [Failed(errors.EngineCrashed("It died."))]):
        play(edge, "a <tool", end=end)
        chunks = await chunks_of(edge, tools=TOOLS)
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "a <tool"


async def test_log_probabilities_leave_with_the_first_piece_of_their_token(edge):
    entry = Logprobs(TokenLogprob(1, -5, b"x"))
    play(edge)
    tokens = [Tokens(text, (1,), (entry,)) for text in ("<tool_call>", '{"name": "get_weather", "arguments": {')]
    edge.runner.steps[1:1] = tokens
    choices = [chunk["choices"][0] for chunk in await chunks_of(edge, tools=TOOLS, logprobs=True)]
    assert [choice["delta"] for choice in choices[:2]] == [{"role": "assistant", "content": ""}, {"content": ""}]
    assert sum(len(choice["logprobs"]["content"]) for choice in choices if choice["logprobs"]) == 2


async def test_openais_clients_read_calls(edge):
    play(edge, *PARTS)

    def use():
        with client_of(edge) as client:
            asked = {"model": "org/tiny", "messages": BODY["messages"], "tools": TOOLS}
            message = client.chat.completions.create(**asked).choices[0].message
            assert [call.function.arguments for call in message.tool_calls] == ['{"city": "Bern"}', "{}"]
            with client.chat.completions.stream(**asked) as stream:
                final = stream.get_final_completion().choices[0]
            assert final.finish_reason == "tool_calls"
            assert [call.function.arguments for call in final.message.tool_calls] == ['{"city": "Bern"}', "{}"]

    async def use_async():
        async with openai.AsyncOpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="org/tiny", messages=BODY["messages"], tools=TOOLS, stream=True
            )
            found = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
            return "".join(call.function.arguments for call in found if call.index == 0)

    await trio.to_thread.run_sync(use)
    assert await trio.to_thread.run_sync(asyncio.run, use_async()) == '{"city": "Bern"}'


class Weather(pydantic.BaseModel):
    city: str
    degrees: int


async def test_openais_helpers_parse_what_a_schema_asked_for(edge):
    def use():
        with client_of(edge) as client:
            asked = {"model": "org/tiny", "messages": BODY["messages"]}
            answer = client.chat.completions.parse(**asked, response_format=Weather)
            assert answer.choices[0].message.parsed == Weather(city="Bern", degrees=7)
            with client.chat.completions.stream(**asked, response_format=Weather) as stream:
                assert stream.get_final_completion().choices[0].message.parsed == Weather(city="Bern", degrees=7)

    edge.runner.play('{"city": "Bern",', ' "degrees": 7}')
    await trio.to_thread.run_sync(use)
    form = edge.runner.jobs[0].request.format
    assert form.kind == "json_schema"
    assert list(json.loads(form.source)["properties"]) == ["city", "degrees"]


async def test_openais_helpers_parse_the_arguments_of_a_call(edge):
    def use():
        with client_of(edge) as client:
            tool = openai.pydantic_function_tool(Weather, name="get_weather")
            answer = client.chat.completions.parse(model="org/tiny", messages=BODY["messages"], tools=[tool])
            (call,) = answer.choices[0].message.tool_calls
            assert call.function.parsed_arguments == Weather(city="Bern", degrees=7)

    play(edge, '<tool_call>{"name": "get_weather", "arguments": {"city": "Bern", "degrees": 7}}</tool_call>')
    await trio.to_thread.run_sync(use)
    (tool,) = edge.runner.jobs[0].request.tools
    assert (tool.name, tool.strict) == ("get_weather", True)
