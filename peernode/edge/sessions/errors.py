"""What stands between a client and its session."""

from __future__ import annotations

from peernode.chat.errors import BadRequest
from peernode.edge.errors import EdgeError
from peernode.market.client_errors import NotAllowed


class UnknownSession(EdgeError):
    """No session of this key has this id, or it was not used for so long that it is gone."""

    code = "unknown_session"


class SessionBusy(EdgeError):
    """An answer of this session is under way; the next question belongs behind it."""

    code = "session_busy"


class SessionFull(BadRequest):
    """All that was said is more than is kept of a session."""

    code = "session_full"


class SessionKeyRefused(NotAllowed):
    code = "session_key_refused"


class TooManySessions(NotAllowed):
    """This API key keeps as many sessions as it may."""

    code = "too_many_sessions"
