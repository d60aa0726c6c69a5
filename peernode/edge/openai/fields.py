"""Reading single fields of a request body, each checked for type and range before it is believed.

Every function raises BadRequest that names the parameter; none of them repeats what the client wrote in full.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from peernode.chat.errors import BadRequest

INT64 = range(-(1 << 63), 1 << 63)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that a body must be. Strict: UTF-8, no NaN, no Infinity, no nesting without end."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as err:
        raise BadRequest("The request body is nested too deeply.") from err
    except ValueError as err:  # also UnicodeDecodeError, JSONDecodeError and integers of thousands of digits
        cause = f"line {err.lineno}, column {err.colno}" if isinstance(err, json.JSONDecodeError) else ""
        raise BadRequest("The request body is not valid JSON.", cause=cause, remedy="Send UTF-8 JSON.") from err
    if not isinstance(value, dict):
        raise BadRequest("The request body is not a JSON object.", cause=f"found {kind_of(value)}")
    return value


def text(value: object, param: str, *, most: int, least: int = 1) -> str:
    """A string of ``least`` to ``most`` characters that UTF-8 can carry."""
    if not isinstance(value, str):
        raise BadRequest(f"{param} must be a string.", param=param, cause=f"found {kind_of(value)}")
    if len(value) < least:
        raise BadRequest(f"{param} must not be empty.", param=param)
    if len(value) > most:
        raise BadRequest(f"{param} is too long.", param=param, cause=f"{len(value)} characters, at most {most}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as err:
        raise BadRequest(f"{param} holds half a character (a lone surrogate).", param=param) from err
    return value


def number(value: object, param: str, *, least: float, most: float) -> float:
    """A number from ``least`` to ``most``."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise BadRequest(f"{param} must be a number.", param=param, cause=f"found {kind_of(value)}")
    if not least <= value <= most:  # before float(): an integer of a thousand digits does not fit one
        raise BadRequest(f"{param} must be between {least:g} and {most:g}.", param=param)
    return float(value)


def integer(value: object, param: str, *, within: range = INT64) -> int:
    """An integer of 64 bits."""
    value = _whole(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(f"{param} must be an integer.", param=param, cause=f"found {kind_of(value)}")
    if value not in within:
        raise BadRequest(f"{param} must be between {within.start} and {within.stop - 1}.", param=param)
    return value


def positive_integer(value: object, param: str, *, most: int) -> int:
    """An integer from 1 to ``most``."""
    value = _whole(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest(f"{param} must be a positive integer.", param=param)
    if value > most:
        raise BadRequest(f"{param} is too large.", param=param, cause=f"at most {most} is accepted")
    return value


def boolean(value: object, param: str) -> bool:
    """True, false, or null for false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadRequest(f"{param} must be true or false.", param=param, cause=f"found {kind_of(value)}")
    return value


def kind_of(value: object) -> str:
    """JSON's name for the type of ``value``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    names = {str: "a string", int: "an integer", float: "a number", list: "an array", dict: "an object"}
    return names[type(value)]


def _whole(value: object) -> object:
    """JSON knows no integers: 5.0 is one where 5 is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
