"""The one place where an error becomes an HTTP answer: a table by class, and the body that all dialects share.

The body carries what OpenAI's, OpenRouter's and our own clients look for: ``message``, ``type``, ``param``, ``code``
(the status as an integer) and ``metadata.reason``, our stable code. Where providers were asked in vain,
``metadata.attempts`` says what came of each; where none could be asked, ``metadata.filter`` what took out the last.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from peernode.chat import errors as chat
from peernode.edge import errors as edge
from peernode.edge.limits import Limited
from peernode.edge.route_header import NAME, route_header
from peernode.edge.sessions import errors as sessions
from peernode.errors import PeernodeError
from peernode.market import client_errors as client
from peernode.mesh.errors import DialFailed

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one class of errors is answered."""

    status: int
    kind: str
    retry: bool = False


# The nearest class along the error's own line of descent decides.
TABLE: Mapping[type[PeernodeError], Verdict] = {
    chat.BadRequest: Verdict(400, "invalid_request_error"),
    chat.UnknownModel: Verdict(404, "not_found_error"),
    chat.NoProvider: Verdict(503, "overloaded_error", retry=True),
    chat.ProviderBusy: Verdict(503, "overloaded_error", retry=True),
    chat.ProviderFailed: Verdict(502, "provider_error"),
    chat.ReceiptRefused: Verdict(502, "provider_error"),
    chat.FirstTokenTimeout: Verdict(504, "timeout_error"),
    chat.DeadlineExceeded: Verdict(504, "timeout_error"),
    client.KeyRefused: Verdict(401, "authentication_error"),
    client.NotAllowed: Verdict(403, "permission_error"),
    client.InsufficientCredit: Verdict(402, "insufficient_quota"),
    client.CapReached: Verdict(429, "rate_limit_error"),
    client.AccountsUnavailable: Verdict(503, "overloaded_error", retry=True),
    Limited: Verdict(429, "rate_limit_error"),
    edge.BodyTooLarge: Verdict(413, "invalid_request_error"),
    edge.NoRoom: Verdict(503, "overloaded_error", retry=True),
    edge.AmbiguousLength: Verdict(400, "invalid_request_error"),
    edge.TinyPieces: Verdict(400, "invalid_request_error"),
    edge.TooManyConnections: Verdict(503, "overloaded_error", retry=True),
    edge.SlowBody: Verdict(408, "timeout_error"),
    edge.HostRefused: Verdict(403, "permission_error"),
    edge.OriginRefused: Verdict(403, "permission_error"),
    edge.TokenRefused: Verdict(401, "authentication_error"),
    edge.NoSuchRoute: Verdict(404, "not_found_error"),
    edge.MethodRefused: Verdict(405, "invalid_request_error"),
    edge.BadIdempotencyKey: Verdict(400, "invalid_request_error"),
    edge.IdempotencyKeyReused: Verdict(422, "invalid_request_error"),
    edge.AnswerNotKept: Verdict(409, "invalid_request_error"),
    edge.UnknownPeer: Verdict(404, "not_found_error"),
    edge.UnknownReceipt: Verdict(404, "not_found_error"),
    sessions.UnknownSession: Verdict(404, "not_found_error"),
    sessions.SessionBusy: Verdict(409, "invalid_request_error"),
    edge.ShuttingDown: Verdict(503, "overloaded_error", retry=True),
    DialFailed: Verdict(504, "timeout_error"),
    PeernodeError: Verdict(500, "server_error"),
}


def verdict_of(error: PeernodeError) -> Verdict:
    """The row of the table that ``error`` falls under."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def error_object(error: PeernodeError) -> dict[str, Any]:
    """What stands under ``error`` in an answer, or in the last chunk of a stream that broke."""
    verdict = verdict_of(error)
    metadata: dict[str, Any] = {"reason": error.code, "cause": error.cause, "remedy": error.remedy}
    if isinstance(error, client.InsufficientCredit):
        metadata.update(error.facts)
    if isinstance(error, chat.JobError):
        metadata["filter"] = error.filter
        metadata["attempts"] = [
            {"provider": each.provider, "model": each.model, "code": each.code, "seconds": round(each.seconds, 3)}
            for each in error.attempts
        ]
    return {
        "message": error.sentence,
        "type": verdict.kind,
        "param": getattr(error, "param", None),
        "code": verdict.status,
        "metadata": {key: value for key, value in metadata.items() if value},
    }


def _retry_after_s(error: PeernodeError, verdict: Verdict) -> int | None:
    """Whole seconds after which asking again makes sense, where that is known."""
    known = error.retry_after_s if isinstance(error, (Limited, chat.JobError)) else None
    if known is not None:
        return max(1, math.ceil(known))
    return RETRY_AFTER_S if verdict.retry else None


def error_response(error: PeernodeError, request_id: str) -> Response:
    """The complete answer for ``error``."""
    verdict = verdict_of(error)
    headers = {"Cache-Control": "no-store"}
    if (wait := _retry_after_s(error, verdict)) is not None:
        headers["Retry-After"] = str(wait)
    if isinstance(error, edge.MethodRefused):
        headers["Allow"] = error.allow
    if isinstance(error, (edge.TokenRefused, client.KeyRefused)):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, chat.JobError) and error.route is not None:
        headers[NAME] = route_header(error.route).decode("ascii")
    body = json.dumps({"error": error_object(error), "request_id": request_id})
    return Response(body, verdict.status, headers, media_type="application/json")
