"""What can be wrong with a call before it becomes a job, or with the address it should come in at.

Each class is raised where it is understood; ``answers`` alone gives it a status and a body.
"""

from __future__ import annotations

from peernode.errors import PeernodeError


class EdgeError(PeernodeError):
    """Base of the errors that belong to HTTP itself."""

    code = "internal"


class BodyTooLarge(EdgeError):
    code = "body_too_large"


class NoRoom(EdgeError):
    """The large bodies that are being read and answered leave no room for another."""

    code = "no_room"


class AmbiguousLength(EdgeError):
    """A request says twice how long its body is: a proxy in front might have read it the other way (smuggling)."""

    code = "ambiguous_length"


class TinyPieces(EdgeError):
    """A body in so many small chunks that reading them is more work than what they say."""

    code = "tiny_pieces"


class TooManyConnections(EdgeError):
    code = "too_many_connections"


class SlowBody(EdgeError):
    """The client began a body and did not finish it in time."""

    code = "slow_body"


class HostRefused(EdgeError):
    """The Host header names a machine that this server is not: DNS rebinding looks like this."""

    code = "host_refused"


class OriginRefused(EdgeError):
    """A web page of another origin, which the operator does not let in, asks for something."""

    code = "origin_refused"


class TokenRefused(EdgeError):
    """The admin API was called without its token."""

    code = "token_refused"


class NoSuchRoute(EdgeError):
    code = "no_such_route"


class MethodRefused(EdgeError):
    """The path exists, but not for this method. ``allow`` lists those it exists for."""

    code = "method_not_allowed"

    def __init__(self, sentence: str, *, allow: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(sentence, cause=cause, remedy=remedy)
        self.allow = allow


class BadIdempotencyKey(EdgeError):
    code = "bad_idempotency_key"


class IdempotencyKeyReused(EdgeError):
    """A key that belongs to one request came with another."""

    code = "idempotency_key_reused"


class AnswerNotKept(EdgeError):
    """A request was repeated whose answer can not be given again; and it must not run again."""

    code = "answer_not_kept"


class UnknownPeer(EdgeError):
    """A name that no known peer has, or several."""

    code = "unknown_peer"


class UnknownReceipt(EdgeError):
    code = "unknown_receipt"


class ShuttingDown(EdgeError):
    """The node stops before the answer was complete."""

    code = "shutting_down"


class Defect(EdgeError):
    """A programming error of this node; what it was stands in the log, never in the answer."""

    code = "internal"


class BadBind(EdgeError):
    """Not the text of a HOST:PORT to listen on."""

    code = "bad_bind"


class OpenBindRefused(EdgeError):
    """An HTTP port that others can reach, and that asks nobody for a key, would give the node away."""

    code = "open_bind_refused"


class AddressInUse(EdgeError):
    """The operating system would not let us listen there."""

    code = "address_in_use"
