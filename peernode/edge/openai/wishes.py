"""How a client wants its provider chosen: ``provider``, ``models`` and ``route``, as OpenRouter's clients send them.

Keys that nobody here has heard of are ignored. Prices come in credits per million tokens, as our model objects have
them per token, and leave in micro-credits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.wishes import AVOID, LATENCY, NO_WISHES, PRICE, THROUGHPUT, WAIT, Wishes
from peernode.edge.openai import fields
from peernode.market.routing.model_names import AUTO

MAX_MODEL_NAME = 256
MAX_MODELS = 8
MAX_PEERS = 64
MAX_PEER_NAME = 128
MAX_QUANTIZATIONS = 32
MAX_QUANTIZATION_NAME = 64
MAX_CREDITS = 10**9
MAX_TPS = 1e6
MAX_LATENCY_S = 86_400.0
MICRO = 1_000_000
SORTS = (PRICE, THROUGHPUT, LATENCY)
COLD = (WAIT, AVOID)
# Less than MAX_CREDITS.
PRICE_TEXT = re.compile(r"[0-9]{1,9}(?:[.][0-9]{1,12})?")
# What OpenRouter's clients may say instead of one number; ours are averages, to which the median is closest.
PERCENTILES = ("p50", "p75", "p90", "p99")


def read_models(body: Mapping[str, Any]) -> tuple[str, ...]:
    """``model``, then ``models``, none of them twice; with ``route: "fallback"`` alone, any model stands in at the end.

    Raises BadRequest, also where no model is named at all.
    """
    route = body.get("route")
    if route is not None and route != "fallback":
        raise BadRequest('route can only be "fallback".', param="route")
    names = [] if body.get("model") is None else [fields.text(body["model"], "model", most=MAX_MODEL_NAME)]
    names += _texts(body.get("models"), "models", most=MAX_MODELS, longest=MAX_MODEL_NAME)
    if not names:
        raise BadRequest("model is missing.", param="model", remedy="GET /v1/models lists what there is.")
    if route is not None and len(names) == 1:
        names.append(AUTO)
    return tuple(dict.fromkeys(names))


def read_wishes(provider: object, models: tuple[str, ...] = ()) -> Wishes:
    """The ``provider`` object, and ``models`` to fall back to. Raises BadRequest that names the key at fault."""
    if provider is None:
        return Wishes(models) if models else NO_WISHES
    if not isinstance(provider, dict):
        raise BadRequest("provider must be an object.", param="provider", cause=f"found {fields.kind_of(provider)}")
    prices = _object(provider.get("max_price"), "provider.max_price")
    fallbacks = provider.get("allow_fallbacks")
    return Wishes(
        models=models,
        order=_peers(provider, "order"),
        only=_peers(provider, "only"),
        ignore=_peers(provider, "ignore"),
        allow_fallbacks=fallbacks is None or fields.boolean(fallbacks, "provider.allow_fallbacks"),
        require_parameters=fields.boolean(provider.get("require_parameters"), "provider.require_parameters"),
        deny_data_collection=_denies(provider.get("data_collection"))
        | fields.boolean(provider.get("zdr"), "provider.zdr"),
        sort=_sort(provider.get("sort")),
        max_price_prompt=_price(prices.get("prompt"), "provider.max_price.prompt"),
        max_price_completion=_price(prices.get("completion"), "provider.max_price.completion"),
        quantizations=_texts(
            provider.get("quantizations"),
            "provider.quantizations",
            most=MAX_QUANTIZATIONS,
            longest=MAX_QUANTIZATION_NAME,
        ),
        least_tps=_preferred(provider, "preferred_min_throughput", most=MAX_TPS),
        most_first_token_s=_preferred(provider, "preferred_max_latency", most=MAX_LATENCY_S),
        cold=_cold(provider.get("cold")),
    )


def _peers(provider: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return _texts(provider.get(key), f"provider.{key}", most=MAX_PEERS, longest=MAX_PEER_NAME)


def _texts(value: object, param: str, *, most: int, longest: int) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest(f"{param} must be an array of strings.", param=param, cause=f"found {fields.kind_of(value)}")
    if len(value) > most:
        raise BadRequest(f"{param} has more than {most} entries.", param=param)
    return tuple(fields.text(entry, f"{param}[{at}]", most=longest) for at, entry in enumerate(value))


def _object(value: object, param: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {fields.kind_of(value)}")
    return value


def _denies(value: object) -> bool:
    if value is not None and value not in ("allow", "deny"):
        raise BadRequest('provider.data_collection must be "allow" or "deny".', param="provider.data_collection")
    return value == "deny"


def _cold(value: object) -> str:
    """Ours, not OpenRouter's."""
    if value is None:
        return ""
    if value not in COLD:
        raise BadRequest(f'provider.cold must be "{WAIT}" or "{AVOID}".', param="provider.cold")
    return str(value)


def _sort(value: object) -> str:
    """The word, or the newer object that has it under ``by``."""
    param = "provider.sort"
    if isinstance(value, dict):
        value, param = value.get("by"), "provider.sort.by"
    if value is None:
        return ""
    if not isinstance(value, str) or value not in SORTS:
        raise BadRequest(f"{param} must be one of {', '.join(SORTS)}.", param=param)
    return value


def _price(value: object, param: str) -> int | None:
    """Credits per million tokens, a number or its decimal text, as micro-credits per million tokens, rounded down."""
    if value is None:
        return None
    if isinstance(value, str):
        if not PRICE_TEXT.fullmatch(value):
            raise BadRequest(f"{param} must be a number between 0 and {MAX_CREDITS}.", param=param)
        return int(Decimal(value) * MICRO)
    fields.number(value, param, least=0, most=MAX_CREDITS)
    return int(Decimal(str(value)) * MICRO)


def _preferred(provider: Mapping[str, Any], key: str, *, most: float) -> float:
    """A number, or one for each percentile, of which the first counts; 0 where there is none."""
    value, param = provider.get(key), f"provider.{key}"
    if not isinstance(value, dict):
        return 0.0 if value is None else fields.number(value, param, least=0, most=most)
    found = [
        fields.number(value[name], f"{param}.{name}", least=0, most=most)
        for name in PERCENTILES
        if value.get(name) is not None
    ]
    return found[0] if found else 0.0
