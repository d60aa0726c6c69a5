"""An answer that is a running job: opens the runner, feeds a dialect's writer, cancels the job if the client leaves.

Owns the order of things on the wire: no status before the first event that decides it (for a client that has waited
some seconds, a word about how long it will be), every token at once, nothing that looks like an end before the receipt
is settled, and never an end without a word. Leaves the words to the writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Waiting
from peernode.chat.job import ChatJob
from peernode.chat.route import Route
from peernode.edge.admission import Admission
from peernode.edge.answers import error_response
from peernode.edge.boundary import defect
from peernode.edge.choices import side_by_side
from peernode.edge.errors import ShuttingDown
from peernode.edge.route_header import NAME, route_header
from peernode.edge.services import EdgeServices
from peernode.edge.settlement import Settlement, settled, unsettled
from peernode.errors import PeernodeError

LAST_WORD_S = 2.0
# A client that has waited so long hears that it is not forgotten; an error is then told in the stream.
SILENCE_S = 5.0
# What says nothing for longer looks dead to proxies, although its prompt may only be long.
KEEP_ALIVE_S = 10.0
log = structlog.get_logger("peernode.edge")


class AnswerWriter(Protocol):
    """One dialect's pure words for the events of jobs, each by its index among the choices of one answer.

    Bytes returned are sent at once; empty bytes hold the answer back. ``headers`` is asked once, when the first bytes
    are there. A choice ends with ``settled`` or ``failed``; ``ended`` is asked when all have, if not all failed before
    the first bytes: then there is no answer, but an error. ``trailers`` are headers that are known only then, for
    connections that can carry them.
    """

    def headers(self) -> list[tuple[bytes, bytes]]: ...

    def started(self, choice: int, event: Started) -> None: ...

    def waiting(self, choice: int, event: Waiting) -> bytes: ...

    def idle(self) -> bytes: ...

    def tokens(self, choice: int, event: Tokens) -> bytes: ...

    def finished(self, choice: int, event: Finished) -> bytes: ...

    def settled(self, choice: int, settlement: Settlement) -> bytes: ...

    def failed(self, choice: int, error: PeernodeError) -> bytes: ...

    def ended(self) -> bytes: ...

    def trailers(self) -> list[tuple[bytes, bytes]]: ...


@dataclass(slots=True)
class _Choice:
    """How far one job has come."""

    job: ChatJob
    provider: str = ""
    route: Route | None = None
    finished: bool = False
    over: bool = False


class JobResponse(Response):
    """Runs ``jobs``, the choices of one answer, and answers with what ``writer`` makes of them."""

    def __init__(
        self, services: EdgeServices, jobs: Sequence[ChatJob], writer: AnswerWriter, admission: Admission
    ) -> None:
        self.status_code = 200
        self.background = None
        self._services = services
        self._writer = writer
        self._admission = admission
        self._choices = [_Choice(job) for job in jobs]
        self._begun = self._hung_up = self._complete = self._trails = False
        self._came = self._spoke = trio.current_time()
        self._sending = trio.Lock()
        # Failures from before the first bytes: nobody was told yet.
        self._untold: list[tuple[int, PeernodeError]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._run(scope, receive, send)
        finally:
            self._admission.close()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: PeernodeError | None = None
        self._trails = self._choices[0].job.streamed and _carries_trailers(scope)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, receive, nursery.cancel_scope)
            if self._choices[0].job.streamed:
                nursery.start_soon(self._keep_alive, send)
            try:
                refusal = await self._answer(send)
            except BaseException:  # cancelled: by itself, or in a group when there are several choices
                if not self._hung_up:
                    await self._last_word(scope, receive, send)
                raise
            nursery.cancel_scope.cancel()
        if self._hung_up and not self._complete:
            log.info("client_hung_up", finished=all(choice.finished for choice in self._choices))
            return
        # The closing message goes out here, out of the watcher's reach: the server reports "disconnect" while it is
        # still putting the connection back, and a cancel there would leave that connection without an idle timeout.
        if refusal is not None:
            await error_response(refusal, self._request_id)(scope, receive, send)
        else:
            await self._close(send)

    async def _close(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if self._trails:
            await send({"type": "http.response.trailers", "headers": self._writer.trailers(), "more_trailers": False})

    async def _watch(self, receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._hung_up = True
        scope.cancel()

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await trio.sleep_until(self._spoke + KEEP_ALIVE_S)
            if trio.current_time() >= self._spoke + KEEP_ALIVE_S:
                self._spoke = trio.current_time()
                if self._may_tell(self._choices[0]):
                    await self._send(self._writer.idle(), send)

    @property
    def _request_id(self) -> str:
        return self._choices[0].job.request_id

    async def _answer(self, send: Send) -> PeernodeError | None:
        """Relay the jobs. Returns the error to answer with when nothing was sent and nothing will be, else None."""
        try:
            async with side_by_side(self._services.runner, [choice.job for choice in self._choices]) as happenings:
                async for index, event in happenings:
                    await self._take(index, event, send)
                    if all(choice.over for choice in self._choices):
                        return await self._end(send)
            raise AssertionError("a job stream stopped without its last event")
        except Exception as err:  # noqa: BLE001  # a runner's defect; logged by defect(), and the client hears of it
            if self._complete:
                return None
            await self._fail_all(defect(err), send)
            return await self._end(send)

    async def _take(self, index: int, event: JobEvent | Exception, send: Send) -> None:
        choice = self._choices[index]
        self._admission.observe(index, event)
        if isinstance(event, Exception):
            await self._fail(index, defect(event), send)
        elif isinstance(event, Failed) and not choice.finished:
            await self._fail(index, event.error, send)
        else:
            await self._send(await self._words(index, event), send)
            choice.over = isinstance(event, (Receipted, Failed))

    async def _words(self, index: int, event: JobEvent) -> bytes:
        choice = self._choices[index]
        match event:
            case Started(provider=provider, route=route):
                choice.provider, choice.route = provider, route
                self._writer.started(index, event)
                return b""
            case Waiting():
                return self._writer.waiting(index, event) if self._may_tell(choice) else b""
            case Tokens():
                return self._writer.tokens(index, event)
            case Finished():
                choice.finished = True
                return self._writer.finished(index, event)
            case Receipted():
                return self._writer.settled(index, await settled(event, self._services.receipts))
            case Failed(error=error):
                log.warning("answer_without_receipt", code=error.code, provider=choice.provider)
                return self._writer.settled(index, unsettled(error, choice.provider))

    def _may_tell(self, choice: _Choice) -> bool:
        """Whether the answer may begin with a word about the wait; the header that explains is not known by then."""
        return self._begun or (not choice.job.explain and trio.current_time() - self._came >= SILENCE_S)

    async def _fail(self, index: int, error: PeernodeError, send: Send) -> None:
        job = self._choices[index].job
        log.info("job_failed", code=error.code, model=job.model[:100], choice=index, midstream=self._begun)
        self._choices[index].over = True
        if self._begun:
            await self._send(self._writer.failed(index, error), send)
        else:
            self._untold.append((index, error))

    async def _fail_all(self, error: PeernodeError, send: Send) -> None:
        for index, choice in enumerate(self._choices):
            if not choice.over:
                await self._fail(index, error, send)

    async def _end(self, send: Send) -> PeernodeError | None:
        if len(self._untold) == len(self._choices):
            return self._untold[0][1]
        await self._send(self._told() + self._writer.ended(), send)
        self._complete = True
        return None

    def _told(self) -> bytes:
        untold, self._untold = self._untold, []
        return b"".join(self._writer.failed(index, error) for index, error in untold)

    async def _send(self, body: bytes, send: Send) -> None:
        if not body:
            return
        try:
            self._sending.acquire_nowait()  # no checkpoint: nearly always there is nobody else
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            if not self._begun:
                self._begun = True
                body += self._told()
                headers = [*self._writer.headers(), *self._admission.headers(), *self._explanation()]
                await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": self._trails})
            await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            self._sending.release()
        self._spoke = trio.current_time()

    def _explanation(self) -> list[tuple[bytes, bytes]]:
        """How the first choice that has begun came to its provider, if the client wants to know."""
        explained = ((choice.route, choice.provider) for choice in self._choices)
        return [(NAME.encode(), route_header(route, provider)) for route, provider in explained if route][:1]

    async def _last_word(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The server is going down under a client that still listens: say so instead of falling silent."""
        if self._complete:
            return
        error = ShuttingDown("The node is shutting down.", remedy="Send the request again, or to another node.")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORD_S):
            if self._begun:
                await self._fail_all(error, send)
                await self._send(self._writer.ended(), send)
                await self._close(send)
            else:
                await error_response(error, self._request_id)(scope, receive, send)


def _carries_trailers(scope: Scope) -> bool:
    """Hypercorn sends them over HTTP/2 alone, and to whoever says that he can read them."""
    return "http.response.trailers" in scope.get("extensions", {}) and (b"te", b"trailers") in scope["headers"]
