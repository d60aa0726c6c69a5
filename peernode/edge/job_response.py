"""An answer that is a running job: opens the runner, feeds a dialect's writer, cancels the job if the client leaves.

Owns the order of things on the wire: no status before the first event that decides it, every token at once, nothing
that looks like an end before the receipt is settled, and never an end without a word. Leaves the words to the writer.
"""

from __future__ import annotations

from typing import Protocol

import structlog
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from peernode.chat.errors import JobError
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens
from peernode.chat.job import ChatJob
from peernode.edge.answers import error_response
from peernode.edge.boundary import defect
from peernode.edge.errors import Defect, ShuttingDown
from peernode.edge.services import EdgeServices
from peernode.edge.settlement import Settlement, settled, unsettled
from peernode.errors import PeernodeError

LAST_WORD_S = 2.0
log = structlog.get_logger("peernode.edge")


class AnswerWriter(Protocol):
    """One dialect's pure words for a job's events. Bytes returned are sent at once; empty bytes hold the answer back.

    ``headers`` is asked once, when the first bytes are there. ``failed`` is asked only after bytes were sent.
    """

    def headers(self) -> list[tuple[bytes, bytes]]: ...

    def started(self, event: Started) -> None: ...

    def tokens(self, event: Tokens) -> bytes: ...

    def finished(self, event: Finished) -> bytes: ...

    def settled(self, settlement: Settlement) -> bytes: ...

    def failed(self, error: PeernodeError) -> bytes: ...


class JobResponse(Response):
    """Runs ``job`` and answers with what ``writer`` makes of it."""

    def __init__(self, services: EdgeServices, job: ChatJob, writer: AnswerWriter) -> None:
        self.status_code = 200
        self.background = None
        self._services = services
        self._job = job
        self._writer = writer
        self._begun = self._hung_up = self._complete = False
        self._provider = ""
        self._finished = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: PeernodeError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, receive, nursery.cancel_scope)
            try:
                refusal = await self._answer(send)
            except trio.Cancelled:
                if not self._hung_up:
                    await self._last_word(scope, receive, send)
                raise
            nursery.cancel_scope.cancel()
        if self._hung_up and not self._complete:
            log.info("client_hung_up", finished=self._finished)
            return
        # The closing message goes out here, out of the watcher's reach: the server reports "disconnect" while it is
        # still putting the connection back, and a cancel there would leave that connection without an idle timeout.
        if refusal is not None:
            await error_response(refusal, self._job.request_id)(scope, receive, send)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._hung_up = True
        scope.cancel()

    async def _answer(self, send: Send) -> PeernodeError | None:
        """Relay the job. Returns the error to answer with when nothing was sent yet, else None."""
        try:
            async with self._services.runner.open(self._job) as events:
                async for event in events:
                    if isinstance(event, Failed) and not self._finished:
                        return await self._fail(event.error, send)
                    await self._send(await self._words(event), send)
                    if isinstance(event, (Receipted, Failed)):
                        self._complete = True
                        return None
            raise AssertionError("a job stream stopped without its last event")
        except Exception as err:  # noqa: BLE001  # a runner's defect; logged by defect(), and the client hears of it
            return None if self._complete else await self._fail(defect(err), send)

    async def _words(self, event: JobEvent) -> bytes:
        match event:
            case Started(provider=provider):
                self._provider = provider
                self._writer.started(event)
                return b""
            case Tokens():
                return self._writer.tokens(event)
            case Finished():
                self._finished = True
                return self._writer.finished(event)
            case Receipted():
                return self._writer.settled(await settled(event, self._services.receipts))
            case Failed(error=error):
                log.warning("answer_without_receipt", code=error.code, provider=self._provider)
                return self._writer.settled(unsettled(error, self._provider))

    async def _fail(self, error: JobError | Defect, send: Send) -> PeernodeError | None:
        log.info("job_failed", code=error.code, model=self._job.model[:100], midstream=self._begun)
        if not self._begun:
            return error
        await self._send(self._writer.failed(error), send)
        self._complete = True
        return None

    async def _send(self, body: bytes, send: Send) -> None:
        if not body:
            return
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": 200, "headers": self._writer.headers()})
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _last_word(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The server is going down under a client that still listens: say so instead of falling silent."""
        if self._complete:
            return
        error = ShuttingDown("The node is shutting down.", remedy="Send the request again, or to another node.")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORD_S):
            if self._begun:
                await self._send(self._writer.failed(error), send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await error_response(error, self._job.request_id)(scope, receive, send)
