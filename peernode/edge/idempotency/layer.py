"""The ASGI layer of idempotency keys: the first request runs, to its end; those that repeat it listen to it.

A key belongs to who sends it: the API key, or without one the address. What its client asked for with such a key goes
on, and costs, when the connection is lost, for the client will come back for it.
"""

from __future__ import annotations

from hashlib import blake2b

import structlog
import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.auth import Caller, known_caller, network_of
from peernode.edge.boundary import adopt_request_id, request_id_of
from peernode.edge.errors import AnswerNotKept, BadIdempotencyKey, IdempotencyKeyReused, ShuttingDown
from peernode.edge.idempotency.kept_answers import Answer, KeptAnswers
from peernode.edge.leave import leave_of
from peernode.errors import PeernodeError

HEADER = "idempotency-key"
MAX_KEY = 255
REPLAYED = (b"idempotent-replayed", b"true")
log = structlog.get_logger("peernode.edge")


class IdempotencyKeys:
    """ASGI wrapper, behind ``KeyGuard`` and ``Intake``: the body comes whole, in one message.

    Raises BadIdempotencyKey, IdempotencyKeyReused, AnswerNotKept, and whatever the request that it repeats raised.
    """

    def __init__(self, app: ASGIApp, kept: KeptAnswers) -> None:
        self._app = app
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = known_caller(scope)
        key = _key_in(scope) if caller is not None and scope["method"] == "POST" else None
        if caller is None or key is None:
            await self._app(scope, receive, send)
            return
        asked = await receive()
        name, fingerprint = (_owner(caller), key), _fingerprint(scope, asked.get("body", b""))
        first = self._kept.find(name, trio.current_time())
        if first is None:
            await self._lead(self._kept.begin(name, fingerprint, request_id_of(scope)), asked, scope, receive, send)
            return
        if first.fingerprint != fingerprint:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used for another request.",
                remedy="Make a new key for each request; send the same one only with the same request.",
            )
        await _Follower(first, scope, receive, send).run()

    async def _lead(self, answer: Answer, asked: Message, scope: Scope, receive: Receive, send: Send) -> None:
        first, gone = [asked], False

        async def patient() -> Message:
            nonlocal gone
            if first:
                return first.pop()
            message = await receive()
            if message["type"] == "http.disconnect":
                gone = True
                await trio.sleep_forever()  # nobody is told: it goes on until it is done
            return message

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.begin(message["status"], list(message["headers"]))
            elif message["type"] == "http.response.body":
                answer.add(message.get("body", b""))
            if not gone:
                await send(message)

        error: PeernodeError | None = ShuttingDown("The node is shutting down.", remedy="Send the request again.")
        try:
            with leave_of(scope).held():
                await self._app(scope, patient, recorded)
            error = None
        except PeernodeError as err:
            error = err
            raise
        finally:
            self._kept.end(answer, trio.current_time(), error)


class _Follower:
    """One request that repeats another, and the connection it came by."""

    def __init__(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        self._answer = answer
        self._scope = scope
        self._receive = receive
        self._send = send

    async def run(self) -> None:
        """Raises AnswerNotKept, or the error that the first request ended in before it said anything."""
        answer = self._answer
        log.info("request_repeated", first=answer.request_id, running=not answer.over)
        heard = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            heard = await self._begun() and await self._replay()
            nursery.cancel_scope.cancel()
        if heard:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif answer.over and not answer.status:
            raise answer.error or ShuttingDown("The request that this one repeats was not answered.")
        elif answer.too_large:
            raise AnswerNotKept(
                "The answer to this request was too large to be kept.",
                cause=answer.request_id,
                remedy="It has run, and will not run again with this key: send it with a new one.",
            )

    async def _begun(self) -> bool:
        answer = self._answer
        while not answer.status and not answer.over:
            await answer.changed()
        return bool(answer.status) and not answer.too_large

    async def _replay(self) -> bool:
        """Say all of it; False when it cannot be said to its end."""
        answer, at = self._answer, 0
        adopt_request_id(self._scope, answer.request_id)
        headers = [*answer.headers, REPLAYED]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        while not answer.too_large:
            if fresh := answer.pieces[at:]:
                at += len(fresh)
                await self._send({"type": "http.response.body", "body": b"".join(fresh), "more_body": True})
            elif answer.over:
                return True
            else:
                await answer.changed()
        return False

    async def _watch(self, scope: trio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


def _owner(caller: Caller) -> str:
    return caller.key.id if caller.key is not None else f"anonymous:{network_of(caller.address)}"


def _key_in(scope: Scope) -> str | None:
    keys = Headers(scope=scope).getlist(HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not 0 < len(keys[0]) <= MAX_KEY or not (keys[0].isascii() and keys[0].isprintable()):
        raise BadIdempotencyKey(
            "Idempotency-Key is not a key.",
            cause=f"{len(keys)} of them" if len(keys) > 1 else f"{len(keys[0])} characters",
            remedy=f"Send one, of 1 to {MAX_KEY} printable ASCII characters; a random UUID is good.",
        )
    return keys[0]


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    """Of what is asked. Only a digest is kept, for the body is a prompt."""
    made = blake2b(digest_size=32)
    for part in (scope["path"].encode("utf-8", "surrogatepass"), scope.get("query_string", b""), body):
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()
