"""What a schema, expression or grammar may be before the grammar library sees it. Pure, and linear in the text.

The library bounds most of its own work, but neither the depth of its recursion nor ``multipleOf`` (whose automaton has
as many states as the number), so the usual ways to be huge are refused here, each by its name. What these checks do not
foresee ends in ``rehearsal``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from peernode.engine.worker.grammar.bounds import widen_exclusive
from peernode.engine.worker.grammar.json_value import Json
from peernode.engine.worker.grammar.refusal import refusal, too_large

MAX_SOURCE_BYTES = 1 << 17
MAX_DEPTH = 64
MAX_PROPERTIES = 1000
MAX_ENUM_VALUES = 5000
MAX_ALTERNATIVES = 1000
MAX_REFERENCES = 500
MAX_LITERAL_CHARACTERS = 100_000
MAX_PATTERN_CHARACTERS = 2000
MAX_ALL_PATTERN_CHARACTERS = 20_000
MAX_MULTIPLE = 10_000

# A string that does not end is one all the same, or each of its quotes would be tried to the end of the text.
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_DATA = ("const", "enum", "default", "examples")
_OUR_OPTIONS = "x-guidance"


def read_schema(source: str) -> dict[str, Json]:
    """The schema as an object without compiler options of its own. Raises BadRequest."""
    check_bytes(source)
    check_nesting(source)
    try:
        schema: Json = json.loads(source)
    except (ValueError, RecursionError) as err:
        raise refusal("The JSON schema is not JSON.", cause=str(err)) from err
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise refusal("The JSON schema is not an object.", cause="nothing can be said under it")
    schema.pop(_OUR_OPTIONS, None)
    check_schema(schema)
    for node in schemas_in(schema):
        widen_exclusive(node)
    return schema


def check_bytes(source: str) -> None:
    """Raises BadRequest."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError as err:
        raise refusal("The response format is not Unicode text.", cause="it holds half a surrogate pair") from err
    if size > MAX_SOURCE_BYTES:
        raise too_large("its text", f"{size} bytes", str(MAX_SOURCE_BYTES))


def check_nesting(source: str) -> None:
    """Looks at the text, so that no parser has to go deep first. Raises BadRequest."""
    depth = deepest = 0
    for match in _NESTING.finditer(source):
        first = match[0][0]
        depth += (first in "[{") - (first in "]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise too_large("its nesting", f"{deepest} levels", str(MAX_DEPTH))


def check_expression(source: str, *, what: str = "its regular expression") -> None:
    """Raises BadRequest."""
    if len(source) > MAX_PATTERN_CHARACTERS:
        raise too_large(what, f"{len(source)} characters", str(MAX_PATTERN_CHARACTERS))


@dataclass(slots=True)
class _Census:
    """What a whole schema holds."""

    properties: int = 0
    enum_values: int = 0
    alternatives: int = 0
    references: int = 0
    literal_characters: int = 0
    pattern_characters: int = 0
    multiples: set[int] = field(default_factory=set)


def check_schema(schema: dict[str, Json]) -> None:
    """Raises BadRequest that names what is too large, or a reference that leads out of the schema."""
    census = _Census()
    for node in schemas_in(schema):
        _count(node, census)
    for what, found, most in (
        ("properties", census.properties, MAX_PROPERTIES),
        ("enum values", census.enum_values, MAX_ENUM_VALUES),
        ("alternatives", census.alternatives, MAX_ALTERNATIVES),
        ("references", census.references, MAX_REFERENCES),
        ("characters in const and enum", census.literal_characters, MAX_LITERAL_CHARACTERS),
        ("characters in all patterns", census.pattern_characters, MAX_ALL_PATTERN_CHARACTERS),
    ):
        if found > most:
            raise too_large(what, f"{found} {what}", str(most))
    # Conditions on one number meet through allOf, anyOf and references, so all are taken together.
    shared = math.lcm(*census.multiples)
    if shared > MAX_MULTIPLE:
        raise too_large("multipleOf", f"a least common multiple of {shared if shared < 1e12 else 'over 10¹²'}", "10000")


def schemas_in(root: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Every object that may be read as a schema, ``root`` first; data under const and the like is none."""
    waiting: list[Json] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            yield node
            for key, value in node.items():
                if key in _DATA:
                    continue
                if key in _NAMED_SCHEMAS and isinstance(value, dict):
                    waiting.extend(value.values())
                else:
                    waiting.append(value)


def _count(node: dict[str, Json], census: _Census) -> None:
    for key, value in node.items():
        match key, value:
            case (("properties" | "patternProperties"), dict()):
                census.properties += len(value)
                if key == "patternProperties":
                    census.pattern_characters += sum(map(_pattern_length, value))
            case "enum", list():
                census.enum_values += len(value)
                census.literal_characters += len(json.dumps(value))
            case "const", _:
                census.literal_characters += len(json.dumps(value))
            case "pattern", str():
                census.pattern_characters += _pattern_length(value)
            case "$ref", str():
                census.references += 1
                _check_reference(value)
            case "multipleOf", (int() | float()):
                census.multiples.add(_whole(value))
            case _, list() if key in _ALTERNATIVES:
                census.alternatives += len(value)


def _pattern_length(pattern: str) -> int:
    check_expression(pattern, what="a pattern")
    return len(pattern)


def _check_reference(reference: str) -> None:
    if not reference.startswith("#"):
        raise refusal(
            "The JSON schema refers to another document, and none is fetched.",
            cause=reference[:200],
            remedy="Put the definition under $defs and refer to it as #/$defs/NAME.",
        )


def _whole(multiple: float) -> int:
    """The number without its decimal point, as the library counts: 0.25 is 25."""
    try:
        digits = Decimal(str(multiple)).normalize().as_tuple()
    except InvalidOperation:
        return 1
    if not isinstance(digits.exponent, int) or abs(digits.exponent) > 30:
        raise too_large("multipleOf", str(multiple)[:40], "10000")
    return max(1, int("".join(map(str, digits.digits))) * 10 ** max(0, digits.exponent))
