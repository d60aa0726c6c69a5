"""Turns a job into the worker's command, or into the reason why it cannot be one."""

from __future__ import annotations

from peernode.chat.errors import BadRequest
from peernode.chat.job import ChatJob
from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import pack_frame
from peernode.engine.protocol import Submit, to_frame


def submission(number: int, job: ChatJob) -> bytes:
    """The frame that submits ``job`` under ``number``. Raises BadRequest."""
    request = job.request
    command = Submit(
        number,
        [[message.role, message.content, message.name] for message in request.messages],
        request.max_tokens or 0,
        list(request.stop),
        request.sampling.to_fields(),
        -1 if request.top_logprobs is None else request.top_logprobs,
        job.seed,
        list(job.continue_from),
        payer=job.payer,
        cache_salt=job.payer,
    )
    try:
        return pack_frame(to_frame(command))
    except UnicodeEncodeError:
        raise BadRequest("The messages are not valid text.", param="messages", cause="a lone surrogate") from None
    except WorkerProtocolBroken as err:
        raise BadRequest("The request is too large.", param="messages", cause=err.cause) from err
