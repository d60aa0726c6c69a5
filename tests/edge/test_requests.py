"""What is refused, with which parameter named; and that no body whatever is answered with a 500."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.request import ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.edge.openai.chat_request import read_chat_call
from peernode.wire import canonical
from tests.edge.asked import CALL, PNG, allowing, calling, image, nested, shown, tool

USER = {"role": "user", "content": "hi"}


def read(**changes):
    return read_chat_call(json.dumps({"model": "m", "messages": [USER], **changes}).encode())


def refused(**changes):
    with pytest.raises(BadRequest) as found:
        read(**changes)
    return found.value.param


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"model": "x" * 300}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [USER] * 3000}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{**USER, "name": 5}]}, "messages[0].name"),
        ({"messages": [USER, {"role": "tool", "tool_call_id": "1"}]}, "messages[1].content"),
        ({"messages": [USER, {"role": "tool", "content": "x", "tool_call_id": 1}]}, "messages[1].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": {"id": "1"}}]}, "messages[0].tool_calls"),
        ({"messages": [{**USER, "tool_calls": [CALL]}]}, "messages[0].tool_calls"),
        ({"messages": [calling(id=1)]}, "messages[0].tool_calls[0].id"),
        ({"messages": [calling(function={"name": "a b"})]}, "messages[0].tool_calls[0].function.name"),
        (
            {"messages": [calling(function={"name": "a", "arguments": 5})]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "messages[0]"),
        (shown({"type": "input_audio"}), "messages[0].content[0]"),
        (shown({"type": "image_url"}), "messages[0].content[0].image_url"),
        (shown({"type": "image_url", "image_url": {"url": 5}}), "messages[0].content[0].image_url.url"),
        (shown(image("https://there.example/cat.png")), "messages[0].content[0].image_url.url"),
        (shown(image("file:///etc/passwd")), "messages[0].content[0].image_url.url"),
        (shown(image("data:image/png,abc")), "messages[0].content[0].image_url.url"),
        (shown(image("data:text/html;base64,AAAA")), "messages[0].content[0].image_url.url"),
        (shown(image("data:image/png;base64,?")), "messages[0].content[0].image_url.url"),
        (shown(image("data:image/png;base64,AAA")), "messages[0].content[0].image_url.url"),
        (shown(image("data:image/png;base64,")), "messages[0].content[0].image_url.url"),
        (shown(image(PNG), role="assistant"), "messages[0].content[0]"),
        (shown(*[image(PNG)] * 65), "messages[0].content"),
        ({"messages": [{**USER, "images": "AAAA"}]}, "messages[0].images"),
        ({"messages": [{**USER, "images": ["?"]}]}, "messages[0].images[0]"),
        ({"messages": [{"role": "system", "content": "x", "images": ["AAAA"]}]}, "messages[0].images"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [tool(name="a b")]}, "tools[0].function.name"),
        ({"tools": [tool(name="x" * 129)]}, "tools[0].function.name"),
        ({"tools": [tool(description=5)]}, "tools[0].function.description"),
        ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [tool(parameters={"a": "x" * (1 << 18)})]}, "tools[0].function.parameters"),
        ({"tools": [tool(parameters=nested(100))]}, "tools[0].function.parameters"),
        ({"tools": [tool(parameters={"a": "\ud800"})]}, "tools[0].function.parameters"),
        ({"tools": [tool(strict="yes")]}, "tools[0].function.strict"),
        ({"tools": [tool(), tool()]}, "tools[1].function.name"),
        ({"tools": [tool(name=f"t{at}") for at in range(129)]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"tools": [tool()], "tool_choice": allowing()}, "tool_choice.allowed_tools"),
        ({"tools": [tool()], "tool_choice": allowing("f", mode="none")}, "tool_choice.allowed_tools.mode"),
        ({"tools": [tool()], "tool_choice": allowing("g")}, "tool_choice.allowed_tools.tools"),
        ({"tools": [tool()], "tool_choice": allowing("f", 3)}, "tool_choice.allowed_tools.tools[1].function.name"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": ["text"]}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}}},
            "response_format.json_schema.strict",
        ),
        ({"response_format": {"type": "grammar", "grammar": "a"}}, "response_format.syntax"),
        ({"response_format": {"type": "grammar", "syntax": "lark"}}, "response_format.grammar"),
        (
            {"tools": [tool()], "tool_choice": "required", "response_format": {"type": "json_object"}},
            "response_format",
        ),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": True}, "n"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning_effort": []}, "reasoning_effort"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": 1}}, "chat_template_kwargs.enable_thinking"),
        ({"chat_template_kwargs": {"bos_token": "x"}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "none"}, "reasoning_effort"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"share_prefix": "yes"}, "share_prefix"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_k": 1 << 31}, "top_k"),
        ({"min_p": 1.1}, "min_p"),
        ({"top_a": -0.1}, "top_a"),
        ({"frequency_penalty": 2.1}, "frequency_penalty"),
        ({"presence_penalty": -2.1}, "presence_penalty"),
        ({"presence_penalty": "much"}, "presence_penalty"),
        ({"repetition_penalty": 2.1}, "repetition_penalty"),
        ({"repetition_penalty": -0.1}, "repetition_penalty"),
        ({"repeat_penalty": 3}, "repeat_penalty"),
        ({"repetition_penalty": 1.1, "repeat_penalty": 1.2}, "repetition_penalty"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": {"5": -100.1}}, "logit_bias"),
        ({"logit_bias": {"5": None}}, "logit_bias"),
        ({"logit_bias": {"-5": 1}}, "logit_bias"),
        ({"logit_bias": {"²": 1}}, "logit_bias"),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
        ({"logit_bias": {str(1 << 31): 1}}, "logit_bias"),
        ({"logit_bias": {"5": 1, "05": 2}}, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(301)}}, "logit_bias"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1 << 40}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": 5}, "stop"),
        ({"stop": ["x" * 2000]}, "stop[0]"),
        ({"seed": 1 << 64}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_a_bad_field_is_named(changes, param):
    assert refused(**changes) == param


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("functions", [{}]),
        ("function_call", {"name": "f"}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
    ],
)
def test_what_this_version_cannot_do_is_refused_not_dropped(param, value):
    assert refused(**{param: value}) == param


def test_what_asks_for_nothing_is_accepted():
    read(
        n=1, tools=[], tool_choice="auto", response_format={"type": "text"}, logprobs=False, logit_bias={},
        frequency_penalty=0, presence_penalty=0.0, stop=None, temperature=None, max_tokens=None, stream=None,
        user="me", metadata={"any": "thing"}, something_new=[1, 2],
    )  # fmt: skip


def test_sampling_is_read_as_it_was_asked_for():
    asked = read(
        temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, top_a=0.1, frequency_penalty=0.3, presence_penalty=-0.2,
        repetition_penalty=1.1, logit_bias={"50": -100, "7": 1.5, "8": 0},
    ).request.sampling  # fmt: skip
    assert asked == Sampling(
        500_000, 900_000, 40, 50_000, 100_000, 300_000, -200_000, 1_100_000, ((7, 1_500_000), (50, -100_000_000))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"top_k": 0},
        {"top_k": -1},
        {"repetition_penalty": 0},
        {"repeat_penalty": 1, "repetition_penalty": 1.0},
        {"logit_bias": {}},
        {"logit_bias": {"5": 0}},
        dict.fromkeys(["top_k", "min_p", "top_a", "logit_bias", "presence_penalty", "repeat_penalty", "logprobs"]),
        {"logprobs": False, "top_logprobs": 0},
    ],
)
def test_asking_for_no_change_is_the_default_request(changes):
    assert read(**changes).request == read().request


def test_ollamas_name_of_the_repetition_penalty_is_known():
    assert read(repeat_penalty=1.2).request.sampling == Sampling.of(repetition_penalty=1.2)


@pytest.mark.parametrize(
    ("changes", "wanted"), [({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 20}, 20), ({}, None)]
)
def test_log_probabilities_are_asked_for_as_openai_has_it(changes, wanted):
    assert read(**changes).request.top_logprobs == wanted


def test_parts_are_joined_and_an_assistant_may_be_silent():
    call = read(
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": None},
            {"role": "user", "content": "", "name": "ann"},
        ]
    )
    assert call.request.messages == (Message("developer", "ab"), Message("assistant", ""), Message("user", "", "ann"))


def test_both_names_of_the_limit_may_agree():
    assert read(max_tokens=5, max_completion_tokens=5).request.max_tokens == 5


def test_a_conversation_that_no_offer_can_carry_is_refused():
    with pytest.raises(ContextTooLong):
        read(messages=[{"role": "user", "content": "x" * 700_000}])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"temperature": NaN, "model": "m"}',
        b'{"temperature": -Infinity, "model": "m"}',
        b'{"seed": ' + b"9" * 10_000 + b"}",
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
    ],
)
async def test_bodies_that_are_no_requests_are_400(edge, raw):
    answer = await edge.client.post("/v1/chat/completions", content=raw)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_infinity_in_disguise_is_out_of_range(edge):
    raw = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}'
    answer = await edge.client.post("/v1/chat/completions", content=raw)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "temperature")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
KEYS = [
    "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "stream",
    "stream_options", "n", "tools", "tool_choice", "response_format", "logit_bias", "top_k", "modalities",
    "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty", "logprobs",
    "top_logprobs", "parallel_tool_calls", "reasoning_effort", "chat_template_kwargs", "service_tier", "share_prefix",
]  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool"]) | JSON,
        "content": JSON | st.lists(st.just(image(PNG)) | st.just({"type": "text", "text": "é"}) | JSON, max_size=3),
        "name": JSON,
        "tool_calls": JSON | st.lists(st.just(CALL) | JSON, max_size=2),
        "tool_call_id": JSON,
        "images": JSON | st.just(["AAAA"]),
    },
)
NEARLY_RIGHT = st.fixed_dictionaries(
    {"model": st.just("m") | JSON, "messages": st.lists(MESSAGE, max_size=3) | JSON},
    optional={
        **dict.fromkeys(KEYS[2:], JSON),
        "tools": JSON | st.lists(st.builds(tool, parameters=JSON) | JSON, max_size=2),
        "response_format": JSON
        | st.fixed_dictionaries({"type": st.just("json_object"), "schema": JSON})
        | st.fixed_dictionaries({"type": st.just("grammar"), "syntax": st.just("regex"), "grammar": JSON}),
    },
)


@settings(max_examples=200, deadline=None)
@given(NEARLY_RIGHT | JSON | st.binary(max_size=40))
def test_any_body_is_read_or_refused_by_type(body):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        call = read_chat_call(raw)
    except BadRequest as err:
        assert err.sentence
    else:  # whatever we accept, a peer accepts too
        assert ChatRequest.from_fields(canonical.decode(canonical.encode(call.request.to_fields()))) == call.request
