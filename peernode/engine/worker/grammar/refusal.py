"""How this room says no: one kind of error, in one place, with the request's field that is at fault."""

from __future__ import annotations

from peernode.chat.errors import BadRequest

PARAM = "response_format"


def refusal(sentence: str, *, cause: str = "", remedy: str = "") -> BadRequest:
    return BadRequest(sentence, param=PARAM, cause=cause, remedy=remedy)


def too_large(what: str, found: str, most: str) -> BadRequest:
    return refusal(f"The response format is too large: {what}.", cause=f"{found}, at most {most} are served")
