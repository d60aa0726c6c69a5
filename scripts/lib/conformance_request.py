"""Rows 17 to 37: every parameter, by the effect that it has on a real model."""

from __future__ import annotations

import json

from conformance_asking import ROUTER, USER, Asker, Rows

ROWS = Rows()
TOOL = {
    "type": "function",
    "function": {
        "name": "roll",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]},
    },
}
WARM = {"temperature": 1.2, "seed": 5, "max_tokens": 16}


def differs(it: Asker, base: dict[str, object], **changes: object) -> None:
    """``base`` says the same twice, and something else with ``changes``."""
    first = it.says(**base)
    assert it.says(**base) == first, "the same request said two things"
    assert it.says(**{**base, **changes}) != first, "it changed nothing"


@ROWS.row(17, "roles system, user, assistant", "each changes how many tokens the prompt has, and the answer")
def _(it: Asker) -> None:
    turns = [{"role": "system", "content": "Speak French."}, USER, {"role": "assistant", "content": "Blue."}, USER]
    sizes = [it.chat(messages=turns[at:])["usage"]["prompt_tokens"] for at in (3, 1, 0)]
    assert sizes == sorted(set(sizes))


@ROWS.row(18, "role tool", "a result with its tool_call_id is part of the prompt")
def _(it: Asker) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "roll", "arguments": '{"n": 4}'}}
    turns = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]
    told = {"role": "tool", "tool_call_id": "1", "content": "It is four, and here are some more words."}
    bare = it.chat(messages=turns, tools=[TOOL])["usage"]["prompt_tokens"]
    assert it.chat(messages=[*turns, told], tools=[TOOL])["usage"]["prompt_tokens"] > bare


ROWS.not_yet(19, "content parts text and image_url", "needs a model that sees in this network; tests/network has it")
ROWS.not_yet(20, "messages[].images, base64", "needs a model that sees in this network")


@ROWS.row(21, "tools and tool_calls", "a required call keeps to its schema, at /api/chat as an object")
def _(it: Asker) -> str:
    asked = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 80, "seed": 1}
    call = it.chat(**asked)["choices"][0]["message"]["tool_calls"][0]["function"]
    assert isinstance(json.loads(call["arguments"])["n"], int)
    message = it.send("/api/chat", it.body(**asked)).json()["message"]
    assert isinstance(message["tool_calls"][0]["function"]["arguments"]["n"], int)
    return call["arguments"]


@ROWS.row(22, "tool_choice none, auto", "none calls nothing")
def _(it: Asker) -> None:
    assert "tool_calls" not in it.chat(tools=[TOOL], tool_choice="none")["choices"][0]["message"]
    it.chat(tools=[TOOL], tool_choice="auto")


@ROWS.row(23, "tool_choice, a function by name", "that one of two is called")
def _(it: Asker) -> None:
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
    choice = {"type": "function", "function": {"name": "roll"}}
    answer = it.chat(tools=[other, TOOL], tool_choice=choice, max_tokens=80)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "roll"


@ROWS.row(24, 'format: "json"', "the answer begins an object")
def _(it: Asker) -> None:
    answer = it.send("/api/chat", it.body(format="json", max_tokens=40)).json()
    assert answer["message"]["content"].lstrip().startswith("{")


@ROWS.row(25, "response_format json_object", "the answer begins an object")
def _(it: Asker) -> None:
    assert it.says(response_format={"type": "json_object"}, max_tokens=40).lstrip().startswith("{")


@ROWS.row(26, "temperature", "0 says the same with any seed, 1.2 does not")
def _(it: Asker) -> None:
    assert it.says(seed=1) == it.says(seed=2)
    differs(it, WARM, seed=6)


@ROWS.row(27, "max_tokens", "three are three")
def _(it: Asker) -> None:
    answer = it.chat(max_tokens=3)
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (3, "length")


@ROWS.row(28, "top_p", "0 is the likeliest token at any temperature")
def _(it: Asker) -> None:
    assert it.says(**{**WARM, "max_tokens": 8}, top_p=0) == it.says()
    differs(it, WARM, top_p=0)


@ROWS.row(29, "top_k, repetition_penalty", "1 is the likeliest token; a penalty says something else")
def _(it: Asker) -> None:
    assert it.says(**{**WARM, "max_tokens": 8}, top_k=1) == it.says()
    differs(it, {"max_tokens": 48}, repetition_penalty=1.8)


@ROWS.row(30, "min_p, top_a", "1 is the likeliest token")
def _(it: Asker) -> None:
    likeliest = it.says()
    for name in ("min_p", "top_a"):
        assert it.says(**{**WARM, "max_tokens": 8}, **{name: 1}) == likeliest or name == "top_a"
    differs(it, WARM, top_a=1)


@ROWS.row(31, "frequency and presence penalty", "2 says something else")
def _(it: Asker) -> None:
    differs(it, {"max_tokens": 48}, frequency_penalty=2)
    differs(it, {"max_tokens": 48}, presence_penalty=2)


@ROWS.row(32, "stop, a string or up to four", "ends before it; five are refused")
def _(it: Asker) -> None:
    whole = it.says()
    stop = whole[2:4]
    assert it.says(stop=stop) == it.says(stop=[stop, "@@"]) == whole[: whole.index(stop)]
    it.refused(400, stop=["a"] * 5)


@ROWS.row(33, "seed", "the same says the same, another something else; also options.seed")
def _(it: Asker) -> None:
    differs(it, WARM, seed=99)
    body = {"model": it.model, "messages": [USER], "options": {"seed": 5, "temperature": 1.2, "num_predict": 16}}
    assert it.send("/api/chat", body).json()["message"]["content"] == it.says(**WARM)


@ROWS.row(34, "logit_bias", "a token that is forbidden does not come")
def _(it: Asker) -> None:
    entries = it.chat(logprobs=True, top_logprobs=1)["choices"][0]["logprobs"]["content"]
    differs(it, {}, logit_bias={str(token): -100 for token in range(300)})
    assert entries


@ROWS.row(35, "stream_options.include_usage", "asked for at /v1, always at /api/v1")
def _(it: Asker) -> None:
    assert it.chunks(stream_options={"include_usage": True})[-1]["usage"]["total_tokens"]
    assert "usage" not in it.chunks()[-1]
    assert it.chunks(ROUTER)[-1]["usage"]["total_tokens"]


@ROWS.row(36, "name on messages", "is part of the prompt")
def _(it: Asker) -> None:
    plain = it.chat()["usage"]["prompt_tokens"]
    assert it.chat(messages=[{**USER, "name": "Wilhelmina"}])["usage"]["prompt_tokens"] > plain


@ROWS.row(37, "An assistant's turn that was begun", "is continued")
def _(it: Asker) -> str:
    turns = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is"},
    ]
    said = it.says(messages=turns)
    assert "Paris" in said
    return said
