"""What routes answer with, status 200. Members that are not named here may be added; none that is named goes away."""

from __future__ import annotations

from peernode.chat.message import ROLES
from peernode.edge.document.forms import (
    ANY_OBJECT,
    BOOLEAN,
    Schema,
    const,
    either,
    integer,
    items,
    number,
    one_of,
    optional,
    record,
    ref,
    said,
    text,
)

_COUNT = {"type": "integer", "minimum": 0}
_TEXTS = items(text())
_TIME = said(_COUNT, "Unix seconds.")
_CREDITS = number(0)
_PRICE = text(pattern="[0-9]+(?:[.][0-9]+)?")
_RECEIPT = said(
    either(record({"id": text(), "digest": text(), "url": text()}), record({"error": ANY_OBJECT}), record({})),
    "Where the receipt of this answer is, or why there is none.",
)
_BILL = {"provider": said(text(), "The peer that answered."), "receipt": _RECEIPT}
_TOKEN = {"token": text(), "logprob": number(), "bytes": items(integer(range(256)))}
_LOGPROBS = optional(record({"content": items(record({**_TOKEN, "top_logprobs": items(record(_TOKEN))}))}))
_REASON = one_of("stop", "length", "tool_calls", "cancelled", "error")
USAGE = record(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": record({"cached_tokens": _COUNT}),
        "cost": said(_CREDITS, "Credits."),
    }
)
_CALL = record({"id": text(), "type": const("function"), "function": record({"name": text(), "arguments": text()})})
_SAID = record(
    {
        "role": one_of(*ROLES),
        "content": optional(text()),
        "reasoning_content": text(),
        "tool_calls": items(_CALL, least=1),
    },
    ["role", "content"],
)
_ENDING = {"finish_reason": _REASON, "native_finish_reason": text(), "request_id": text()}
_HEAD = {"id": text(), "object": text(), "created": _TIME, "model": text(), "request_id": text()}
_CHOICE = record({"index": _COUNT, "message": _SAID, "logprobs": _LOGPROBS, **_ENDING})
CHAT = record(
    {**_HEAD, "object": const("chat.completion"), **_BILL, "choices": items(_CHOICE, least=1), "usage": ref("Usage")}
)
_OLD_LOGPROBS = record(
    {
        "tokens": _TEXTS,
        "token_logprobs": items(optional(number())),
        "top_logprobs": items(optional(ANY_OBJECT)),
        "text_offset": items(_COUNT),
    }
)
_TEXT_CHOICE = record(
    {"index": _COUNT, "text": text(), "reasoning_content": text(), "logprobs": optional(_OLD_LOGPROBS), **_ENDING},
    ["index", "text", "logprobs", *_ENDING],
)
TEXT = record(
    {
        **_HEAD,
        "object": const("text_completion"),
        **_BILL,
        "choices": items(_TEXT_CHOICE, least=1),
        "usage": ref("Usage"),
    }
)
_ITEM = record({"id": text(), "type": one_of("message", "reasoning", "function_call"), "status": text()})
RESPONSE = record(
    {
        "id": text(),
        "object": const("response"),
        "created_at": _TIME,
        "status": one_of("completed", "incomplete", "failed"),
        "model": text(),
        "output": items(_ITEM, least=1),
        "usage": optional(record({"input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT})),
        "request_id": text(),
        **_BILL,
    }
)
_VECTOR = record({"object": const("embedding"), "index": _COUNT, "embedding": either(items(number()), text())})
EMBEDDINGS = record(
    {
        "object": const("list"),
        "data": items(_VECTOR, least=1),
        "model": text(),
        "usage": record({"prompt_tokens": _COUNT, "total_tokens": _COUNT, "cost": _CREDITS}),
        "request_id": text(),
        **_BILL,
    }
)
_PEERWAVE_SAID = record(
    {"role": const("assistant"), "content": text(), "thinking": text(), "tool_calls": items(ANY_OBJECT, least=1)},
    ["role", "content"],
)
PEERWAVE_REPLY = record(
    {
        "model": text(),
        "message": _PEERWAVE_SAID,
        "done": const(value=True),
        "finish_reason": _REASON,
        "Credits": _CREDITS,
        "request_id": text(),
        **_BILL,
    }
)
MODEL = record(
    {
        "id": text(),
        "object": const("model"),
        "created": _TIME,
        "owned_by": text(),
        "name": text(),
        "canonical_slug": text(),
        "description": text(),
        "context_length": _COUNT,
        "architecture": record({"modality": text(), "input_modalities": _TEXTS, "output_modalities": _TEXTS}),
        "pricing": record({"prompt": _PRICE, "cached_prompt": _PRICE, "completion": _PRICE}),
        "top_provider": record({"context_length": _COUNT}),
        "supported_parameters": _TEXTS,
        "nodes_available": _COUNT,
        "quantizations": _TEXTS,
        "digests": _TEXTS,
        "parameters": _COUNT,
    }
)
MODELS = record({"object": const("list"), "data": items(ref("Model"))})
_SERVER_TOOL = record({"name": text(), "description": text(), "parameters": ANY_OBJECT})
PEERWAVE_MODELS = record({**MODELS["properties"], "models": items(ref("Model")), "tools": items(_SERVER_TOOL)})
ENDPOINTS = record(
    {
        "data": record(
            {
                "id": text(),
                "endpoints": items(
                    record({"name": text(), "provider_name": text(), "tag": text(), "pricing": ANY_OBJECT})
                ),
            }
        )
    }
)
_CHECK = record({"name": text(), "passed": BOOLEAN, "detail": text()})
_PART = {
    "request_id": text(),
    "part": _COUNT,
    "node_id": text(),
    "model": text(),
    "timestamp": text(),
    "payment_amount": _CREDITS,
    "coordinator_signature": optional(text()),
    "role": text(),
    "refused": text(),
    "digest": text(),
    "receipt": said(ANY_OBJECT, "Every signed field."),
    "canonical": said(text(), "Base64 of the bytes under the signature."),
    "countersignature": optional(ANY_OBJECT),
    "countersignature_canonical": optional(text()),
    "signatures": items(record({"role": text(), "peer": text(), "key": text(), "sig": text()}), least=1),
    "verified": record({"ok": BOOLEAN, "checks": items(_CHECK, least=1)}),
}
RECEIPT = record({**_PART, "parts": items(record(_PART), least=1)})
EXPLORED = record(
    {
        "receipt": record({"request_id": text(), "receipt_json": ref("Receipt"), "created_at": _COUNT}),
        "payments": items(record({"payee": text(), "amount": _CREDITS, "part": _COUNT, "digest": text()})),
    }
)
_ROW = {
    "request_id": optional(text(), "Null where it would open what is another's."),
    "part": _COUNT,
    "role": text(),
    "node_id": text(),
    "model": text(),
    "prompt_tokens": _COUNT,
    "completion_tokens": _COUNT,
    "amount": _CREDITS,
    "countersigned": BOOLEAN,
    "digest": text(),
    "created_at": _COUNT,
}
RECENT = record({"receipts": items(record(_ROW)), "limit": _COUNT, "offset": _COUNT})
NODE = record(
    {
        "peer_id": text(),
        "models": _TEXTS,
        "max_concurrent_jobs": _COUNT,
        "free_slots": _COUNT,
        "queued": _COUNT,
        "multiaddrs": _TEXTS,
        "version": text(),
        "last_seen_ms": _COUNT,
        "offers": items(ANY_OBJECT),
    }
)
NODES = record({"nodes": items(ref("Node"))})
ACCOUNT_USAGE = record(
    {
        "start_date": text(),
        "end_date": text(),
        "total_requests": _COUNT,
        "total_tokens": _COUNT,
        "total_cost": number(),
        "by_model": items(ANY_OBJECT),
        "by_day": items(ANY_OBJECT),
        "key": record({"id": text(), "name": text()}),
        "balance": optional(number(), "Null where nothing limits it."),
        "held": number(),
        "spent": number(),
        "limits": ANY_OBJECT,
    }
)
KEY = record(
    {
        "data": record(
            {
                "label": text(),
                "limit": optional(number()),
                "limit_remaining": optional(number()),
                "usage": number(),
                "usage_daily": number(),
                "usage_weekly": number(),
                "usage_monthly": number(),
                "rate_limit": ANY_OBJECT,
            }
        )
    }
)
GENERATION = record(
    {
        "data": record(
            {
                "id": text(),
                "request_id": text(),
                "model": text(),
                "provider_name": text(),
                "latency": _COUNT,
                "generation_time": _COUNT,
                "tokens_prompt": _COUNT,
                "tokens_completion": _COUNT,
                "finish_reason": text(),
                "total_cost": _CREDITS,
            }
        )
    }
)
_SESSION = {"object": const("session"), "session_id": text()}
SESSIONS = record(
    {
        "object": const("list"),
        "data": items(record({**_SESSION, "bytes": _COUNT, "last_used": text(), "kept_until": text()})),
    }
)
SESSION_GONE = record({**_SESSION, "deleted": const(value=True)})
IDENTITY = record(
    {
        "object": const("identity"),
        "network": text(),
        "peer_id": text(),
        "exchange_key": text(),
        "version": text(),
        "models": items(record({"id": text(), "digest": text()})),
        "nonce": text(),
        "at_ms": _COUNT,
        "canonical": said(text(), "Base64 of the bytes under the signature."),
        "signature": text(),
        "signed": text(),
        "attestation": optional(
            record({"provider": text(), "report_data": text(), "report": text()}), "What the hardware says of it."
        ),
        "attestation_reason": optional(text(), "Why there is no report."),
    }
)
ALIVE = record({"status": const("alive")})
READY = record({"status": const("ready"), "reasons": _TEXTS})
NOT_READY = record({"status": const("not ready"), "reasons": _TEXTS})
TOOL_ANSWER: Schema = said({}, "Whatever the tool answers, as JSON.")
COMPONENTS = {
    "Usage": USAGE,
    "ChatCompletion": CHAT,
    "TextCompletion": TEXT,
    "Response": RESPONSE,
    "Embeddings": EMBEDDINGS,
    "PeerwaveReply": PEERWAVE_REPLY,
    "Model": MODEL,
    "Receipt": RECEIPT,
    "Node": NODE,
}
