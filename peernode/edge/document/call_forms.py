"""What calls of all kinds may say beside their words: sampling, lengths, streams, and how the provider is chosen."""

from __future__ import annotations

from peernode.chat.request import MAX_STOPS, MAX_TOKENS
from peernode.chat.sampling import MAX_BIAS, MAX_BIASED_TOKENS, MAX_PENALTY, MAX_TEMPERATURE, MAX_TOP_K
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
from peernode.edge.openai import manner, wishes
from peernode.edge.openai.chat_request import MAX_CHOICES, MAX_STOP_CHARS
from peernode.edge.openai.fields import INT64
from peernode.wire.logprobs import MAX_ALTERNATIVES

_MODEL_NAME = text(wishes.MAX_MODEL_NAME, least=1)
_PEERS = optional(items(text(wishes.MAX_PEER_NAME, least=1), most=wishes.MAX_PEERS))
_PRICE = optional(
    either(number(0, wishes.MAX_CREDITS), text(pattern=wishes.PRICE_TEXT.pattern)), "Credits per million tokens."
)
_SORT = one_of(*wishes.SORTS)


def _preferred(most: float, says: str) -> Schema:
    percentiles = {name: optional(number(0, most)) for name in wishes.PERCENTILES}
    return optional(either(number(0, most), record(percentiles, ())), says)


PROVIDER = record(
    {
        "order": said(_PEERS, "Who is asked first: peer ids, or ends of them."),
        "only": said(_PEERS, "Nobody else is asked."),
        "ignore": said(_PEERS, "These are not asked."),
        "allow_fallbacks": optional(BOOLEAN, "Whether others follow those of ``order``; true unless said."),
        "require_parameters": optional(BOOLEAN, "Only who understands every parameter of the request."),
        "data_collection": optional(one_of("allow", "deny"), "``deny``: only who promises to keep nothing."),
        "zdr": optional(BOOLEAN, "Another name for ``data_collection: deny``."),
        "sort": optional(either(_SORT, record({"by": optional(_SORT)}, ())), "What counts most."),
        "max_price": optional(record({"prompt": _PRICE, "completion": _PRICE}, ())),
        "quantizations": optional(
            items(text(wishes.MAX_QUANTIZATION_NAME, least=1), most=wishes.MAX_QUANTIZATIONS), "Only these."
        ),
        "preferred_min_throughput": _preferred(wishes.MAX_TPS, "Tokens a second."),
        "preferred_max_latency": _preferred(wishes.MAX_LATENCY_S, "Seconds to the first token."),
        "cold": optional(one_of(*wishes.COLD), "Whether a provider may have to load the model first."),
    },
    (),
)
MODEL = said(_MODEL_NAME, "A model of GET /v1/models, or auto, cheapest, fastest; :floor and :nitro may follow.")
CHOOSING = {
    "model": optional(_MODEL_NAME, MODEL["description"]),
    "models": optional(items(_MODEL_NAME, most=wishes.MAX_MODELS), "Further models, in order, if the first fails."),
    "route": optional(const("fallback"), "With one model only: any other stands in at the end."),
    "provider": optional(ref("ProviderWishes")),
}
# One of the names must be there; where none needs to be, "auto" is meant.
NAMES_A_MODEL: Schema = {
    "anyOf": [
        {"required": ["model"], "properties": {"model": {"type": "string"}}},
        {"required": ["models"], "properties": {"models": {"type": "array", "minItems": 1}}},
    ]
}
SAMPLING = {
    "temperature": optional(number(0, MAX_TEMPERATURE), "0 always takes the likeliest token."),
    "top_p": optional(number(0, 1)),
    "top_k": optional(integer(range(-1, MAX_TOP_K + 1)), "-1 and 0 are no limit."),
    "min_p": optional(number(0, 1)),
    "top_a": optional(number(0, 1)),
    "frequency_penalty": optional(number(-MAX_PENALTY, MAX_PENALTY)),
    "presence_penalty": optional(number(-MAX_PENALTY, MAX_PENALTY)),
    "repetition_penalty": optional(number(0, MAX_PENALTY), "1 and 0 are none."),
    "repeat_penalty": optional(number(0, MAX_PENALTY), "Another name; both must agree."),
    "logit_bias": optional(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,9}$"},
            "additionalProperties": number(-MAX_BIAS, MAX_BIAS),
            "maxProperties": MAX_BIASED_TOKENS,
        },
        "From token ids of the model to what is added to their logits.",
    ),
    "seed": optional(integer(INT64), "The same seed, model and request give the same answer."),
}
_LIMIT = integer(range(1, MAX_TOKENS + 1))
_STOP = text(MAX_STOP_CHARS, least=1)
LENGTH = {
    "max_tokens": optional(_LIMIT, "The most tokens of one answer."),
    "max_completion_tokens": optional(_LIMIT, "Another name; both must agree."),
    "stop": optional(either(_STOP, items(_STOP, most=MAX_STOPS)), "The answer ends before these."),
}
STREAMING = {
    "stream": optional(BOOLEAN),
    "stream_options": optional(record({"include_usage": optional(BOOLEAN)}, ())),
    "resumable": optional(BOOLEAN, "The stream outlasts its connection: GET /v1/streams/{request_id}."),
}
CHOICES = {"n": optional(integer(range(1, MAX_CHOICES + 1)), "How many answers.")}
LOGPROBS = {
    "logprobs": optional(BOOLEAN),
    "top_logprobs": optional(integer(range(MAX_ALTERNATIVES + 1)), "More than 0 needs ``logprobs``."),
}
MANNER = {
    "reasoning_effort": optional(one_of(*manner.EFFORTS), "``none`` is without thoughts."),
    "chat_template_kwargs": optional(
        record({"enable_thinking": optional(BOOLEAN)}, (), additionalProperties=False), "As vLLM's clients send it."
    ),
    "service_tier": optional(one_of(*manner.TIERS), "``flex`` gives way to others."),
    "share_prefix": optional(BOOLEAN, "Share the cached prompt with others: faster, and a timing tells who shared it."),
}
FITTING = {
    "transforms": optional(items(const("middle-out")), "Whether a conversation that is too long loses its middle."),
    "plugins": said({}, 'Another name: [{"id": "context-compression"}].'),
}
OTHER_NAMES = {
    "format": optional(either(one_of("", "json"), ANY_OBJECT), "``response_format`` as Ollama's clients send it."),
    "options": optional(ANY_OBJECT, "Sampling as Ollama's clients send it: num_predict, repeat_penalty, … ."),
}
# What this version cannot do, and the values that ask for nothing.
REFUSED = {
    "functions": optional(items({}, most=0), "The old form of ``tools``."),
    "function_call": optional(one_of("none", "auto"), "The old form of ``tool_choice``."),
    "modalities": optional(one_of(["text"])),
    "audio": {"type": "null"},
    "prediction": {"type": "null"},
    "web_search_options": {"type": "null"},
}
