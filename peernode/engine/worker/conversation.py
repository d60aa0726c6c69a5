"""From a chat request to the text of its prompt, and the notation in which its answer will come.

Owns what a template does not know: models whose template has no tools are told of them in words, in the notation that
most were trained on, and their calls and results become words of ordinary turns; the names of who speaks stand in front
of their words, where a template does not show them. A trailing turn of the assistant is left open, so that the answer
continues it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.markup import Notation
from peernode.chat.message import Message, ToolCall
from peernode.chat.request import ChatRequest
from peernode.chat.tools import Tool
from peernode.engine.worker.template import CallHabits, ChatTemplate, TemplateFailed, TurnDict, opens_thought

# Words of the conversation, on their way into a template: control tokens in them are taken apart.
Guard = Callable[[str], str]
_ROLES = {"developer": "system"}
_TOOLS_TOLD = """You may call functions to answer the user. Their signatures stand within <tools></tools>:
<tools>
{tools}
</tools>
For each call, write a JSON object with the function's name and arguments within <tool_call></tool_call>:
<tool_call>
{{"name": "the name", "arguments": {{"an argument": "its value"}}}}
</tool_call>"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """``text`` is what the model continues; ``notation`` that of its answer."""

    text: str
    notation: Notation


class Conversation:
    """Renders requests with one model's ``template``."""

    def __init__(self, template: ChatTemplate, guard: Guard) -> None:
        self._template = template
        self._guard = guard

    def prompt(self, request: ChatRequest, content: Callable[[Message], str] | None = None) -> Prompt:
        """``content`` says what is rendered of a message's words, if it is not what ``guard`` makes of them.

        Raises BadRequest.
        """
        habits = self._template.habits
        said = content or (lambda message: self._guard(message.content))
        turns = _Turns(habits, self._guard, said).of(request.messages)
        tools = [_tool(tool, self._guard) for tool in request.tools] if request.calls_tools else None
        if tools and not habits.tools:
            turns = _told(turns, tools)
            tools = None
        thinks = {"on": True, "off": False}.get(request.reasoning)
        try:
            text = self._render(turns, tools, thinks, last=request.messages[-1])
        except TemplateFailed as err:
            raise BadRequest(err.sentence, param="messages", cause=err.cause) from err
        return Prompt(text, replace(self._template.notation, opens=opens_thought(text)))

    def _render(
        self, turns: list[TurnDict], tools: list[dict[str, Any]] | None, thinks: bool | None, *, last: Message
    ) -> str:
        if last.role != "assistant" or last.tool_calls:
            return self._template.render(turns, tools=tools, thinks=thinks)
        # Templates trim and move what is said, so a mark that nobody could have written shows where it ends.
        mark = f"\ue004{secrets.token_hex(8)}\ue005"
        turns = [*turns[:-1], {**turns[-1], "content": turns[-1]["content"] + mark}]
        rendered = self._template.render(turns, tools=tools, thinks=thinks, answers=False)
        before, found, _ = rendered.partition(mark)
        if not found or mark in rendered[len(before) + len(mark) :]:
            raise TemplateFailed("The model's chat template cannot continue a turn of the assistant.")
        return before


class _Turns:
    """Messages as a template takes them."""

    def __init__(self, habits: CallHabits, guard: Guard, said: Callable[[Message], str]) -> None:
        self._habits = habits
        self._guard = guard
        self._said = said
        self._names: dict[str, str] = {}

    def of(self, messages: Sequence[Message]) -> list[TurnDict]:
        turns: list[TurnDict] = []
        for message in messages:
            if self._habits.arguments:
                turns.append(self._turn(message))
            else:
                self._add_in_words(turns, message)
        return turns

    def _turn(self, message: Message) -> TurnDict:
        turn: TurnDict = {"role": _ROLES.get(message.role, message.role), "content": self._said(message)}
        if message.name:
            turn["name"] = self._guard(message.name)
            if message.role != "tool" and not self._habits.names:
                turn["content"] = f"{turn['name']}: {turn['content']}"
        if message.tool_calls:
            turn["tool_calls"] = [self._call(call) for call in message.tool_calls]
        if message.role == "tool":
            turn["tool_call_id"] = self._id(message.tool_call_id)
            turn.setdefault("name", self._names.get(message.tool_call_id, ""))
        return turn

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._names[call.id] = call.name
        arguments: object = self._guard(call.arguments)
        if self._habits.arguments == "object":
            arguments = _guarded(_object(call.arguments), self._guard)
        return {
            "id": self._id(call.id),
            "type": "function",
            "function": {"name": self._guard(call.name), "arguments": arguments},
        }

    def _id(self, given: str) -> str:
        if self._habits.short_ids and not (len(given) == 9 and given.isalnum() and given.isascii()):
            return hashlib.sha256(given.encode()).hexdigest()[:9]
        return self._guard(given)

    def _add_in_words(self, turns: list[TurnDict], message: Message) -> None:
        """For a template that knows no calls: they are written as models write them, results are what users say."""
        turn = self._turn(replace(message, tool_calls=()))
        calls = [self._call_in_words(call) for call in message.tool_calls]
        turn["content"] = "\n".join([*([turn["content"]] if turn["content"] or not calls else []), *calls])
        if message.role != "tool":
            turns.append(turn)
            return
        told = f"<tool_response>\n{turn['content']}\n</tool_response>"
        if turns and turns[-1].get("told"):
            turns[-1]["content"] += f"\n{told}"
        else:
            turns.append({"role": "user", "content": told, "told": True})

    def _call_in_words(self, call: ToolCall) -> str:
        words = {"name": self._guard(call.name), "arguments": _guarded(_object(call.arguments), self._guard)}
        return f"<tool_call>\n{json.dumps(words, ensure_ascii=False)}\n</tool_call>"


def _told(turns: list[TurnDict], tools: list[dict[str, Any]]) -> list[TurnDict]:
    """``turns`` with the tools described in the system's words."""
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    words = _TOOLS_TOLD.format(tools=listed)
    if turns and turns[0]["role"] == "system":
        first = turns[0]
        return [{**first, "content": f"{first['content']}\n\n{words}"}, *turns[1:]]
    return [{"role": "system", "content": words}, *turns]


def _tool(tool: Tool, guard: Guard) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": guard(tool.description),
        "parameters": _guarded(json.loads(tool.parameters), guard),
    }
    return {"type": "function", "function": function}


def _object(arguments: str) -> object:
    """What stands in the text of arguments; models also write what is no JSON."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _guarded(value: object, guard: Guard) -> object:
    match value:
        case str():
            return guard(value)
        case dict():
            return {guard(key): _guarded(inner, guard) for key, inner in value.items()}
        case list():
            return [_guarded(inner, guard) for inner in value]
        case _:
            return value
