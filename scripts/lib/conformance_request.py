"""Rows 17 to 37: every parameter, by the effect that it has on a real model."""

from __future__ import annotations

import json

from conformance_asking import ROUTER, USER, Asker, Rows

ROWS = Rows()
TOOL = {
    "type": "function",
    "function": {
        "name": "roll",
        "parameters": {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["n"],
            "additionalProperties": False,
        },
    },
}
OTHER = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}
WARM = {"temperature": 1.5, "seed": 5}
# So short that a likely beginning is beyond doubt, and company in a batch cannot turn it.
HOT = {"temperature": 2, "seed": 5, "max_tokens": 2}
# The model goes on with what it began, so that a penalty has something to forbid.
ECHO = [
    {"role": "user", "content": "Say blue again and again."},
    {"role": "assistant", "content": "blue blue blue blue blue blue"},
]
CAPITAL = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "The capital of France is"},
]
# Of the real model's vocabulary.
LETTER_A, LETTER_B = "49", "50"


@ROWS.row(17, "roles system, user, assistant", "each changes the prompt's size and the answer")
def _(it: Asker) -> str:
    system = {"role": "system", "content": "You are a pirate. Speak like one."}
    begun = {"role": "assistant", "content": "Blue."}
    more = {"role": "user", "content": "Why that one?"}
    plain, led, long = (
        it.chat(messages=turns, max_tokens=16) for turns in ([USER], [system, USER], [system, USER, begun, more])
    )
    sizes = [answer["usage"]["prompt_tokens"] for answer in (led, long)]
    assert sizes[0] < sizes[1]
    assert len({answer["choices"][0]["message"]["content"] for answer in (plain, led, long)}) == 3
    return f"{sizes} tokens"


@ROWS.row(18, "role tool", "what a tool said changes the answer, with its tool_call_id and without")
def _(it: Asker) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "roll", "arguments": '{"n": 4}'}}
    asked = [{"role": "user", "content": "Roll, and say what came."}]
    asked.append({"role": "assistant", "content": None, "tool_calls": [call]})

    def told(content: str, **more: str) -> dict[str, object]:
        result = {"role": "tool", "content": content, **more}
        answer = it.chat(messages=[*asked, result], tools=[TOOL], tool_choice="none", max_tokens=24)
        return {"said": answer["choices"][0]["message"]["content"], "size": answer["usage"]["prompt_tokens"]}

    four, dragon = told("4", tool_call_id="1"), told("A green dragon flew by.", tool_call_id="1")
    assert dragon["size"] > four["size"]
    assert dragon["said"] != four["said"]
    assert told("4")["said"] == four["said"]


@ROWS.row(21, "tools and tool_calls", "a required call keeps to its schema, streamed too, at /api/chat as an object")
def _(it: Asker) -> str:
    asked = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 80, "seed": 1}
    (call, *_) = it.chat(**asked)["choices"][0]["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert isinstance(arguments["n"], int)
    assert arguments["n"] <= 9
    deltas = [chunk["choices"][0]["delta"] for chunk in it.chunks(**asked)]
    calls = [each for delta in deltas for each in delta.get("tool_calls", []) if each["index"] == 0]
    assert "".join(each["function"].get("arguments", "") for each in calls) == call["function"]["arguments"]
    message = it.send("/api/chat", it.body(**asked)).json()["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == arguments
    return call["function"]["arguments"]


@ROWS.row(
    22, "tool_choice none, auto, required", "none calls nothing, required does, auto tells the model of its tools"
)
def _(it: Asker) -> None:
    called = {}
    for choice in ("none", "auto", "required"):
        answer = it.chat(tools=[TOOL], tool_choice=choice, max_tokens=60, seed=1)
        called[choice] = "tool_calls" in answer["choices"][0]["message"]
    assert (called["none"], called["required"]) == (False, True)
    told = it.chat(tools=[TOOL], tool_choice="auto", max_tokens=1)["usage"]["prompt_tokens"]
    assert told > it.chat(max_tokens=1)["usage"]["prompt_tokens"]


@ROWS.row(23, "tool_choice, a function by name", "either of two is the one that is called")
def _(it: Asker) -> None:
    for name in ("roll", "other"):
        choice = {"type": "function", "function": {"name": name}}
        answer = it.chat(tools=[OTHER, TOOL], tool_choice=choice, max_tokens=80)
        assert {call["function"]["name"] for call in answer["choices"][0]["message"]["tool_calls"]} == {name}


def in_json(it: Asker, path: str, **form: object) -> dict[str, object]:
    """The object that the answer is."""
    asked = [{"role": "user", "content": 'Write {"colour": "blue"} as it is.'}]
    answer = it.send(path, it.body(messages=asked, max_tokens=200, **form)).json()
    message = answer["message"] if "message" in answer else answer["choices"][0]["message"]
    found = json.loads(message["content"])
    assert isinstance(found, dict)
    return found


@ROWS.row(24, 'format: "json"', "the answer is an object, as with response_format")
def _(it: Asker) -> str:
    found = in_json(it, "/api/chat", format="json")
    assert found == in_json(it, ROUTER, response_format={"type": "json_object"})
    return json.dumps(found)[:40]


@ROWS.row(25, "response_format json_object, json_schema", "the answer is an object, and has the schema's keys")
def _(it: Asker) -> str:
    in_json(it, ROUTER, response_format={"type": "json_object"})
    schema = {
        "type": "object",
        "properties": {"size": {"type": "integer", "minimum": 1, "maximum": 9}, "kind": {"enum": ["x", "y"]}},
        "required": ["size", "kind"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
    found = in_json(it, ROUTER, response_format=form)
    assert found["size"] in range(1, 10)
    assert found["kind"] in {"x", "y"}
    return json.dumps(found)


@ROWS.row(26, "temperature", "0 says one thing with any seed, 2 several in eight")
def _(it: Asker) -> str:
    assert len({it.says(seed=seed) for seed in range(3)}) == 1
    said = set(it.several(messages=CAPITAL, **HOT))
    assert len(said) > 2
    assert set(it.several(messages=CAPITAL, **{**HOT, "temperature": 0})) == {it.says(messages=CAPITAL, max_tokens=2)}
    return f"{len(said)} different"


@ROWS.row(27, "max_tokens", "three are three, as max_completion_tokens and num_predict too")
def _(it: Asker) -> None:
    for changes in (
        {"max_tokens": 3},
        {"max_tokens": None, "max_completion_tokens": 3},
        {"max_tokens": None, "options": {"num_predict": 3}},
    ):
        answer = it.chat(**changes)
        assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (3, "length")


def narrowed(it: Asker, **parameter: float) -> None:
    """Hot answers are many without ``parameter``, and with it always the likeliest."""
    assert len(set(it.several(messages=CAPITAL, **HOT))) > 1
    assert set(it.several(messages=CAPITAL, **HOT, **parameter)) == {it.says(messages=CAPITAL, max_tokens=2)}


@ROWS.row(28, "top_p", "0 is the likeliest token at any temperature")
def _(it: Asker) -> None:
    narrowed(it, top_p=0)


@ROWS.row(29, "top_k, repetition_penalty", "1 is the likeliest token, 2 are two; a penalty ends an echo")
def _(it: Asker) -> str:
    narrowed(it, top_k=1)
    first = {**HOT, "max_tokens": 1}
    assert len(set(it.several(**first))) > 2 >= len(set(it.several(**first, top_k=2)))
    return quieter(it, repetition_penalty=2)


@ROWS.row(30, "min_p, top_a", "1 is the likeliest token, where one is likely")
def _(it: Asker) -> None:
    narrowed(it, min_p=1)
    first = {**HOT, "messages": CAPITAL, "max_tokens": 1}
    assert len(set(it.several(**first))) > 1
    assert set(it.several(**first, top_a=1)) == {it.says(messages=CAPITAL, max_tokens=1)}


def quieter(it: Asker, **penalty: float) -> str:
    """How often an echo comes without ``penalty`` and with it."""
    loud, quiet = (it.says(messages=ECHO, max_tokens=24, **more).count("blue") for more in ({}, penalty))
    assert quiet < loud
    return f"{loud} echoes and {quiet}"


@ROWS.row(31, "frequency and presence penalty", "each ends an echo; below zero they begin one")
def _(it: Asker) -> str:
    seen = quieter(it, frequency_penalty=2)
    plain = {"max_tokens": 40}
    said = it.says(**plain)
    assert it.says(**plain, presence_penalty=2) != said
    assert it.says(**plain, presence_penalty=-2) != said
    return seen


@ROWS.row(32, "stop, a string or up to four", "ends before it, and it is left out; five are refused")
def _(it: Asker) -> None:
    whole = it.says()
    stop = whole[2:4]
    assert it.says(stop=stop) == it.says(stop=["@@", stop]) == whole[: whole.index(stop)]
    assert it.says(options={"stop": [stop]}) == whole[: whole.index(stop)]
    it.refused(400, stop=["a"] * 5)


@ROWS.row(33, "seed", "the same says the same, another something else; also options.seed")
def _(it: Asker) -> None:
    warm = {**WARM, "max_tokens": 16}
    said = it.says(**warm)
    assert it.says(**warm) == said
    assert it.says(**{**warm, "seed": 99}) != said
    body = {"model": it.model, "messages": [USER], "options": {"seed": 5, "temperature": 1.5, "num_predict": 16}}
    assert it.send("/api/chat", body).json()["message"]["content"] == said


@ROWS.row(34, "logit_bias", "100 says nothing else, -100 never")
def _(it: Asker) -> str:
    both = it.says(logit_bias={LETTER_A: 100, LETTER_B: 100})
    assert set(both) <= {"A", "B"}
    assert set(it.says(logit_bias={LETTER_A: 100})) == {"A"}
    assert set(it.says(logit_bias={LETTER_A: -100, LETTER_B: 100})) == {"B"}
    first, bias = both[0], {"A": LETTER_A, "B": LETTER_B}
    assert first not in it.says(logit_bias={LETTER_A: 100, LETTER_B: 100, bias[first]: -100})
    return both


@ROWS.row(35, "stream_options.include_usage", "asked for at /v1, always at /api/v1")
def _(it: Asker) -> None:
    whole = it.chat()["usage"]
    for path, asked in (("/v1/chat/completions", {"stream_options": {"include_usage": True}}), (ROUTER, {})):
        last = it.chunks(path, **asked)[-1]
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == whole["total_tokens"]
    assert not any(chunk.get("usage") for chunk in it.chunks())


@ROWS.row(36, "name on messages", "is part of the prompt, and changes the answer")
def _(it: Asker) -> None:
    asked = {"role": "user", "content": "What is my name?"}
    plain, named = (it.chat(messages=[turn], max_tokens=24) for turn in (asked, {**asked, "name": "Wilhelmina"}))
    assert named["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]
    assert named["choices"][0]["message"] != plain["choices"][0]["message"]


@ROWS.row(37, "An assistant's turn that was begun", "is continued")
def _(it: Asker) -> str:
    said = it.says(messages=CAPITAL)
    assert "Paris" in said
    return said
