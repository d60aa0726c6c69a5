"""What is too large is refused by its name, before the grammar library sees it, and fast."""

from __future__ import annotations

import json
import time

import pytest

from peernode.chat.errors import BadRequest
from peernode.engine.worker.grammar.lark import checked_lark
from peernode.engine.worker.grammar.limits import check_schema, read_schema

INTEGER = {"type": "integer"}


def nested(levels: int) -> str:
    return '{"items":' * levels + "{}" + "}" * levels


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"properties": {f"p{i}": INTEGER for i in range(1001)}}, "properties"),
        ({"items": {"patternProperties": {f"p{i}": INTEGER for i in range(1001)}}}, "properties"),
        ({"enum": list(range(5001))}, "enum values"),
        ({"const": "x" * 100_001}, "characters in const and enum"),
        ({"anyOf": [INTEGER] * 1001}, "alternatives"),
        ({"allOf": [{"$ref": "#/$defs/a"}] * 501}, "references"),
        ({"pattern": "a" * 2001}, "a pattern"),
        ({"anyOf": [{"pattern": "a" * 1999}] * 11}, "characters in all patterns"),
        ({"multipleOf": 99991}, "multipleOf"),
        ({"multipleOf": 0.99991}, "multipleOf"),
        ({"multipleOf": 1e5}, "multipleOf"),
        ({"multipleOf": 1e300}, "multipleOf"),
        ({"multipleOf": 10**400}, "multipleOf"),
        ({"allOf": [{"multipleOf": 991}, {"multipleOf": 7}, {"multipleOf": 13}]}, "multipleOf"),
        ({"properties": {"enum": {"enum": list(range(5001))}}}, "enum values"),
        ({"anything": [{"deep": {"multipleOf": 99991}}]}, "multipleOf"),
    ],
)
def test_what_is_too_large_is_named(schema, named):
    with pytest.raises(BadRequest, match=f"too large: {named}") as caught:
        check_schema(schema)
    assert caught.value.param == "response_format"
    assert caught.value.cause


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {f"p{i}": INTEGER for i in range(1000)}},
        {"enum": list(range(5000))},
        {"multipleOf": 0.01},
        {"anyOf": [{"multipleOf": 100}, {"multipleOf": 0.25}, {"multipleOf": 3}]},
        {"const": {"$ref": "http://elsewhere", "multipleOf": 99991}},
        {"properties": {"$ref": {"type": "string"}, "multipleOf": {"type": "integer"}}},
        {"multipleOf": True},
    ],
)
def test_what_is_not_too_large_passes(schema):
    check_schema(schema)


def test_text_is_measured_before_it_is_read():
    with pytest.raises(BadRequest, match="its text"):
        read_schema(json.dumps({"description": "x" * 140_000}))
    with pytest.raises(BadRequest, match="its nesting"):
        read_schema(nested(5000))
    with pytest.raises(BadRequest, match="its nesting"):
        read_schema("[" * 100_000)
    assert read_schema(nested(60))
    assert read_schema(json.dumps({"const": "[" * 500}))


def test_nesting_is_measured_in_a_moment_whatever_the_text():
    began = time.perf_counter()
    for hostile in ('"' * 130_000, '\\"' * 60_000, '"\\' * 60_000, '{"' * 60_000):
        with pytest.raises(BadRequest):
            read_schema(hostile)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(("text", "reason"), [("false", "not an object"), ("[]", "not an object"), ("{", "not JSON")])
def test_what_is_no_schema_is_refused(text, reason):
    with pytest.raises(BadRequest, match=reason):
        read_schema(text)


def test_half_a_character_is_refused():
    with pytest.raises(BadRequest, match="not Unicode"):
        checked_lark('start: "\ud800"')


def test_a_schema_that_allows_everything_is_one():
    assert read_schema("true") == {}


@pytest.mark.parametrize("reference", ["http://example.com/schema", "other.json#/a", "//host/x", "file:///etc/passwd"])
def test_references_to_elsewhere_are_refused(reference):
    with pytest.raises(BadRequest, match="another document"):
        read_schema(json.dumps({"properties": {"a": {"$ref": reference}}}))


def test_a_schema_cannot_set_the_compiler():
    assert read_schema(json.dumps({"x-guidance": {"lenient": True}, "type": "object"})) == {"type": "object"}


def test_schemas_inside_a_grammar_are_checked_and_bound_to_our_options():
    made = checked_lark('start: "x" %json\n {"type": "integer", "x-guidance": {"lenient": true}} "y"')
    schema, _ = json.JSONDecoder().raw_decode(made, made.index("{"))
    assert schema["type"] == "integer"
    assert schema["x-guidance"]["lenient"] is False
    assert schema["x-guidance"]["whitespace_flexible"] is False
    assert made.startswith('start: "x" %json {')
    assert made.endswith('} "y"')


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ('start: %json {"multipleOf": 99991}', "multipleOf"),
        ('start: %json {"a": 1} %json {"multipleOf": 99991}', "multipleOf"),
        ('start: "%json" %json {"multipleOf": 99991}', "not an object"),
        ("start: %json {", "without a JSON schema"),
        ("start: %json", "without a JSON schema"),
        ('%llguidance {"allow_invalid_utf8": true}\nstart: "x"', "not served"),
        ("start: a0\n" + "\n".join(f"a{i}: a{i + 1}" for i in range(600)), "its rules"),
        (f"start: /{'a' * 2001}/", "its regular expression"),
        (f"start: {'[' * 200}", "its nesting"),
    ],
)
def test_grammars_that_are_refused(grammar, reason):
    with pytest.raises(BadRequest) as caught:
        checked_lark(grammar)
    assert reason in str(caught.value)
