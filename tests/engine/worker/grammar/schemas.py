"""A fixed corpus of JSON schemas: some thirty kinds, each in several sizes, all of which the engine serves.

Every schema can be met within some 120 tokens: strings and lists have bounds unless that is the point.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_NAMES = [
    "id",
    "name",
    "title",
    "age",
    "city",
    "price",
    "colour",
    "état",
    "größe",
    "名前",
    "first-name",
    "x_y",
    "is ok",
]
_WORDS = [
    "red",
    "green",
    "blue",
    "small",
    "large",
    "äpfel",
    "naïve",
    "東京",
    "a b",
    'say "hi"',
    "back\\slash",
    "a\tb",
    "🙂",
]
_PATTERNS = [
    "^[A-Z]{3}-[0-9]{4}$",
    "^#[0-9a-f]{6}$",
    "^(cat|dog|bird)s?$",
    "^[a-z]{1,9}@[a-z]{1,9}\\.(com|org)$",
    "^\\d{4}-\\d{2}$",
    "^[^aeiou ]{2,8}$",
    "^(\\+1 )?\\d{3}-\\d{4}$",
    "[0-9]$",
]
_FORMATS = ["date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "hostname"]
_DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}


def corpus(copies: int = 8) -> list[tuple[str, Schema]]:
    """Name and schema, the same ones at every call."""
    made = []
    for family in _FAMILIES:
        for number in range(copies):
            name = f"{family.__name__.strip('_')}-{number}"
            made.append((name, family(random.Random(name), number)))
    return made


def _closed(properties: Schema, required: list[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _leaf(rng: random.Random) -> Schema:
    return rng.choice(
        [
            {"type": "string", "maxLength": rng.randint(3, 16)},
            {"type": "integer", "minimum": 0, "maximum": rng.choice([9, 120, 4096])},
            {"type": "number", "minimum": -1, "maximum": rng.choice([1, 2.5, 100])},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": rng.sample(_WORDS, 3)},
            {"const": rng.choice(_WORDS)},
        ]
    )


def _leaves(rng: random.Random, count: int) -> Schema:
    return {name: _leaf(rng) for name in rng.sample(_NAMES, count)}


def _flat_object(rng: random.Random, number: int) -> Schema:
    return _closed(_leaves(rng, 1 + number % 5))


def _optional_properties(rng: random.Random, number: int) -> Schema:
    properties = _leaves(rng, 2 + number % 4)
    return _closed(properties, required=list(properties)[: number % 3])


def _nested_object(rng: random.Random, number: int) -> Schema:
    made = _leaf(rng)
    for name in rng.sample(_NAMES, 2 + number % 4):
        made = _closed({name: made, "n": _DIGIT})
    return made


def _bounded_array(rng: random.Random, number: int) -> Schema:
    least = number % 3
    return {"type": "array", "items": _leaf(rng), "minItems": least, "maxItems": least + rng.randint(0, 3)}


def _array_of_objects(rng: random.Random, number: int) -> Schema:
    return {"type": "array", "items": _closed(_leaves(rng, 2)), "minItems": 1, "maxItems": 1 + number % 2}


def _matrix(_: random.Random, number: int) -> Schema:
    row = {"type": "array", "items": _DIGIT, "minItems": 2, "maxItems": 3}
    return {"type": "array", "items": row, "minItems": 1 + number % 3, "maxItems": 1 + number % 3}


def _string_enum(rng: random.Random, number: int) -> Schema:
    return {"type": "string", "enum": rng.sample(_WORDS, 2 + number)}


def _mixed_enum(rng: random.Random, number: int) -> Schema:
    values = [1, -2.5, None, True, "yes", [1, 2], {"a": 1}, {}, [], 10**12]
    return {"enum": rng.sample(values, 2 + number % 6)}


def _long_enum(_: random.Random, number: int) -> Schema:
    return {"type": "string", "enum": [f"code-{value:04d}" for value in range(100 * (number + 1))]}


def _constant(_: random.Random, number: int) -> Schema:
    values = ["fixed", 42, -0.5, None, True, [1, "two", None], {"deep": {"er": [1, {"x": "é"}]}}, "line\nbreak \u0007"]
    return {"const": values[number % len(values)]}


def _constant_field(rng: random.Random, number: int) -> Schema:
    return _closed({"kind": {"const": f"event-{number}"}, "version": {"const": number}, "value": _leaf(rng)})


def _any_of_scalars(rng: random.Random, number: int) -> Schema:
    return {"anyOf": [_leaf(rng) for _ in range(2 + number % 3)]}


def _any_of_objects(rng: random.Random, number: int) -> Schema:
    return {"anyOf": [_closed(_leaves(rng, 1 + branch)) for branch in range(2 + number % 2)]}


def _discriminated(rng: random.Random, number: int) -> Schema:
    size = {"type": "integer", "minimum": 0, "maximum": rng.choice([9, 99])}
    kinds = ["circle", "square", "line", "point"][: 2 + number % 3]
    return {"oneOf": [_closed({"type": {"const": kind}, kind: size}) for kind in kinds]}


def _type_list(rng: random.Random, number: int) -> Schema:
    types = rng.sample(["string", "integer", "boolean", "null"], 2 + number % 3)
    return {"type": types, "maxLength": 12, "minimum": 0, "maximum": 999}


def _nullable_fields(rng: random.Random, number: int) -> Schema:
    nullable = {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]}
    return _closed(dict.fromkeys(rng.sample(_NAMES, 1 + number % 4), nullable))


def _references(rng: random.Random, number: int) -> Schema:
    made = _closed({name: {"$ref": "#/$defs/thing"} for name in rng.sample(_NAMES, 1 + number % 3)})
    return {"$defs": {"thing": _closed({"v": _leaf(rng), "w": {"$ref": "#/$defs/leaf"}}), "leaf": _leaf(rng)}, **made}


def _old_references(rng: random.Random, _: int) -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"item": _leaf(rng)},
        "type": "array",
        "items": {"$ref": "#/definitions/item"},
        "minItems": 1,
        "maxItems": 3,
    }


def _linked_list(_: random.Random, number: int) -> Schema:
    following = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}
    node = _closed({"value": {"type": "integer", "minimum": 0, "maximum": 10 + number}, "next": following})
    return {"$defs": {"node": node}, "$ref": "#/$defs/node"}


def _tree(_: random.Random, number: int) -> Schema:
    children = {"type": "array", "items": {"$ref": "#"}, "maxItems": 1 + number % 2}
    return _closed({"label": {"type": "string", "maxLength": 4}, "children": children})


def _pattern(_: random.Random, number: int) -> Schema:
    return {"type": "string", "pattern": _PATTERNS[number % len(_PATTERNS)], "maxLength": 24}


def _pattern_fields(rng: random.Random, number: int) -> Schema:
    chosen = _PATTERNS[number % 3], _PATTERNS[3 + number % 4]
    names = rng.sample(_NAMES, 2)
    return _closed({name: {"type": "string", "pattern": each} for name, each in zip(names, chosen, strict=True)})


def _format(_: random.Random, number: int) -> Schema:
    return {"type": "string", "format": _FORMATS[number % len(_FORMATS)]}


def _format_fields(rng: random.Random, _: int) -> Schema:
    formats = rng.sample(["date", "time", "uuid", "ipv4"], 2)
    return _closed({name: {"type": "string", "format": name} for name in formats})


def _integer_range(rng: random.Random, number: int) -> Schema:
    low = rng.randint(-(10 ** (number + 1)), 10 ** (number + 1))
    return {"type": "integer", "minimum": low, "maximum": low + rng.randint(1, 10 ** (number + 2))}


def _exclusive_range(rng: random.Random, number: int) -> Schema:
    low = round(rng.uniform(-100, 100), number % 4)
    return {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1 + number}


def _multiple(_: random.Random, number: int) -> Schema:
    step = [2, 3, 5, 7, 25, 100, 0.5, 0.25][number % 8]
    return {"type": "integer" if step >= 1 else "number", "multipleOf": step, "minimum": 0, "maximum": 1000}


def _open_object(_: random.Random, number: int) -> Schema:
    rest = [False, {"type": "boolean"}, _DIGIT][number % 3]
    return {"type": "object", "properties": {"id": _DIGIT}, "required": ["id"], "additionalProperties": rest}


def _dictionary(_: random.Random, number: int) -> Schema:
    value = {"type": "integer", "minimum": 0, "maximum": 10 * (number + 1)}
    return {"type": "object", "patternProperties": {"^[a-z]{1,5}$": value}, "additionalProperties": False}


def _tuple(rng: random.Random, number: int) -> Schema:
    items = [_leaf(rng) for _ in range(1 + number % 4)]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _tuple_with_rest(rng: random.Random, number: int) -> Schema:
    items = [_leaf(rng) for _ in range(1 + number % 2)]
    bounds = {"minItems": len(items), "maxItems": len(items) + 2}
    return {"type": "array", "prefixItems": items, "items": {"type": "boolean"}, **bounds}


def _string_lengths(_: random.Random, number: int) -> Schema:
    return {"type": "string", "minLength": number, "maxLength": number + 4}


def _all_of(rng: random.Random, number: int) -> Schema:
    low = {"type": "integer", "minimum": number}
    first = {"type": "object", "properties": {"a": _leaf(rng), "b": low}, "required": ["a"]}
    second = {"properties": {"b": {"maximum": 99}, "a": True}, "required": ["b"], "additionalProperties": False}
    return {"allOf": [first, second]}


def _described(rng: random.Random, number: int) -> Schema:
    fields = {name: {**leaf, "description": f"The {name}."} for name, leaf in _leaves(rng, 2).items()}
    return {**_closed(fields), "title": f"Thing {number}", "description": "A thing.", "examples": [{}], "default": {}}


def _odd_keys(_: random.Random, number: int) -> Schema:
    keys = ['"quoted"', "back\\slash", "new\nline", "emoji 🙂", "ключ", "", " ", "a/b~c"]
    return _closed({keys[number % 8]: {"type": "boolean"}, keys[(number + 3) % 8]: {"type": "null"}})


_FAMILIES: list[Callable[[random.Random, int], Schema]] = [
    _flat_object,
    _optional_properties,
    _nested_object,
    _bounded_array,
    _array_of_objects,
    _matrix,
    _string_enum,
    _mixed_enum,
    _long_enum,
    _constant,
    _constant_field,
    _any_of_scalars,
    _any_of_objects,
    _discriminated,
    _type_list,
    _nullable_fields,
    _references,
    _old_references,
    _linked_list,
    _tree,
    _pattern,
    _pattern_fields,
    _format,
    _format_fields,
    _integer_range,
    _exclusive_range,
    _multiple,
    _open_object,
    _dictionary,
    _tuple,
    _tuple_with_rest,
    _string_lengths,
    _all_of,
    _described,
    _odd_keys,
]
