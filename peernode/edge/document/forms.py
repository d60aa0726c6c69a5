"""Pieces of JSON schemas (draft 2020-12, as OpenAPI 3.1 has it). Null stands for a parameter that is left out. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
NULL: Schema = {"type": "null"}
BOOLEAN: Schema = {"type": "boolean"}
ANY_OBJECT: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """The component of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(most: int | None = None, *, least: int = 0, pattern: str = "") -> Schema:
    """A string of ``least`` to ``most`` characters; ``pattern`` is for the whole of it."""
    schema: Schema = {"type": "string"}
    if least:
        schema["minLength"] = least
    if most is not None:
        schema["maxLength"] = most
    return schema | ({"pattern": f"^(?:{pattern})$"} if pattern else {})


def integer(within: range | None = None) -> Schema:
    bounds = {} if within is None else {"minimum": within.start, "maximum": within.stop - 1}
    return {"type": "integer", **bounds}


def number(least: float | None = None, most: float | None = None) -> Schema:
    bounds = {"minimum": least, "maximum": most}
    return {"type": "number", **{name: bound for name, bound in bounds.items() if bound is not None}}


def one_of(*words: object) -> Schema:
    """Exactly these values."""
    return {"enum": [*words]}


def const(value: object) -> Schema:
    return {"const": value}


def items(of: Schema, *, most: int | None = None, least: int = 0) -> Schema:
    schema: Schema = {"type": "array", "items": of}
    if least:
        schema["minItems"] = least
    if most is not None:
        schema["maxItems"] = most
    return schema


def either(*forms: Schema) -> Schema:
    return {"anyOf": [*forms]}


def optional(form: Schema, says: str = "", **more: object) -> Schema:
    """``form`` or null, with a word about it."""
    if "enum" in form:
        made: Schema = form if None in form["enum"] else {**form, "enum": [*form["enum"], None]}
    elif isinstance(form.get("type"), str) and "const" not in form:
        made = form if form["type"] == "null" else {**form, "type": [form["type"], "null"]}
    elif "anyOf" in form:
        made = {**form, "anyOf": [*form["anyOf"], NULL]}
    else:
        made = either(form, NULL)
    return {**made, **({"description": says} if says else {}), **more}


def said(form: Schema, says: str, **more: object) -> Schema:
    """``form`` with a word about it."""
    return {**form, "description": says, **more}


def record(properties: Mapping[str, Schema], required: Sequence[str] | None = None, **more: object) -> Schema:
    """An object; all properties are required unless ``required`` says which. Others may be there and are ignored."""
    needed = [*(properties if required is None else required)]
    return {"type": "object", "properties": dict(properties), **({"required": needed} if needed else {}), **more}


def whole(pattern: re.Pattern[str]) -> str:
    """The source of a pattern that is used with ``fullmatch``."""
    return pattern.pattern
