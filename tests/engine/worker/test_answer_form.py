"""Forced calls: what the grammar allows is exactly what the parser reads as calls, in every notation."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
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
from tests.engine.worker.grammar.saying import Speaker, speaker
from tests.models import demo_model, write_tiny_model

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


MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]")
NOTATIONS = ("hermes", "llama3", "mistral", "mistral-args", "functionary")


@pytest.fixture(scope="module", params=[(), MARKERS], ids=["markers are text", "markers are tokens"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    path = tmp_path_factory.mktemp("vocabulary") / "tiny.gguf"
    made = speaker(write_tiny_model(path, more_special=request.param))
    yield made
    made.grammars.close()


def said(tiny: Speaker, form: OutputFormat, seed: int, begun: str = "") -> str:
    """An answer at random under ``form`` that opens with ``begun``."""
    constraint = tiny.grammars.constrain(form)
    opening = tiny.tokenise(begun) if begun else []
    for token in opening:
        assert constraint.allowed([token]) == 1
        constraint.accept(token)
    ids = tiny.say(constraint, np.random.default_rng(seed), most=3000)
    assert ids is not None
    return b"".join(tiny.vocabulary.marked_pieces[token] for token in [*opening, *ids]).decode()


@pytest.mark.filterwarnings("ignore:llama_token_get_attr:DeprecationWarning")
@pytest.mark.parametrize("tools", NOTATIONS)
@pytest.mark.parametrize(
    ("thought", "begun"),
    [("", ""), ("think", "<think>\nWell,\n</think>\n\n"), ("think", ""), ("think+open", "Well,</think>")],
)
def test_whatever_a_grammar_of_calls_allows_is_read_as_calls(
    tiny: Speaker, tools: str, thought: str, begun: str
) -> None:
    notation = Notation.read(f"{tools}+{thought}")
    for seed in range(4):
        request = replace(ASKED, parallel_tool_calls=seed % 2 == 0)
        form = answer_form(request, notation, tiny.grammars.marker)
        if thought and not begun:  # words chosen at random never end a thought: here it is left out
            form = answer_form(replace(request, reasoning="off"), notation, tiny.grammars.marker)
        text = said(tiny, form, seed, begun)
        content, reasoning, calls = read(text, notation)
        assert not content and calls, text
        assert reasoning == ("Well," if begun else "")
        assert seed % 2 == 0 or len(calls) == 1
        for name, arguments in calls:
            jsonschema.validate(
                json.loads(arguments), json.loads({WEATHER.name: WEATHER, ADD.name: ADD}[name].parameters)
            )


@pytest.mark.filterwarnings("ignore:llama_token_get_attr:DeprecationWarning")
def test_a_model_may_choose_between_a_form_and_calls(tiny: Speaker) -> None:
    request = replace(ASKED, tool_choice="auto", format=OutputFormat("json_schema", '{"enum":["yes","no"]}'))
    form = answer_form(request, Notation("hermes"), tiny.grammars.marker)
    kinds = set()
    for seed in range(12):
        content, _, calls = read(said(tiny, form, seed), Notation("hermes"))
        assert bool(content) != bool(calls)
        assert not content or json.loads(content) in ("yes", "no")
        kinds.add(bool(calls))
    assert kinds == {False, True}


async def answer_of(engine: Engine, request: ChatRequest, seed: int = 1) -> tuple[str, str, Notation]:
    """Text, reason and notation of one answer."""
    reply = await ask(engine, ChatJob("req_test", "test-model", request, seed))
    (started,) = [event for event in reply.events if isinstance(event, Started)]
    return reply.text, reply.reason, Notation.read(started.markup)


async def test_control_tokens_that_mark_calls_are_written_out_and_only_for_who_asks(
    ready_engine: Callable[..., Awaitable[Engine]], tmp_path: Path
) -> None:
    engine = await ready_engine(write_tiny_model(tmp_path / "tiny.gguf", more_special=MARKERS))
    request = replace(ASKED, tool_choice="function:add", max_tokens=200)
    text, reason, notation = await answer_of(engine, request)
    assert (reason, read(text, notation)[2][0][0]) == ("stop", "add")
    assert text.startswith("<tool_call>\n{") and text.endswith("\n</tool_call>")
    marked = OutputFormat("lark", 'start: "a" <tool_call> "b"')
    text, _, _ = await answer_of(engine, replace(request, tools=(), tool_choice="none", format=marked))
    assert text == "ab"


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
