"""``response_format``: text, JSON, JSON of a schema, and as an extension text of a regular expression or grammar."""

from __future__ import annotations

from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.output_format import FREE_TEXT, MAX_SOURCE, OutputFormat
from peernode.edge.openai import fields
from peernode.edge.openai.tools import read_schema

_PARAM = "response_format"


def read_response_format(value: object) -> OutputFormat:
    """Raises BadRequest. An answer of a schema always keeps to it, whether or not ``strict`` is said."""
    if value is None:
        return FREE_TEXT
    if not isinstance(value, dict):
        raise BadRequest("response_format must be an object.", param=_PARAM, cause=fields.kind_of(value))
    match value.get("type"):
        case "text":
            return FREE_TEXT
        case "json_object":
            # llama.cpp's clients put a schema beside it.
            schema = value.get("schema")
            return OutputFormat("json_object") if schema is None else _of_schema(schema, f"{_PARAM}.schema")
        case "json_schema":
            return _of_json_schema(value.get("json_schema"))
        case "grammar":
            return _of_grammar(value)
        case _:
            raise BadRequest(
                "response_format is of no known type.",
                param=f"{_PARAM}.type",
                remedy="Send text, json_object, json_schema or grammar.",
            )


def _of_json_schema(value: object) -> OutputFormat:
    param = f"{_PARAM}.json_schema"
    if not isinstance(value, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=fields.kind_of(value))
    fields.boolean(value.get("strict"), f"{param}.strict")
    return _of_schema(value.get("schema"), f"{param}.schema")


def _of_schema(value: object, param: str) -> OutputFormat:
    return OutputFormat("json_schema", read_schema(value, param, most=MAX_SOURCE))


def _of_grammar(value: dict[str, Any]) -> OutputFormat:
    syntax = value.get("syntax")
    if syntax not in ("regex", "lark"):
        raise BadRequest("The syntax of a grammar must be regex or lark.", param=f"{_PARAM}.syntax")
    return OutputFormat(syntax, fields.text(value.get("grammar"), f"{_PARAM}.grammar", most=MAX_SOURCE))
