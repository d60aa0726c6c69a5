"""The form to which an answer is held: what ``response_format`` asks for, or calls of tools in the model's notation.

Pure; ``grammar`` makes constraints of the forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peernode.chat.markup import Notation
from peernode.chat.output_format import OutputFormat
from peernode.chat.request import ChatRequest
from peernode.chat.tools import Tool, named_tool
from peernode.engine.worker.grammar.formats import after_thought, as_rule
from peernode.engine.worker.grammar.lark import quoted

# How a text stands in a grammar of the model's vocabulary: as its control token, or as it is.
Marker = Callable[[str], str]


def has_form(request: ChatRequest) -> bool:
    """Whether the answer is held to a form at all."""
    return request.format.kind != "text" or (request.calls_tools and request.tool_choice != "auto")


def answer_form(request: ChatRequest, notation: Notation, marker: Marker) -> OutputFormat:
    """The form of an answer that has one. A model that thinks may do so before it begins. Raises BadRequest."""
    form = _form(request, notation, marker)
    if notation.opens or (notation.thinks and request.reasoning != "off"):
        return after_thought(form, marker=marker, opened=notation.opens)
    return form


def _form(request: ChatRequest, notation: Notation, marker: Marker) -> OutputFormat:
    if not request.calls_tools:
        return request.format
    named = named_tool(request.tool_choice)
    tools = [tool for tool in request.tools if named in ("", tool.name)]
    calls = call_form(tools, notation, marker, parallel=request.parallel_tool_calls and not named)
    if request.tool_choice != "auto":
        return calls
    # The model chooses between an answer of the form and calls.
    return OutputFormat("lark", f"start: form | calls\nform: {as_rule(request.format)}\ncalls: {as_rule(calls)}\n")


def call_form(tools: Sequence[Tool], notation: Notation, marker: Marker, *, parallel: bool) -> OutputFormat:
    """One call of one of ``tools``, or several if ``parallel``, as a Lark grammar of the raw text.

    Arguments keep to the schemas. Notations that hold only one call are held to one.
    """
    match notation.tools:
        case "functionary":
            lines = _direct(tools, marker, opens="<function=", names=">", closes="</function>")
            several = 'start: call ("\\n" call)*'
        case "mistral-args":
            lines = _direct(tools, marker, opens="[TOOL_CALLS]", names="[ARGS]", closes="")
            several = "start: call+"
        case "mistral":
            lines = _objects(tools, "arguments")
            more = ' (", " call)*' if parallel else ""
            start = f'start: {marker("[TOOL_CALLS]")} "[" call{more} "]"'
            return OutputFormat("lark", "\n".join([start, *lines, ""]))
        case "llama3":
            lines = _objects(tools, "parameters")
            several = 'start: call ("; " call)*'
        case _:
            lines = [
                f'call: {marker("<tool_call>")} "\\n" object "\\n" {marker("</tool_call>")}',
                *_objects(tools, "arguments", rule="object"),
            ]
            several = 'start: call ("\\n" call)*'
    return OutputFormat("lark", "\n".join([several if parallel else "start: call", *lines, ""]))


def _objects(tools: Sequence[Tool], key: str, *, rule: str = "call") -> list[str]:
    """``{"name": "…", "arguments": {…}}`` of each tool."""
    lines = [f"{rule}: {' | '.join(f'{rule}_{at}' for at in range(len(tools)))}"]
    for at, tool in enumerate(tools):
        before = quoted(f'{{"name": "{tool.name}", "{key}": ')
        lines += [f'{rule}_{at}: {before} arguments_{at} "}}"', f"arguments_{at}: %json {tool.parameters}"]
    return lines


def _direct(tools: Sequence[Tool], marker: Marker, *, opens: str, names: str, closes: str) -> list[str]:
    """Name and arguments between markers."""
    lines = [f"call: {' | '.join(f'call_{at}' for at in range(len(tools)))}"]
    for at, tool in enumerate(tools):
        parts = [marker(opens), quoted(tool.name), marker(names), f"arguments_{at}", marker(closes) if closes else ""]
        lines += [f"call_{at}: {' '.join(filter(None, parts))}", f"arguments_{at}: %json {tool.parameters}"]
    return lines
