"""Why a receipt could not be had now, or not at all."""

from __future__ import annotations

from peernode.chat.errors import JobError


class StillRunning(JobError):
    """The part's conversation is not over yet; ask again later."""

    code = "still_running"


class UnknownPart(JobError):
    """This node knows nothing of that part any more, or never did."""

    code = "unknown_part"


class NotWhatWasSent(JobError):
    """The acknowledgement is of other tokens than those that were sent."""

    code = "not_what_was_sent"
