"""From the form that a request asks for to a grammar in the library's words, and forms made of other forms. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

import llguidance

from peernode.chat.output_format import OutputFormat
from peernode.engine.worker.grammar.json_value import Json
from peernode.engine.worker.grammar.lark import JSON_OPTIONS, checked_lark, json_rule, quoted
from peernode.engine.worker.grammar.limits import check_bytes, check_expression, read_schema

_ANY_OBJECT = '{"type":"object"}'
# Models put a blank line or two behind a thought.
_GAP = r"/[ \t\r\n]{0,8}/"


def library_grammar(form: OutputFormat) -> str:
    """What the library builds a matcher from. Raises BadRequest for what is too large to be tried."""
    match form.kind:
        case "json_object":
            return _of_schema({"type": "object"})
        case "json_schema":
            return _of_schema(read_schema(form.source))
        case "regex":
            check_bytes(form.source)
            check_expression(form.source)
            return llguidance.LLMatcher.grammar_from_regex(form.source)
        case "lark":
            return llguidance.LLMatcher.grammar_from_lark(checked_lark(form.source))
        case kind:
            raise ValueError(f"{kind} is no form that needs a grammar")


def as_rule(form: OutputFormat) -> str:
    """``form`` as it stands on the right side of a Lark rule, alone on its line. Raises BadRequest."""
    match form.kind:
        case "json_object":
            return json_rule(_ANY_OBJECT)
        case "json_schema":
            return json_rule(form.source)
        case "regex":
            check_bytes(form.source)
            check_expression(form.source)
            return f"/{llguidance.regex_to_lark(form.source, use_ascii='')}/"
        case "lark":
            return f"%lark {{\n{checked_lark(form.source)}\n}}"
        case kind:
            raise ValueError(f"{kind} is no form that needs a grammar")


def after_thought(
    form: OutputFormat,
    *,
    marker: Callable[[str], str],
    opened: bool,
    opening: str = "<think>",
    closing: str = "</think>",
) -> OutputFormat:
    """Free text up to ``closing``, a gap, and then ``form``: what a reasoning model says when it must say JSON.

    ``opened`` says that the prompt ends inside the thought; otherwise the answer may begin with ``opening`` or go
    without a thought. ``marker`` gives a text as a grammar of this vocabulary has it (``Grammars.marker``). Raises
    BadRequest.
    """
    end = marker(closing)
    if end.startswith("<"):  # a token of its own, which no text can be mistaken for
        thought = f"thought: words {end}\nwords: /(.|\\n)*/"
    else:
        thought = f"thought[suffix={end}]: /(.|\\n)*/"
    whole = f"thought {_GAP} form" if opened else f"({marker(opening)} thought {_GAP})? form"
    return OutputFormat("lark", f"start: {whole}\n{thought}\nform: {as_rule(form)}\n")


def marker_of(text: str, special: dict[int, str]) -> str:
    """``text`` as it stands in a grammar: the special token that is written so, if there is one, or a literal."""
    for token, name in special.items():
        if name == text:
            return f"<[{token}]>"
    return quoted(text)


def _of_schema(schema: dict[str, Json]) -> str:
    return llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=JSON_OPTIONS)
