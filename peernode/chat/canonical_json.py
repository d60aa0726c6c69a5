"""JSON text in one form: no spaces, plain characters, keys in the order in which their writer put them.

The order of keys is kept because models follow it: it is the order in which they fill a schema's properties.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from peernode.wire.errors import BadSchema

MAX_JSON_DEPTH = 64


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The text of ``value``. Raises BadSchema for what JSON, UTF-8 or sense cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except RecursionError as err:
        raise BadSchema("A JSON value is nested too deeply.") from err
    except (TypeError, ValueError) as err:  # also UnicodeEncodeError: half a character
        raise BadSchema("A value cannot be written as JSON.", cause=type(err).__name__) from err
    if _depth(value) > MAX_JSON_DEPTH:
        raise BadSchema("A JSON value is nested too deeply.", cause=f"more than {MAX_JSON_DEPTH} levels")
    return text


def read_canonical_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value whose canonical text is exactly ``text``. Raises BadSchema."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError as err:
        raise BadSchema("A JSON value is nested too deeply.") from err
    except ValueError as err:
        raise BadSchema("A text is not JSON.") from err
    if canonical_json(value) != text:
        raise BadSchema("A JSON text is not in its canonical form.")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            break
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth
