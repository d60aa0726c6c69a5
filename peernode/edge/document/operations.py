"""Every public route: its body, its answers, and which errors it may end with. A test holds this against the routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from peernode.edge.account_routes import DAY
from peernode.edge.document import answer_forms as answer
from peernode.edge.document import bodies as body
from peernode.edge.document.examples import CHAT, EMBEDDINGS, LOGIN, PEERWAVE, PROMPT, RESPONSES, TOOL
from peernode.edge.document.forms import Schema, items, record, ref, said, text
from peernode.edge.document.refusals import ANYWHERE, JOBS, NAMED, OPEN, STREAMS, TOOLS
from peernode.wire.statement import MAX_NONCE_BYTES

JSON, EVENTS, LINES, HTML = "application/json", "text/event-stream", "application/x-ndjson", "text/html"
_EVENTS = {
    EVENTS: said(
        record({"event": text(), "data": text()}, ["data"]), "One event; the last data is [DONE], but in responses."
    )
}
_DAY = text(pattern=f"{DAY.pattern}|")


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path takes and gives.

    ``answers`` are the forms of status 200 by media type, ``further`` answers of other statuses that are no refusals,
    ``key`` says whether a key is needed always, as elsewhere, or never. ``parameters`` replace the schemas of
    parameters, by name. ``links`` name the operations that an answer leads to.
    """

    answers: Mapping[str, Schema]
    body: Schema | None = None
    media: str = JSON
    examples: Mapping[str, Any] = field(default_factory=dict)
    refusals: frozenset[int] = ANYWHERE
    further: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    key: Literal["always", "usual", "never"] = "usual"
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    job: bool = False


def _job(form: str, answers: Mapping[str, Schema], examples: Mapping[str, Any]) -> Operation:
    return Operation(answers, ref(form), examples=examples, refusals=JOBS, job=True)


def _shows(form: Schema, refusals: frozenset[int] = ANYWHERE, **parameters: Schema) -> Operation:
    return Operation({JSON: form}, refusals=refusals, parameters=parameters)


_NAME = text(least=1)
_UUID: Schema = {"type": "string", "format": "uuid"}
_MODELS = _shows(answer.MODELS)
_MODEL = _shows(ref("Model"), NAMED, model_id=_NAME)
_OPENROUTER = _job(
    "OpenRouterBody",
    {JSON: {"anyOf": [ref("ChatCompletion"), ref("TextCompletion")]}, **_EVENTS},
    {**CHAT, "a prompt": PROMPT["a prompt"]},
)
OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/v1/chat/completions"): _job("ChatBody", {JSON: ref("ChatCompletion"), **_EVENTS}, CHAT),
    ("post", "/v1/completions"): _job("TextBody", {JSON: ref("TextCompletion"), **_EVENTS}, PROMPT),
    ("post", "/v1/responses"): _job("ResponsesBody", {JSON: ref("Response"), **_EVENTS}, RESPONSES),
    ("post", "/v1/embeddings"): _job("EmbeddingsBody", {JSON: ref("Embeddings")}, EMBEDDINGS),
    ("post", "/api/v1/chat/completions"): _OPENROUTER,
    ("post", "/ai/v1/chat/completions"): _OPENROUTER,
    ("post", "/api/chat"): _job("PeerwaveChatBody", {JSON: ref("PeerwaveReply"), LINES: text()}, PEERWAVE),
    ("post", "/api/chat/stream"): _job("PeerwaveChatBody", {LINES: text()}, PEERWAVE),
    ("post", "/api/tools"): Operation(
        {JSON: answer.TOOL_ANSWER}, ref("ToolRunBody"), examples=TOOL, refusals=TOOLS
    ),
    ("get", "/v1/models"): _MODELS,
    ("get", "/api/v1/models"): _MODELS,
    ("get", "/v1/chat/models"): _MODELS,
    ("get", "/api/v1/chat/models"): _MODELS,
    ("get", "/api/models"): _shows(answer.PEERWAVE_MODELS),
    ("get", "/v1/models/{model_id}"): _MODEL,
    ("get", "/v1/chat/models/{model_id}"): _MODEL,
    ("get", "/api/v1/chat/models/{model_id}"): _MODEL,
    ("get", "/api/v1/models/{model_id}/endpoints"): _shows(answer.ENDPOINTS, NAMED, model_id=_NAME),
    ("get", "/v1/nodes"): _shows(items(ref("Node"))),
    ("get", "/api/nodes"): _shows(answer.NODES),
    ("get", "/api/nodes/{peer}"): _shows(record({"node": ref("Node")}), NAMED, peer=_NAME),
    ("get", "/v1/receipts/{request_id}"): _shows(ref("Receipt"), NAMED, request_id=_NAME),
    ("get", "/api/r/{request_id}"): _shows(answer.EXPLORED, NAMED, request_id=_NAME),
    ("get", "/api/recent"): _shows(answer.RECENT),
    ("get", "/v1/streams/{request_id}"): Operation(
        {**_EVENTS, LINES: text()}, refusals=STREAMS, parameters={"request_id": _NAME}
    ),
    ("get", "/v1/usage"): Operation(
        {JSON: answer.ACCOUNT_USAGE}, key="always", parameters={"start_date": _DAY, "end_date": _DAY}
    ),
    ("get", "/api/v1/key"): Operation({JSON: answer.KEY}, key="always"),
    ("get", "/api/v1/generation"): _shows(answer.GENERATION, NAMED),
    ("get", "/v1/sessions"): _shows(answer.SESSIONS),
    ("delete", "/v1/sessions/{session_id}"): _shows(answer.SESSION_GONE, NAMED, session_id=_UUID),
    ("get", "/v1/identity"): Operation(
        {JSON: answer.IDENTITY},
        refusals=OPEN | {404, 429},
        key="never",
        parameters={"nonce": text(2 * MAX_NONCE_BYTES, pattern="(?:[0-9a-f]{2})*")},
    ),
    ("get", "/"): Operation({HTML: text()}, refusals=OPEN, key="never"),
    ("get", "/healthz"): Operation({JSON: answer.ALIVE}, refusals=OPEN, key="never"),
    ("get", "/readyz"): Operation({JSON: answer.READY}, refusals=OPEN, key="never"),
    ("get", "/api/third-party/auth"): Operation(
        {HTML: text()},
        refusals=OPEN,
        key="never",
        parameters={"redirect": body.LOGIN["properties"]["redirect"]},
    ),
    ("post", "/api/third-party/auth"): Operation(
        {},
        body.LOGIN,
        media="application/x-www-form-urlencoded",
        examples=LOGIN,
        refusals=OPEN,
        further={
            303: {"description": "Back to the app, with the key.", "headers": {"Location": {"schema": text()}}},
            400: {"content": {HTML: {"schema": text()}}},
        },
        key="never",
    ),
}  # fmt: skip
