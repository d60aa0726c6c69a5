"""Renders a model's chat template: a conversation, and perhaps tools, into one prompt text.

A template is rendered on samples when the model is loaded: so a broken or hostile one is refused there and not in the
middle of a job, and so it is found out what it makes of system turns, tools and calls. It runs in a sandbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from peernode.chat.markup import Notation
from peernode.engine.worker.template_sandbox import TIME_LIMIT_S, TemplateFailed, environment, limits
from peernode.wire import canonical

__all__ = ["CHATML", "ChatTemplate", "TemplateFailed", "TurnDict"]

TurnDict: TypeAlias = dict[str, Any]

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MAX_TEMPLATE = 1 << 20
MAX_RENDERED = 16 << 20
_SAMPLE: list[TurnDict] = [{"role": "user", "content": "Hello"}]
_SYSTEM: TurnDict = {"role": "system", "content": "Be brief."}
_PARAMETERS = {"type": "object", "properties": {"probe_key": {"type": "string"}}}
_TOOL = {"type": "function", "function": {"name": "probe_tool", "description": "Probe.", "parameters": _PARAMETERS}}
# Some templates insist on ids of nine characters.
_ID = "call00001"
_OPEN_THOUGHT = re.compile(r"<(think|thought)>\s*\Z")


@dataclass(frozen=True, slots=True)
class CallHabits:
    """What a template makes of tools. ``arguments`` of calls are an ``object`` or ``text``; empty, it knows no calls.

    ``short_ids`` says that ids have nine letters and digits, ``names`` that it shows who it is that speaks.
    """

    tools: bool = False
    arguments: str = ""
    short_ids: bool = False
    names: bool = False


class ChatTemplate:
    """``render`` makes one prompt text of a list of messages. ``digest`` names the template in receipts.

    ``notation`` is what models write that were trained on such a template.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "", time_limit_s: float = TIME_LIMIT_S) -> None:
        """Raises TemplateFailed when the template is too large, is no template, or fails on a sample."""
        if len(source) > MAX_TEMPLATE:
            raise TemplateFailed("The chat template is too large.", cause=f"{len(source)} characters")
        self.digest = canonical.digest(source.encode())
        self._time_limit_s = time_limit_s
        self._names = {"bos_token": bos, "eos_token": eos, "documents": None}
        with limits(time_limit_s):
            self._template = environment().from_string(source)
        self._folds_system = False
        self._takes_parts = False
        if not self._shows(_SAMPLE[0]["content"], _SAMPLE):
            # Some models that see were given templates which drop a content that is text, and take a list of parts.
            self._takes_parts = True
            self._takes_parts = self._shows(_SAMPLE[0]["content"], _SAMPLE)
        self.render(_SAMPLE)
        self._folds_system = not self._shows(_SYSTEM["content"], [_SYSTEM, *_SAMPLE])
        tools = "tools" in source and self._shows("probe_tool", _SAMPLE, tools=[_TOOL])
        self.habits = CallHabits(
            tools,
            self._arguments() if tools or "tool_calls" in source else "",
            "tool_call" in source and bool(re.search(r"length\s*(!=|<)\s*9|must be alphanumeric", source)),
            "name" in source and self._shows("probe_name", [{**_SAMPLE[0], "name": "probe_name"}]),
        )
        self.notation = Notation(_tool_notation(source) if tools else "hermes", "<think>" in source)

    def render(
        self,
        messages: list[TurnDict],
        *,
        tools: list[dict[str, Any]] | None = None,
        thinks: bool | None = None,
        answers: bool = True,
    ) -> str:
        """``answers`` opens the turn of the assistant behind the messages; ``thinks`` None leaves thinking to habit.

        Raises TemplateFailed.
        """
        if self._folds_system:
            messages = _fold_system(messages)
        if self._takes_parts:
            messages = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in messages]
        switches = {} if thinks is None else {"enable_thinking": thinks, "thinking": thinks}
        size = 0
        pieces = []
        with limits(self._time_limit_s):
            for piece in self._template.generate(
                messages=messages, tools=tools, add_generation_prompt=answers, **self._names, **switches
            ):
                size += len(piece)
                if size > MAX_RENDERED:
                    raise TemplateFailed("The chat template renders too much text.", cause=f"over {MAX_RENDERED}")
                pieces.append(piece)
        return "".join(pieces)

    def _shows(self, words: str, messages: list[TurnDict], tools: list[dict[str, Any]] | None = None) -> bool:
        try:
            return words in self.render(messages, tools=tools)
        except TemplateFailed:
            return False

    def _arguments(self) -> str:
        """How the template wants the arguments of a call, found out by what it shows of one and of its result."""
        forms: dict[str, object] = {"object": {"probe_key": "probe_value"}, "text": '{"probe_key": "probe_value"}'}
        for form, arguments in forms.items():
            call = {"id": _ID, "type": "function", "function": {"name": "probe_tool", "arguments": arguments}}
            turns = [
                *_SAMPLE,
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "probe_result", "tool_call_id": _ID, "name": "probe_tool"},
            ]
            if self._shows("probe_value", turns, [_TOOL]) and self._shows("probe_result", turns, [_TOOL]):
                return form
        return ""


def opens_thought(rendered: str) -> bool:
    """Whether the answer to this prompt begins inside a thought."""
    return _OPEN_THOUGHT.search(rendered[-64:]) is not None


def _tool_notation(source: str) -> str:
    """By the markers in a template that knows tools; what marks nothing is the bare JSON of Llama 3."""
    for marker, notation in (
        ("<tool_call>", "hermes"),
        ("[ARGS]", "mistral-args"),
        ("[TOOL_CALLS]", "mistral"),
        ("<function=", "functionary"),
    ):
        if marker in source:
            return notation
    return "llama3"


def _fold_system(messages: list[TurnDict]) -> list[TurnDict]:
    """For templates that know no system role: its words open the first turn of the user."""
    words = [turn["content"] for turn in messages if turn["role"] == "system"]
    others = [turn for turn in messages if turn["role"] != "system"]
    if not words:
        return messages
    for at, turn in enumerate(others):
        if turn["role"] == "user":
            others[at] = {**turn, "content": "\n\n".join([*words, turn["content"]])}
            return others
    return [{"role": "user", "content": "\n\n".join(words)}, *others]
