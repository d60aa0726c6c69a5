"""From a form to a constraint: what is served, what is refused with whose words, and what neighbours notice of it."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from peernode.chat.errors import BadRequest
from peernode.chat.output_format import OutputFormat
from peernode.engine.worker.grammar.formats import after_thought

# The library reads the vocabulary through a function that llama-cpp-python has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:llama_token_get_attr:DeprecationWarning")

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 9}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def schema(value) -> OutputFormat:
    return OutputFormat("json_schema", json.dumps(value, ensure_ascii=False))


def follows(speaker, form, text: str) -> bool:
    """Whether ``text``, as the model would write it, is a whole answer of ``form``."""
    constraint = speaker.grammars.constrain(form)
    ids = [*speaker.tokenise(text), min(speaker.vocabulary.end_ids)]
    for token in ids:
        if constraint.allowed([token]) != 1:
            return False
        constraint.accept(token)
    return True


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"not": {"type": "string"}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "strin"}, "Invalid type: strin"),
        ({"type": "string", "format": "nope"}, "Unknown format: nope"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "5"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf"),
        ({"not": {}, "x-guidance": {"lenient": True}}, "not"),
        ({"type": "object", "properties": {"a": {"not": {}, "x-guidance": {"lenient": True}}}}, "not"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(tiny, value, reason):
    with pytest.raises(BadRequest) as refused:
        tiny.grammars.constrain(schema(value))
    assert refused.value.param == "response_format"
    assert reason in refused.value.cause
    assert "\n" not in str(refused.value)
    assert "non-verbose" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "integer", "multipleOf": 999983},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(5000)}},
        {"type": "string", "enum": [f"value {i}" for i in range(20_000)]},
        {"allOf": [{"type": "string", "pattern": f"a(a|b){{{i}}}$"} for i in range(1, 40)]},
        {"$ref": "http://localhost/schema.json"},
    ],
)
def test_hostile_schemas_are_refused_in_time(demo, value):
    demo.grammars.constrain(schema(PERSON))
    began = time.perf_counter()
    with pytest.raises(BadRequest):
        demo.grammars.constrain(schema(value))
    assert time.perf_counter() - began < 2  # half a second of work, on a busy machine


@pytest.mark.parametrize(
    "value",
    [
        {"anyOf": [{"properties": {f"p{j}": {"type": "string"} for j in range(i, i + 5)}} for i in range(200)]},
        {"type": "string", "pattern": "^(a|aa)*(a*)*(a|b)*abb(a|b){20}$"},
        {"type": "string", "pattern": "^((a{1,100}){1,100}){1,100}$"},
        {"type": "string", "maxLength": 10**9},
        {"type": "array", "minItems": 10**6, "items": {"type": "string"}},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(900)}},
    ],
)
def test_what_only_looks_hostile_is_answered_in_time_and_steps_are_short(demo, value):
    demo.grammars.constrain(schema(PERSON))
    began = time.perf_counter()
    constraint = demo.grammars.constrain(schema(value))
    assert time.perf_counter() - began < 2  # half a second of work, on a busy machine
    rng = np.random.default_rng(1)
    demo.say(constraint, rng, most=20)
    assert time.perf_counter() - began < 4


def test_deep_recursion_is_refused_by_name(tiny):
    deep = OutputFormat("json_schema", '{"items":' * 5000 + "{}" + "}" * 5000)
    with pytest.raises(BadRequest, match="nesting"):
        tiny.grammars.constrain(deep)


def test_any_json_object(tiny):
    form = OutputFormat("json_object")
    assert follows(tiny, form, '{"a":[1,{"b":null}],"c":"é"}')
    assert follows(tiny, form, "{}")
    assert not follows(tiny, form, "[]")
    assert not follows(tiny, form, '{"a":1')


def test_json_is_compact_whatever_the_schema_asks(tiny):
    loose = schema({**PERSON, "x-guidance": {"whitespace_flexible": True, "item_separator": " , "}})
    assert follows(tiny, loose, '{"name":"x","age":3}')
    assert not follows(tiny, loose, '{"name": "x", "age": 3}')
    assert not follows(tiny, loose, '{"name":"x" , "age":3}')


def test_regular_expressions_and_grammars(tiny):
    assert follows(tiny, OutputFormat("regex", "[A-Z]{3}-\\d{4}"), "ABC-1234")
    assert not follows(tiny, OutputFormat("regex", "[A-Z]{3}-\\d{4}"), "ABC-123")
    calls = f'start: call+\ncall: "<call>" body "</call>"\nbody: %json {json.dumps(PERSON)}\n'
    assert follows(
        tiny, OutputFormat("lark", calls), '<call>{"name":"a","age":1}</call><call>{"name":"b","age":2}</call>'
    )
    assert not follows(tiny, OutputFormat("lark", calls), '<call>{"name":"a"}</call>')


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (schema(PERSON), '{"name":"a","age":1}'),
        (OutputFormat("json_object"), '{"k":[]}'),
        (OutputFormat("regex", "a/b\\d"), "a/b7"),
        (OutputFormat("lark", 'start: inner\ninner: "x"+\n'), "xxx"),
    ],
)
def test_a_thought_may_come_first(tiny, form, text):
    inside = after_thought(form, marker=tiny.grammars.marker, opened=True)
    assert follows(tiny, inside, f"hm, {{ maybe }} <b>\n</think>\n\n{text}")
    assert follows(tiny, inside, f"</think>{text}")
    assert not follows(tiny, inside, text)
    assert not follows(tiny, inside, f"hm</think>so {text}")
    before = after_thought(form, marker=tiny.grammars.marker, opened=False)
    assert follows(tiny, before, f"<think>hm\n</think>\n\n{text}")
    assert follows(tiny, before, text)
    assert not follows(tiny, before, f"hm</think>{text}")


def test_a_thought_ends_with_the_vocabularys_own_token(demo):
    """The demo model has no thoughts; a control token of it stands for one."""
    closing, opening = "<|im_start|>", "<repo_name>"
    assert demo.grammars.marker(closing).startswith("<[")
    form = after_thought(schema(PERSON), marker=demo.grammars.marker, opened=True, opening=opening, closing=closing)
    constraint = demo.grammars.constrain(form)
    (end,) = demo.tokenise(closing)
    for token in [*demo.tokenise("so it is"), end, *demo.tokenise('\n{"name":"a","age":1}')]:
        assert constraint.allowed([token]) == 1
        constraint.accept(token)
    assert constraint.forced()[0] in demo.vocabulary.end_ids


def test_many_ask_at_once_for_one_schema(demo):
    form = schema({**PERSON, "title": "asked for by many"})
    began = threading.Barrier(6)

    def answer(number: int):
        began.wait(10)
        constraint = demo.grammars.constrain(form)
        return json.loads(demo.text(demo.say(constraint, np.random.default_rng(number))))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(answer, range(6)))
    assert all(set(each) == {"name", "age"} for each in answers)
    assert len({json.dumps(each) for each in answers}) > 1


def test_a_continued_answer_goes_on_where_it_was(demo):
    text = '{"name":"Bo","a'
    constraint = demo.grammars.constrain(schema(PERSON), earlier=demo.tokenise(text))
    assert demo.text(constraint.forced()) == 'ge":'


def test_an_answer_that_strayed_before_is_not_continued(demo):
    with pytest.raises(BadRequest, match="does not follow"):
        demo.grammars.constrain(schema(PERSON), earlier=demo.tokenise("Hello"))
