"""Lark grammars as the library reads them: what a client's may hold, and how ours are put together.

A grammar may embed JSON schemas (``%json {…}``), each of which goes through the checks of a schema that stands alone
and gets our compiler options, so that nothing is gained by wrapping it up. Pure.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from peernode.engine.worker.grammar.limits import check_bytes, check_expression, check_nesting, read_schema
from peernode.engine.worker.grammar.refusal import refusal, too_large

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# Compact JSON: small models print blank lines for ever where they may. One-of alternatives that could both hold are
# refused, because their answers might not validate; keywords that the library does not know are refused likewise.
JSON_OPTIONS: JsonCompileOptions = {
    "whitespace_flexible": False,
    "whitespace_pattern": None,
    "item_separator": ",",
    "key_separator": ":",
    "lenient": False,
    "coerce_one_of": False,
}
MAX_RULES = 500

_EMBEDDED = re.compile(r"%json\b")
_RULE = re.compile(r"^[ \t]*[!?]*[A-Za-z_][A-Za-z0-9_.]*[ \t]*(?:\[[^\n]*)?:", re.MULTILINE)
_EXPRESSION = re.compile(r"/(?:[^/\\\n]|\\.)+/?")  # an end is not insisted on: see limits
# Its options allow bytes that are no text.
_REFUSED = re.compile(r"%llguidance\b")


def checked_lark(source: str) -> str:
    """A client's grammar with its embedded schemas checked and bound to our options. Raises BadRequest."""
    check_bytes(source)
    check_nesting(source)
    directive = _REFUSED.search(source)
    if directive is not None:
        raise refusal("The grammar holds a directive that is not served.", cause=directive[0])
    rules = len(_RULE.findall(source))
    if rules > MAX_RULES:
        raise too_large("its rules", f"{rules} rules", str(MAX_RULES))
    for expression in _EXPRESSION.findall(source):
        check_expression(expression)
    return _with_checked_schemas(source)


def json_rule(schema: str) -> str:
    """``schema`` as it stands in a grammar, after the checks. Raises BadRequest."""
    made = {**read_schema(schema), "x-guidance": JSON_OPTIONS}
    return f"%json {json.dumps(made)}"


def quoted(text: str) -> str:
    """``text`` as a literal of a grammar."""
    return json.dumps(text, ensure_ascii=False)


def _with_checked_schemas(source: str) -> str:
    # Wherever the directive stands it must be one: telling whether that is inside a literal would take a whole parser.
    parts, done = [], 0
    reader = json.JSONDecoder()
    while (found := _EMBEDDED.search(source, done)) is not None:
        start = found.end() + len(source[found.end() :]) - len(source[found.end() :].lstrip())
        try:
            _, end = reader.raw_decode(source, start)
        except (ValueError, RecursionError) as err:
            raise refusal("The grammar holds %json without a JSON schema behind it.", cause=str(err)) from err
        parts += [source[done : found.start()], json_rule(source[start:end])]
        done = end
    return "".join([*parts, source[done:]])
