"""The canonical request: one form, one digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.canonical_json import canonical_json
from peernode.chat.message import Image, ToolCall
from peernode.chat.output_format import OutputFormat
from peernode.chat.request import ROLES, ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.chat.tools import Tool
from peernode.wire import canonical
from peernode.wire.bounds import MAX_IMAGES_BYTES
from peernode.wire.errors import BadSchema
from tests.samples import REQUEST

MILLION = 1_000_000
penalties = st.integers(-2 * MILLION, 2 * MILLION)
samplings = st.builds(
    Sampling,
    st.integers(0, 2 * MILLION),
    st.integers(0, MILLION),
    st.integers(0, 2**31 - 1),
    st.integers(0, MILLION),
    st.integers(0, MILLION),
    penalties,
    penalties,
    st.integers(1, 2 * MILLION),
    st.dictionaries(st.integers(0, 2**31 - 1), st.integers(-100 * MILLION, 100 * MILLION).filter(bool), max_size=4).map(
        lambda biases: tuple(sorted(biases.items()))
    ),
)
WRONG_SAMPLINGS = [
    Sampling(top_k=-1),
    Sampling(min_p_micro=MILLION + 1),
    Sampling(top_a_micro=-1),
    Sampling(frequency_penalty_micro=2 * MILLION + 1),
    Sampling(presence_penalty_micro=-2 * MILLION - 1),
    Sampling(repetition_penalty_micro=0),
    Sampling(repetition_penalty_micro=2 * MILLION + 1),
    Sampling(logit_bias=((5, 100 * MILLION + 1),)),
    Sampling(logit_bias=((5, 0),)),
    Sampling(logit_bias=((-1, 1),)),
    Sampling(logit_bias=((6, 1), (5, 1))),
    Sampling(logit_bias=((5, 1), (5, 2))),
    Sampling(logit_bias=tuple((token, 1) for token in range(301))),
]
words = st.text(max_size=30)
names = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
schemas = st.dictionaries(words, json_values, max_size=3).map(canonical_json)
tool_calls = st.builds(ToolCall, words, names, words)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    role, content = draw(st.sampled_from(ROLES)), draw(words)
    places = sorted(draw(st.lists(st.integers(0, len(content)), max_size=3)))
    images = tuple(Image(at, draw(st.binary(min_size=1, max_size=8))) for at in places)
    return Message(
        role,
        content,
        draw(st.text(max_size=8)),
        tool_call_id=draw(words) if role == "tool" else "",
        tool_calls=tuple(draw(st.lists(tool_calls, max_size=2))) if role == "assistant" else (),
        images=images if role in ("user", "tool") else (),
    )


formats = (
    st.sampled_from([OutputFormat(), OutputFormat("json_object")])
    | st.builds(OutputFormat, st.just("json_schema"), schemas)
    | st.builds(OutputFormat, st.sampled_from(["regex", "lark"]), st.text(min_size=1, max_size=9))
)
tools = st.lists(
    st.builds(Tool, names, words, schemas, st.booleans()), max_size=3, unique_by=lambda tool: tool.name
).map(tuple)


@st.composite
def chat_requests(draw: st.DrawFn) -> ChatRequest:
    offered = draw(tools)
    choices = ["none", "auto", "required", *(f"function:{tool.name}" for tool in offered)]
    return ChatRequest(
        tuple(draw(st.lists(messages(), min_size=1, max_size=4))),
        draw(st.none() | st.integers(1, 4096)),
        tuple(draw(st.lists(st.text(min_size=1, max_size=5), max_size=4))),
        draw(samplings),
        draw(st.none() | st.integers(0, 20)),
        draw(formats),
        offered,
        draw(st.sampled_from(choices)) if offered else "none",
        draw(st.booleans()),
        draw(st.sampled_from(["", "off", "on"])),
        draw(st.booleans()),
        draw(st.booleans()),
    )


requests = chat_requests()
TOOL = Tool("weather", "What it is like.", '{"type":"object","properties":{"place":{"type":"string"}}}')
CALLING = replace(REQUEST, tools=(TOOL,), tool_choice="auto")


def said(**changes: Any) -> ChatRequest:
    return replace(REQUEST, messages=(replace(Message("user", "hello"), **changes),))


@given(requests)
def test_a_request_reads_back_from_its_canonical_form(request: ChatRequest) -> None:
    assert ChatRequest.from_fields(canonical.decode(canonical.encode(request.to_fields()))) == request


def test_what_bends_below_is_sound_before_it_is_bent() -> None:
    for sound in (
        CALLING,
        said(images=(Image(0, b"x"), Image(5, b"y"))),
        said(images=(Image(0, bytes(MAX_IMAGES_BYTES)),)),
    ):
        assert ChatRequest.from_fields(sound.to_fields()) == sound


@given(requests, requests)
def test_different_requests_have_different_digests(one: ChatRequest, other: ChatRequest) -> None:
    assert (one.digest == other.digest) == (one == other)


@given(samplings)
def test_parameters_survive_the_way_over_fractions(sampling: Sampling) -> None:
    """What the client wrote as decimals is, in millionths, exactly what both sides digest."""
    assert sampling == Sampling.of(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        top_a=sampling.top_a,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        repetition_penalty=sampling.repetition_penalty,
        logit_bias=sampling.bias,
    )


def test_fractions_are_held_as_millionths() -> None:
    assert Sampling.of(temperature=0.7, top_p=0.95) == Sampling(700_000, 950_000)
    assert Sampling.of(temperature=0.1 + 0.2) == Sampling.of(temperature=0.3)


@pytest.mark.parametrize(
    "fields",
    [
        replace(REQUEST, messages=()).to_fields(),
        replace(REQUEST, messages=(Message("wizard", "hi"),)).to_fields(),
        replace(REQUEST, stop=("",)).to_fields(),
        replace(REQUEST, stop=("a",) * 5).to_fields(),
        replace(REQUEST, max_tokens=0).to_fields(),
        replace(REQUEST, sampling=Sampling(2_000_001)).to_fields(),
        *(replace(REQUEST, sampling=wrong).to_fields() for wrong in WRONG_SAMPLINGS),
        replace(REQUEST, top_logprobs=21).to_fields(),
        replace(REQUEST, top_logprobs=-1).to_fields(),
        replace(REQUEST, top_logprobs=True).to_fields(),
        said(tool_calls=(ToolCall("1", "weather", "{}"),)).to_fields(),
        said(role="assistant", tool_calls=(ToolCall("1", "no spaces", "{}"),)).to_fields(),
        said(role="assistant", tool_calls=(ToolCall("1", "", "{}"),)).to_fields(),
        said(tool_call_id="1").to_fields(),
        said(role="assistant", images=(Image(0, b"x"),)).to_fields(),
        said(images=(Image(6, b"x"),)).to_fields(),
        said(images=(Image(-1, b"x"),)).to_fields(),
        said(images=(Image(0, b""),)).to_fields(),
        said(images=(Image(3, b"x"), Image(2, b"x"))).to_fields(),
        said(images=(Image(0, b"x"),) * 65).to_fields(),
        said(images=(Image(0, bytes(MAX_IMAGES_BYTES)), Image(0, b"x"))).to_fields(),
        replace(REQUEST, format=OutputFormat("poem")).to_fields(),
        replace(REQUEST, format=OutputFormat("text", "x")).to_fields(),
        replace(REQUEST, format=OutputFormat("lark")).to_fields(),
        replace(REQUEST, format=OutputFormat("json_schema", "[]")).to_fields(),
        replace(REQUEST, format=OutputFormat("json_schema", '{"a": 1}')).to_fields(),
        replace(REQUEST, format=OutputFormat("json_schema", "{")).to_fields(),
        replace(REQUEST, format=OutputFormat("json_schema", '{"a":NaN}')).to_fields(),
        replace(REQUEST, format=OutputFormat("json_schema", "[" * 10_000)).to_fields(),
        replace(REQUEST, tool_choice="auto").to_fields(),
        replace(CALLING, tool_choice="sometimes").to_fields(),
        replace(CALLING, tool_choice="function:other").to_fields(),
        replace(CALLING, tools=(TOOL, TOOL)).to_fields(),
        replace(CALLING, tools=(replace(TOOL, name="<b>"),)).to_fields(),
        replace(CALLING, tools=(replace(TOOL, parameters="[]"),)).to_fields(),
        replace(REQUEST, reasoning="hard").to_fields(),
        replace(REQUEST, background=1).to_fields(),  # type: ignore[arg-type]
        [*REQUEST.to_fields(), 1],
        [],
        None,
    ],
)
def test_a_request_out_of_range_is_refused(fields: object) -> None:
    with pytest.raises(BadSchema):
        ChatRequest.from_fields(fields)


@pytest.mark.parametrize(
    ("messages", "good"),
    [
        ([("tokens", "0 12 345")], True),
        ([("prefix", "a"), ("suffix", "b")], True),
        ([("prefix", ""), ("suffix", "")], True),
        ([("tokens", "")], False),
        ([("tokens", "1  2")], False),
        ([("tokens", "-1")], False),
        ([("tokens", "1\n")], False),
        ([("tokens", "1"), ("tokens", "2")], False),
        ([("tokens", "1"), ("user", "x")], False),
        ([("user", "x"), ("tokens", "1")], False),
        ([("prefix", "a")], False),
        ([("suffix", "b"), ("prefix", "a")], False),
        ([("system", "x"), ("prefix", "a"), ("suffix", "b")], False),
    ],
)
def test_prompts_without_a_template_stand_alone(messages, good):
    request = ChatRequest(tuple(Message(role, content) for role, content in messages))
    if good:
        assert ChatRequest.from_fields(request.to_fields()) == request
        assert request.is_raw
        with pytest.raises(BadSchema):
            ChatRequest.from_fields(replace(request, tools=(Tool("f"),), tool_choice="auto").to_fields())
    else:
        with pytest.raises(BadSchema):
            ChatRequest.from_fields(request.to_fields())
