"""Tools, pictures, forms of answers and manners of serving, as clients ask for them and as jobs carry them."""

from __future__ import annotations

import base64
import json

import pytest

from peernode.chat.message import Image, ToolCall
from peernode.chat.output_format import OutputFormat
from peernode.chat.request import Message
from peernode.chat.tools import Tool
from peernode.wire.bounds import MAX_IMAGES_BYTES
from tests.edge.asked import PNG, PNG_BYTES, allowing, calling, image, shown, tool
from tests.edge.test_requests import USER, read, refused


def test_calls_and_their_results_are_read():
    messages = read(
        messages=[
            USER,
            calling(),
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "sunny"}]},
            calling(id="2", function={"name": "g", "arguments": {"b": [1.5, "ü"], "a": None}}),
            {"role": "tool", "content": "rain"},
        ]
    ).request.messages
    assert messages[1:] == (
        Message("assistant", "", tool_calls=(ToolCall("1", "f", "{}"),)),
        Message("tool", "sunny", tool_call_id="1"),
        Message("assistant", "", tool_calls=(ToolCall("2", "g", '{"b":[1.5,"ü"],"a":null}'),)),
        Message("tool", "rain"),
    )


def test_images_stand_where_they_stood_among_the_words():
    parts = [
        image(PNG),
        {"type": "text", "text": "ab"},
        image(PNG.replace("png", "PNG")),
        {"type": "text", "text": "c"},
    ]
    (message,) = read(**shown(*parts)).request.messages
    assert message == Message("user", "abc", images=(Image(0, PNG_BYTES), Image(2, PNG_BYTES)))
    (message,) = read(messages=[{**USER, "images": ["iVBORw=="]}]).request.messages
    assert message == Message("user", "hi", images=(Image(0, PNG_BYTES),))


def test_images_that_no_offer_can_carry_are_refused():
    half = "data:image/png;base64," + base64.b64encode(bytes(MAX_IMAGES_BYTES // 2 + 1)).decode()
    assert refused(**shown(image(half), image(half))) == "messages[0]"
    assert refused(**shown(image(half + half[22:] + "AAAA"))) == "messages[0].content[0].image_url.url"


def test_tools_are_read():
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    request = read(tools=[tool(description="Does.", parameters=schema, strict=True), tool(name="g")]).request
    assert request.tools == (Tool("f", "Does.", json.dumps(schema, separators=(",", ":")), True), Tool("g"))
    assert (request.tool_choice, request.parallel_tool_calls) == ("auto", True)


def test_tools_that_are_not_allowed_are_left_out():
    request = read(
        tools=[tool(), tool(name="g"), tool(name="h")], tool_choice=allowing("h", "f", mode="required")
    ).request
    assert ([each.name for each in request.tools], request.tool_choice) == (["f", "h"], "required")


def test_an_assistant_s_refusal_is_what_it_said():
    said = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert read(messages=[USER, said]).request.messages[1].content == "No."


@pytest.mark.parametrize(
    ("choice", "read_as"),
    [
        ("none", "none"),
        ("auto", "auto"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "f"}}, "function:f"),
    ],
)
def test_how_a_tool_is_chosen(choice, read_as):
    request = read(tools=[tool()], tool_choice=choice, parallel_tool_calls=False).request
    assert (request.tool_choice, request.parallel_tool_calls) == (read_as, False)


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ({"type": "json_object"}, OutputFormat("json_object")),
        ({"type": "json_object", "schema": {"a": 1}}, OutputFormat("json_schema", '{"a":1}')),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"b": 1, "a": 2}}},
            OutputFormat("json_schema", '{"b":1,"a":2}'),
        ),
        ({"type": "grammar", "syntax": "regex", "grammar": "[ab]+"}, OutputFormat("regex", "[ab]+")),
        ({"type": "grammar", "syntax": "lark", "grammar": 'start: "a"'}, OutputFormat("lark", 'start: "a"')),
    ],
)
def test_the_form_of_the_answer(given, read_as):
    assert read(response_format=given).request.format == read_as


@pytest.mark.parametrize(
    ("changes", "reasoning", "background"),
    [
        ({}, "", False),
        ({"reasoning_effort": "none"}, "off", False),
        ({"reasoning_effort": "low"}, "on", False),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "off", False),
        ({"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "high"}, "on", False),
        ({"chat_template_kwargs": {}}, "", False),
        ({"service_tier": "flex"}, "", True),
        ({"service_tier": "auto"}, "", False),
    ],
)
def test_the_manner_of_serving(changes, reasoning, background):
    request = read(**changes).request
    assert (request.reasoning, request.background) == (reasoning, background)


def test_a_prefix_is_shared_with_strangers_only_on_request():
    assert read(share_prefix=True).request.share_prefix
    assert not read().request.share_prefix
