"""Forced calls: what the grammar allows is exactly what the parser reads as calls, in every notation."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import jsonschema
import pytest

from peernode.chat.events import Started
from peernode.chat.job import ChatJob
from peernode.chat.markup import CallArguments, CallStarted, Content, MarkupParser, Notation, Reasoning
from peernode.chat.output_format import OutputFormat
from peernode.chat.request import ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.chat.tools import Tool
from peernode.engine import Engine
from peernode.engine.worker.answer_form import answer_form, has_form
from peernode.engine.worker.grammar.formats import marker_of
from tests.engine.asking import ask
from tests.models import demo_model

WEATHER = Tool(
    "get_weather",
    "Tells the weather of a city.",
    '{"type":"object","properties":{"city":{"type":"string","maxLength":20},"days":{"type":"integer","minimum":1,'
    '"maximum":9}},"required":["city","days"],"additionalProperties":false}',
)
ADD = Tool(
    "add", "", '{"type":"object","properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}'
)
ASKED = ChatRequest(
    (Message("user", "What will the weather be in Bern for the next 3 days?"),),
    160,
    sampling=Sampling.of(temperature=0),
    tools=(WEATHER, ADD),
    tool_choice="required",
)


def test_which_answers_have_a_form() -> None:
    free = replace(ASKED, tool_choice="auto")
    assert not has_form(free) and not has_form(replace(ASKED, tool_choice="none"))
    assert has_form(ASKED) and has_form(replace(ASKED, tool_choice="function:add"))
    assert has_form(replace(free, format=OutputFormat("json_object")))


def test_without_tools_the_form_is_the_one_that_was_asked_for() -> None:
    form = OutputFormat("regex", "[ab]")
    request = ChatRequest(ASKED.messages, format=form)
    assert answer_form(request, Notation("hermes"), lambda text: marker_of(text, {})) == form


def read(text: str, notation: Notation) -> tuple[str, str, list[tuple[str, str]]]:
    parser = MarkupParser(notation, tools=[WEATHER.name, ADD.name], call_id=str)
    calls: list[tuple[str, str]] = []
    content = thought = ""
    for piece in parser.push(text) + parser.finish():
        match piece:
            case Content(words):
                content += words
            case Reasoning(words):
                thought += words
            case CallStarted(_, _, name):
                calls.append((name, ""))
            case CallArguments(_, words):
                calls[-1] = (calls[-1][0], calls[-1][1] + words)
    return content, thought, calls


async def answer_of(engine: Engine, request: ChatRequest, seed: int = 1) -> tuple[str, str, Notation]:
    """Text, reason and notation of one answer."""
    reply = await ask(engine, ChatJob("req_test", "test-model", request, seed))
    (started,) = [event for event in reply.events if isinstance(event, Started)]
    return reply.text, reply.reason, Notation.read(started.markup)


@pytest.mark.real
async def test_smollm2_calls_what_it_must(ready_engine: Callable[..., Awaitable[Engine]]) -> None:
    engine = await ready_engine(demo_model())
    hot = Sampling.of(temperature=1.0)
    for seed, request in enumerate(
        [
            ASKED,
            replace(ASKED, sampling=hot),
            replace(ASKED, parallel_tool_calls=False),
            replace(ASKED, tool_choice="function:add"),
            replace(ASKED, tool_choice="function:get_weather", sampling=hot),
        ]
    ):
        text, reason, notation = await answer_of(engine, request, seed)
        assert notation == Notation("hermes")
        content, _, calls = read(text, notation)
        assert not content and calls
        if reason == "length":  # several calls may fill the whole answer: the last one was cut off
            calls.pop()
        else:
            assert reason == "stop"
        for name, arguments in calls:
            schema = {tool.name: tool.parameters for tool in (WEATHER, ADD)}[name]
            jsonschema.validate(json.loads(arguments), json.loads(schema))
        if request.tool_choice != "required":
            assert [name for name, _ in calls] == [request.tool_choice.removeprefix("function:")]
        if not request.parallel_tool_calls:
            assert len(calls) == 1


@pytest.mark.real
async def test_smollm2_continues_a_turn_that_was_begun(ready_engine: Callable[..., Awaitable[Engine]]) -> None:
    engine = await ready_engine(demo_model())
    begun = (Message("user", "What is the capital of France?"), Message("assistant", "The capital of France is"))
    text, _, _ = await answer_of(engine, ChatRequest(begun, 8, sampling=Sampling.of(temperature=0)))
    assert "Paris" in text
