"""Turns a job into the worker's command, or into the reason why it cannot be one."""

from __future__ import annotations

from peernode.chat.errors import BadRequest
from peernode.chat.job import ChatJob
from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import pack_frame
from peernode.engine.protocol import Submit, to_frame


def submission(number: int, job: ChatJob, *, share_prefixes: bool = False) -> bytes:
    """The frame that submits ``job`` under ``number``; ``share_prefixes`` is the operator's word. Raises BadRequest."""
    # An empty salt is that of the prefixes which everybody may share.
    salt = "" if share_prefixes or job.request.share_prefix else job.payer
    command = Submit(
        number, job.request.to_fields(), job.seed, list(job.continue_from), payer=job.payer, cache_salt=salt
    )
    try:
        return pack_frame(to_frame(command))
    except UnicodeEncodeError:
        raise BadRequest("The messages are not valid text.", param="messages", cause="a lone surrogate") from None
    except WorkerProtocolBroken as err:
        raise BadRequest("The request is too large.", param="messages", cause=err.cause) from err
