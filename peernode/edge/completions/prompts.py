"""``prompt`` and ``suffix``: what a request says as a user's turn, as token ids, or as the two sides of a gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.message import MAX_CONTENT, PREFIX, SUFFIX, TOKENS, Message
from peernode.edge.openai import fields

MAX_PROMPT_TOKENS = 1 << 17
TOKEN_IDS = range(1 << 31)


@dataclass(frozen=True, slots=True)
class Prompt:
    """``text`` is what an echo repeats; None for token ids, of which only the model knows the text."""

    messages: tuple[Message, ...]
    text: str | None


def read_prompts(body: Mapping[str, Any], *, most: int) -> list[Prompt]:
    """One for each prompt; at most ``most``. Raises BadRequest."""
    prompt, suffix = body.get("prompt"), body.get("suffix")
    if prompt is None:
        raise BadRequest("prompt is missing.", param="prompt")
    if body.get("messages") is not None:
        raise BadRequest("There are both messages and a prompt.", param="prompt", remedy="Send one of them.")
    after = "" if suffix is None else fields.text(suffix, "suffix", most=MAX_CONTENT, least=0)
    if isinstance(prompt, str) or _is_tokens(prompt):
        return [_read(prompt, "prompt", after)]
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest("prompt must be a string, token ids, or an array of either.", param="prompt")
    if len(prompt) > most:
        raise BadRequest(f"prompt has more than {most} entries.", param="prompt")
    return [_read(each, f"prompt[{at}]", after) for at, each in enumerate(prompt)]


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, (int, float)) for entry in value)


def _read(value: object, param: str, suffix: str) -> Prompt:
    if isinstance(value, list):
        if suffix:
            raise BadRequest("A suffix goes only with a prompt of text.", param="suffix")
        return Prompt((Message(TOKENS, _token_ids(value, param)),), None)
    text = fields.text(value, param, most=MAX_CONTENT)
    if suffix:
        return Prompt((Message(PREFIX, text), Message(SUFFIX, suffix)), text)
    return Prompt((Message("user", text),), text)


def _token_ids(value: list[Any], param: str) -> str:
    if not value or len(value) > MAX_PROMPT_TOKENS:
        raise BadRequest(f"{param} must have between 1 and {MAX_PROMPT_TOKENS} tokens.", param=param)
    return " ".join(str(fields.integer(token, param, within=TOKEN_IDS)) for token in value)
