"""One question of a kept conversation: what was said before goes in front of it, and the answer is kept behind it.

``session_key`` in a body asks for it; with ``session_id`` an earlier conversation goes on, without one begins. What is
kept is kept before the client hears of the answer's end, so that the next question always finds it. An answer that
failed or was broken off is not kept, and neither is its question.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from peernode.chat.errors import BadRequest
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens
from peernode.chat.job import ChatJob, JobRunner
from peernode.chat.markup import Piece
from peernode.chat.request import ChatRequest
from peernode.edge.auth import Caller
from peernode.edge.openai.choice import Choice, message_of
from peernode.edge.sessions.errors import SessionFull, TooManySessions, UnknownSession
from peernode.edge.sessions.memory import SessionName, read_session_id, read_session_key, seal, unseal
from peernode.edge.sessions.store import AtWork, SessionStore
from peernode.market.client_errors import MissingKey

FIELDS = ("session_id", "session_key")
# Of what a client said; the answer that is kept with it is bounded by its tokens.
MAX_SAID_BYTES = 256 * 1024


class Sessions:
    """The sessions of one node. ``busy_s`` is the longest that an answer takes."""

    def __init__(self, store: SessionStore, *, busy_s: float, new_id: Callable[[], uuid.UUID] = uuid.uuid4) -> None:
        self.store = store
        self._busy_s = busy_s
        self._new_id = new_id
        self._at_work = AtWork()

    async def begin(self, caller: Caller, body: dict[str, Any]) -> Session:
        """The session that ``body`` asks for, with all its messages. Whoever begins it must run or ``close`` it.

        Raises BadRequest, MissingKey, UnknownSession, SessionKeyRefused, SessionBusy or TooManySessions.
        """
        key = read_session_key(body.get("session_key"))
        given = None if body.get("session_id") is None else read_session_id(body["session_id"])
        if body.get("n") not in (None, 1):
            raise BadRequest("A session has one answer to a question.", param="n")
        owner = owner_of(caller)
        name = SessionName(owner, str(self._new_id()) if given is None else given)
        now = trio.current_time()
        self._at_work.begin(name, now, now + self._busy_s)
        session = Session(name, key, self.store, lambda: self._at_work.end(name))
        try:
            await session.recall(body.get("messages"), new=given is None)
        except BaseException:
            session.close()
            raise
        return session


class Session:
    """One that is at work. ``messages`` are all of them, with the new ones at the end."""

    def __init__(self, name: SessionName, key: bytes, store: SessionStore, ended: Callable[[], None]) -> None:
        self.name = name
        self.messages: list[Any] = []
        self._key = key
        self._store = store
        self._ended = ended

    async def recall(self, asked: object, *, new: bool) -> None:
        """Put what was said before in front of what is ``asked``."""
        before = await trio.to_thread.run_sync(self._admit if new else self._load)
        if not isinstance(asked, list):
            raise BadRequest("messages must be an array.", param="messages")
        self.messages = [*before, *asked]
        size = len(json.dumps(self.messages))
        if size > MAX_SAID_BYTES:
            raise SessionFull(
                "The session is full.",
                param="messages",
                cause=f"{size} bytes of {MAX_SAID_BYTES}",
                remedy="Begin another one; say there what of this one still matters.",
            )

    def remembering(self, runner: JobRunner) -> JobRunner:
        """``runner``, whose answer is kept before its last event."""
        return _Remembering(runner, self)

    async def keep(self, answer: dict[str, Any]) -> None:
        kept = seal(self.name, self._key, [*self.messages, answer])
        await trio.to_thread.run_sync(self._store.save, self.name, kept)

    def close(self) -> None:
        """The next question may come."""
        self._ended()

    def _admit(self) -> list[dict[str, Any]]:
        if len(self._store.list(self.name.owner)) >= self._store.per_key:
            raise TooManySessions(
                "This key keeps as many sessions as it may.",
                cause=f"{self._store.per_key}",
                remedy="Delete one: GET /v1/sessions, DELETE /v1/sessions/{id}.",
            )
        return []

    def _load(self) -> list[dict[str, Any]]:
        kept = self._store.load(self.name)
        if kept is None:
            raise UnknownSession(
                "This key has no such session.",
                cause=self.name.id,
                remedy=f"It is gone after {self._store.days:g} days without use. Leave session_id out to begin one.",
            )
        return unseal(self.name, self._key, kept)


class _Remembering:
    """A JobRunner of another, for one job."""

    def __init__(self, runner: JobRunner, session: Session) -> None:
        self._runner = runner
        self._session = session

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[AsyncIterator[JobEvent]]:
        try:
            async with self._runner.open(job) as events:
                yield self._heard(job, events)
        finally:
            self._session.close()

    async def _heard(self, job: ChatJob, events: AsyncIterator[JobEvent]) -> AsyncIterator[JobEvent]:
        assert isinstance(job.request, ChatRequest)
        choice, pieces, whole = Choice(0, job.request_id, job.request), list[Piece](), False
        async for event in events:
            if isinstance(event, Started):
                choice.started(event)
            elif isinstance(event, Tokens):
                pieces += choice.read(event.text)
            elif isinstance(event, Finished):
                pieces += choice.rest()
                whole = True
            elif isinstance(event, (Receipted, Failed)) and whole:
                answer = message_of(pieces)
                await self._session.keep({name: value for name, value in answer.items() if name in _KEPT})
                self._session.close()
            yield event


_KEPT = ("role", "content", "tool_calls")


def owner_of(caller: Caller) -> str:
    """Raises MissingKey."""
    if caller.key is None:
        raise MissingKey("Sessions belong to a key.", remedy="Send the key: Authorization: Bearer sk-pn-…")
    return caller.key.id
