"""Errors as the document has them, made from the one table that gives errors their status (``edge.answers``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus

from peernode.edge.answers import TABLE, Verdict
from peernode.edge.document.forms import ANY_OBJECT, Schema, const, integer, one_of, optional, record, ref, said, text
from peernode.errors import PeernodeError

REQUEST_ID: Schema = {
    "description": "Names this request in the logs.",
    "required": True,
    "schema": text(pattern="req_[0-9A-Z]{26}"),
}
_RETRY_AFTER: Schema = {
    "description": "Whole seconds after which asking again makes sense.",
    "required": True,
    "schema": integer(range(1, 1 << 31)),
}
_CHALLENGE: Schema = {"description": "Bearer.", "required": True, "schema": text()}
_OF_JOBS = frozenset({402, 502, 504})
_OF_NAMES = frozenset({404})
# Of Idempotency-Key.
_OF_POSTS = frozenset({409, 422})
# The method is there, or it would not be described; 500 is a defect, and every route may have one.
_NEVER = frozenset({405})
STATUSES = frozenset(verdict.status for verdict in TABLE.values()) - _NEVER
ANYWHERE = STATUSES - _OF_JOBS - _OF_NAMES - _OF_POSTS
NAMED = ANYWHERE | _OF_NAMES
JOBS = STATUSES
# Where nobody asks for a key.
OPEN = ANYWHERE - {401, 429}
TOOLS = NAMED | _OF_POSTS | {502, 504}
STREAMS = JOBS - _OF_POSTS

ERROR = record(
    {
        "message": said(text(), "A sentence for people."),
        "type": one_of(*sorted({verdict.kind for verdict in TABLE.values()})),
        "param": optional(text(), "The parameter at fault, if one is."),
        "code": said(integer(range(400, 600)), "The status."),
        "metadata": record(
            {
                "reason": said(text(), "The stable code of this kind of error."),
                "cause": text(),
                "remedy": text(),
                "filter": said(text(), "What took out the last provider that could have been asked."),
                "attempts": said({"type": "array", "items": ANY_OBJECT}, "What came of each provider that was asked."),
            },
            ["reason"],
        ),
    }
)
COMPONENTS = {"Error": ERROR, "Refusal": record({"error": ref("Error"), "request_id": text()})}


def refusals(statuses: Iterable[int]) -> dict[str, Schema]:
    """The ``responses`` of an operation that may answer with these statuses."""
    return {str(status): _refusal(status) for status in sorted(statuses)}


def reasons_of(status: int) -> dict[str, list[str]]:
    """The codes that stand under ``metadata.reason`` with this status, by ``type``."""
    found: dict[str, set[str]] = {}
    for error in _kinds(PeernodeError):
        verdict = _verdict(error)
        if verdict is not None and verdict.status == status:
            found.setdefault(verdict.kind, set()).add(error.code)
    return {kind: sorted(codes) for kind, codes in sorted(found.items())}


def _refusal(status: int) -> Schema:
    kinds = reasons_of(status)
    codes = "; ".join(f"{kind}: {', '.join(codes)}" for kind, codes in kinds.items())
    headers = {"X-Request-Id": REQUEST_ID}
    if status in (429, 503):
        headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGE
    kind, some = next(iter(kinds.items()))
    example = {
        "error": {
            "message": "What is wrong, in a sentence.",
            "type": kind,
            "param": None,
            "code": status,
            "metadata": {"reason": some[0]},
        },
        "request_id": "req_01K3ZJ8Q5V6W7X8Y9ZABCDEFGH",
    }
    form = {"allOf": [ref("Refusal"), {"properties": {"error": {"properties": {"code": const(status)}}}}]}
    return {
        "description": f"{HTTPStatus(status).phrase}. {codes}"[:500],
        "headers": headers,
        "content": {"application/json": {"schema": form, "example": example}},
    }


def _kinds(base: type[PeernodeError]) -> Iterator[type[PeernodeError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _verdict(error: type[PeernodeError]) -> Verdict | None:
    """None for what no client ever hears of: it has the last row only."""
    found = next(TABLE[kind] for kind in error.__mro__ if kind in TABLE)
    return None if found is TABLE[PeernodeError] and error.code != "internal" else found
