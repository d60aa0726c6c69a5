"""The schemas of bodies agree with the parsers: whatever is put in any place, both take it, or neither does."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
from jsonschema_rs import Draft202012Validator, meta

from peernode.chat.errors import BadRequest
from peernode.edge.completions.text_call import read_text_body
from peernode.edge.document import answer_forms, bodies, examples, refusals
from peernode.edge.document.answer_examples import EXAMPLES
from peernode.edge.openai.chat_request import read_chat_body
from peernode.edge.openai.embedding_call import read_embedding_call
from peernode.edge.openai.fields import parse_object
from peernode.edge.openai.other_names import with_usual_names
from peernode.edge.openrouter.body import usual_body
from peernode.edge.peerwave.tool_routes import read_tool_run
from peernode.edge.responses.response_body import chat_body

COMPONENTS = bodies.COMPONENTS | answer_forms.COMPONENTS | refusals.COMPONENTS
PNG = "data:image/png;base64,iVBORw=="
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CALLED = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAMPLING = {
    "temperature": 0.5, "top_p": 0.5, "top_k": 5, "min_p": 0.1, "top_a": 0.1, "frequency_penalty": 1, "seed": 3,
    "presence_penalty": 1, "repetition_penalty": 1.5, "logit_bias": {"5": 1.5}, "service_tier": "flex",
}  # fmt: skip
PROVIDER = {
    "order": ["a"], "only": ["a"], "ignore": ["b"], "allow_fallbacks": True, "require_parameters": True, "zdr": False,
    "data_collection": "deny", "sort": {"by": "price"}, "max_price": {"prompt": "0.5", "completion": 3},
    "quantizations": ["Q4_1"], "preferred_min_throughput": {"p50": 5, "p90": 2}, "preferred_max_latency": 2,
    "cold": "avoid",
}  # fmt: skip
COMMON = {
    **SAMPLING, "model": "m", "models": ["n"], "route": "fallback", "provider": PROVIDER, "max_tokens": 5,
    "stop": ["x"],
    "stream": False, "stream_options": {"include_usage": True}, "resumable": False, "share_prefix": False,
    "transforms": ["middle-out"], "functions": [], "modalities": ["text"], "audio": None, "prediction": None, "n": 2,
    "web_search_options": None, "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": True},
    "options": {}, "format": "json", "function_call": "auto",
}  # fmt: skip
MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}], "name": "s"},
    {"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    {"role": "user", "content": "And this?", "images": ["iVBORw=="]},
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "content": "5", "tool_call_id": "1"},
]
CHAT = {
    **COMMON, "messages": MESSAGES, "logprobs": True, "top_logprobs": 2,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "auto", "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}, "strict": True}},
}  # fmt: skip
TEXT = {**COMMON, "prompt": ["Say it.", [5, 6]], "suffix": None, "best_of": 3, "echo": False, "logprobs": 2}
RESPONSES = {
    **SAMPLING, "model": "m", "provider": PROVIDER, "instructions": "Be brief.", "max_output_tokens": 5,
    "stream": False,
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What?"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "5"},
        {"type": "reasoning"},
    ],
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}},
    "reasoning": {"effort": "low"}, "tools": [{"type": "function", **FUNCTION}], "tool_choice": "auto",
    "parallel_tool_calls": True, "truncation": "auto", "include": ["message.output_text.logprobs"], "top_logprobs": 2,
    "metadata": {"a": "b"}, "store": False, "background": False, "previous_response_id": None, "conversation": None,
    "prompt": None,
}  # fmt: skip
EMBEDDINGS = {
    "model": "m",
    "input": ["text", [1, 2]],
    "encoding_format": "base64",
    "dimensions": 5,
    "provider": PROVIDER,
}
TOOL = {"function": {"name": "pricing_info", "arguments": {"model": "m"}}}

READERS = {
    "ChatBody": (CHAT, lambda body: read_chat_body(with_usual_names(body), {})),
    "OpenRouterBody": ({**CHAT, "prompt": None}, lambda body: read_openrouter(usual_body(body))),
    "TextBody": (TEXT, lambda body: read_text_body(with_usual_names(body))),
    "ResponsesBody": (RESPONSES, lambda body: read_chat_body(with_usual_names(chat_body(body)), {})),
    "EmbeddingsBody": (EMBEDDINGS, lambda body: read_embedding_call(json.dumps(body).encode())),
    "ToolRunBody": (TOOL, read_tool_run),
}
# What belongs together beyond what a schema says; the words of the refusals.
TOGETHER = (
    "differ.",
    "top_logprobs needs logprobs",
    "tool_choice names a function that is not among the tools.",
    "tool_choice requires a call, and there are no tools.",
    "A required tool call leaves no room for response_format.",
    "contradict each other",
    "more than 8 answers to give",
    "A suffix goes only with a prompt of text.",
    "best_of is less than n.",
    "The best answers are known only at the end.",
    "A prompt of token ids cannot be echoed as text.",
    "The images are too large",
    "The log-probabilities of a prompt are not known.",
    "function.arguments is not the JSON of an object.",
)
PROBES = [
    None, True, False, -1, 0, 1, 2, 3, 4.0, 0.5, -0.5, 2.5, 1 << 31, 1 << 63, 10**30, "", "x", "auto", "deny", "none",
    "low", "x" * 129, "x" * 300, [], [1], ["x"], [[]], ["x"] * 9, ["x"] * 70, {}, {"x": 1}, {"type": "text"}, "é\n",
]  # fmt: skip


def read_openrouter(body):
    if body.get("prompt") is not None:
        return read_text_body(with_usual_names(body))
    return read_chat_body(with_usual_names(body), {})


def validator(name):
    return Draft202012Validator({**COMPONENTS[name], "components": {"schemas": COMPONENTS}})


def places(value, path=()) -> Iterator[tuple]:
    """Where something stands in ``value``."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def changed(value, path, new):
    made = copy.deepcopy(value)
    spot = made
    for key in path[:-1]:
        spot = spot[key]
    if new is LEFT_OUT:
        del spot[path[-1]]
    else:
        spot[path[-1]] = new
    return made


LEFT_OUT = object()


def accepts(read, body) -> tuple[bool, str]:
    try:
        read(parse_object(json.dumps(body).encode()))
    except BadRequest as err:
        return False, err.sentence
    return True, ""


@pytest.mark.parametrize("name", READERS)
def test_a_full_body_is_good(name):
    full, read = READERS[name]
    assert not [error.message for error in validator(name).iter_errors(full)]
    assert accepts(read, full) == (True, "")


@pytest.mark.parametrize("name", READERS)
def test_schema_and_parser_agree_on_whatever_stands_anywhere(name):
    full, read = READERS[name]
    checks, wrong = validator(name), []
    for path in places(full):
        for probe in [LEFT_OUT, *PROBES]:
            body = changed(full, path, probe)
            valid = checks.is_valid(body)
            taken, why = accepts(read, body)
            if valid != taken and not any(words in why for words in TOGETHER):
                wrong.append((path, "nothing" if probe is LEFT_OUT else repr(probe)[:40], valid, why))
    assert not wrong


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_are_schemas(name):
    meta.validate(COMPONENTS[name])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ChatBody", examples.CHAT),
        ("PeerwaveChatBody", examples.PEERWAVE),
        ("OpenRouterBody", examples.CHAT | examples.PROMPT),
        ("TextBody", examples.PROMPT),
        ("ResponsesBody", examples.RESPONSES),
        ("EmbeddingsBody", examples.EMBEDDINGS),
        ("ToolRunBody", examples.TOOL),
    ],
)
def test_examples_are_good(name, shown):
    read = READERS[name.replace("Peerwave", "")][1]
    for body in shown.values():
        assert validator(name).is_valid(body)
        assert accepts(read, body) == (True, "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_answers_look_as_they_are_described(name):
    assert not [error.message for error in validator(name).iter_errors(EXAMPLES[name])]
