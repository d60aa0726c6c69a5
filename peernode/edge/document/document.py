"""The document as a whole: FastAPI knows the routes and their parameters, the table of operations all the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from peernode.edge.document import answer_forms, bodies, refusals
from peernode.edge.document.answer_examples import EXAMPLES
from peernode.edge.document.forms import Schema, text
from peernode.edge.document.operations import OPERATIONS, Operation
from peernode.edge.idempotency.layer import MAX_KEY

_ABOUT = (
    "One node, four dialects: the path alone says how a client is spoken to. Every answer has a receipt. "
    "Parameters that are not described here are ignored; null is the same as leaving a parameter out. "
    "Requests to every path may also come sealed to the node's own key (docs/security.md)."
)
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of this node, sk-pn-…; `peernode keys create` makes one.",
}
_EXPLAIN: Schema = {
    "name": "X-Peernode-Route",
    "in": "header",
    "required": False,
    "description": "Any value: the answer's header of that name says how the provider was chosen.",
    "schema": {"type": "string"},
}
_ONCE: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A new one for each request: the same request sent again with it neither runs nor costs twice.",
    "schema": {"type": "string", "pattern": f"^[ -~]{{1,{MAX_KEY}}}$"},
}
_OF_KEYS = {
    "X-RateLimit-Limit": "The limit a minute of the key.",
    "X-RateLimit-Remaining": "What is left of it.",
    "X-RateLimit-Reset": "When it is whole again, in Unix seconds.",
}
_OF_JOBS = {
    "Credits": "What it cost, where that is known before the answer begins.",
    "Cost-Per-Unit": "Credits for a token of the answer.",
    "X-Generation-Id": "The id for GET /api/v1/generation.",
    "X-Peernode-Receipt": "The digest of the receipt.",
    "X-Session-Id": "The kept conversation, where there is one.",
    "Idempotent-Replayed": "``true``: this is the answer to an earlier request with the same Idempotency-Key.",
    "X-Peernode-Route": "How the provider was chosen, if that was asked for: JSON.",
}


def document_of(app: FastAPI, *, anonymous: bool) -> dict[str, Any]:
    """The OpenAPI document of ``app``. ``anonymous``: whether some may come without a key."""
    made = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
    for path, methods in made["paths"].items():
        for method, described in methods.items():
            operation = OPERATIONS.get((method, path))
            if operation is not None:
                _complete(described, operation, anonymous=anonymous)
    made["components"] = {
        "schemas": bodies.COMPONENTS | _shown(answer_forms.COMPONENTS) | refusals.COMPONENTS,
        "securitySchemes": {"key": _KEY},
    }
    made["security"] = _security("usual", anonymous=anonymous)
    return made


def _shown(forms: Mapping[str, Schema]) -> dict[str, Schema]:
    """``forms`` with what they look like."""
    return {
        name: {**form, **({"examples": [EXAMPLES[name]]} if name in EXAMPLES else {})} for name, form in forms.items()
    }


def _complete(described: dict[str, Any], operation: Operation, *, anonymous: bool) -> None:
    described["security"] = _security(operation.key, anonymous=anonymous)
    for parameter in described.get("parameters", ()):
        if parameter["name"] in operation.parameters:
            parameter["schema"] = operation.parameters[parameter["name"]]
    if operation.job:
        described.setdefault("parameters", []).append(_EXPLAIN)
    if operation.body is not None and operation.key != "never":
        described.setdefault("parameters", []).append(_ONCE)
    if operation.body is not None:
        examples = {name: {"value": value} for name, value in operation.examples.items()}
        content = {operation.media: {"schema": operation.body, "examples": examples}}
        described["requestBody"] = {"required": True, "content": content}
    described["responses"] = _responses(operation)


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = refusals.refusals(operation.refusals)
    if operation.answers:
        content = {media: {"schema": form} for media, form in operation.answers.items()}
        found["200"] = {"description": "The answer.", "headers": _headers(operation), "content": content}
    for status, more in operation.further.items():
        usual = found.get(str(status), {"description": "", "headers": {"X-Request-Id": refusals.REQUEST_ID}})
        found[str(status)] = {
            **usual,
            **more,
            "headers": {**usual["headers"], **more.get("headers", {})},
            "content": {**usual.get("content", {}), **more.get("content", {})},
        }
    return dict(sorted(found.items()))


def _headers(operation: Operation) -> dict[str, Any]:
    says: Mapping[str, str] = (_OF_JOBS if operation.job else {}) | ({} if operation.key == "never" else _OF_KEYS)
    return {"X-Request-Id": refusals.REQUEST_ID} | {
        name: {"description": word, "schema": text()} for name, word in says.items()
    }


def _security(key: str, *, anonymous: bool) -> list[dict[str, list[str]]]:
    """An empty entry says that it also goes without."""
    if key == "never":
        return []
    return [{"key": []}, {}] if anonymous and key == "usual" else [{"key": []}]
