"""How a request wants its tokens chosen: every parameter within its range, under all the names that clients use."""

from __future__ import annotations

from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.sampling import MAX_BIAS, MAX_BIASED_TOKENS, MAX_PENALTY, MAX_TEMPERATURE, MAX_TOP_K, Sampling
from peernode.edge.openai import fields
from peernode.wire.logprobs import MAX_ALTERNATIVES

MAX_TOKEN_ID = (1 << 31) - 1


def read_sampling(body: dict[str, Any]) -> Sampling:
    """Raises BadRequest that names the parameter at fault. Null is what it is without the parameter."""
    return Sampling.of(
        temperature=_number(body, "temperature", 1.0, most=MAX_TEMPERATURE),
        top_p=_number(body, "top_p", 1.0, most=1),
        top_k=_top_k(body.get("top_k")),
        min_p=_number(body, "min_p", 0.0, most=1),
        top_a=_number(body, "top_a", 0.0, most=1),
        frequency_penalty=_number(body, "frequency_penalty", 0.0, least=-MAX_PENALTY, most=MAX_PENALTY),
        presence_penalty=_number(body, "presence_penalty", 0.0, least=-MAX_PENALTY, most=MAX_PENALTY),
        repetition_penalty=_repetition_penalty(body),
        logit_bias=_logit_bias(body.get("logit_bias")),
    )


def read_top_logprobs(body: dict[str, Any]) -> int | None:
    """None when no log-probabilities are wanted; ``top_logprobs`` goes only with ``logprobs``, as OpenAI has it."""
    wanted = fields.boolean(body.get("logprobs"), "logprobs")
    top = body.get("top_logprobs")
    count = 0 if top is None else fields.integer(top, "top_logprobs", within=range(MAX_ALTERNATIVES + 1))
    if wanted:
        return count
    if count:
        raise BadRequest(
            "top_logprobs needs logprobs to be true.", param="top_logprobs", remedy='Send "logprobs": true with it.'
        )
    return None


def _number(body: dict[str, Any], param: str, default: float, *, least: float = 0, most: float) -> float:
    value = body.get(param)
    return default if value is None else fields.number(value, param, least=least, most=most)


def _top_k(value: object) -> int:
    """-1 is what llama.cpp's and vLLM's clients send for no limit, 0 what OpenRouter's do."""
    return 0 if value is None else max(0, fields.integer(value, "top_k", within=range(-1, MAX_TOP_K + 1)))


def _repetition_penalty(body: dict[str, Any]) -> float:
    """``repetition_penalty``, or ``repeat_penalty`` as Ollama's and llama.cpp's clients call it. 0 is none, like 1."""
    found = {
        param: _number(body, param, 1.0, most=MAX_PENALTY) or 1.0
        for param in ("repetition_penalty", "repeat_penalty")
        if body.get(param) is not None
    }
    if len(set(found.values())) > 1:
        raise BadRequest(
            "repetition_penalty and repeat_penalty differ.", param="repetition_penalty", remedy="Send one of them."
        )
    return next(iter(found.values()), 1.0)


def _logit_bias(value: object) -> dict[int, float]:
    """A map from token ids, which JSON can only hold as strings, to biases."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest("logit_bias must be an object.", param="logit_bias", cause=f"found {fields.kind_of(value)}")
    if len(value) > MAX_BIASED_TOKENS:
        raise BadRequest(f"logit_bias has more than {MAX_BIASED_TOKENS} entries.", param="logit_bias")
    biases = {
        _token_id(key): fields.number(bias, "logit_bias", least=-MAX_BIAS, most=MAX_BIAS) for key, bias in value.items()
    }
    if len(biases) != len(value):
        raise BadRequest("logit_bias names a token twice.", param="logit_bias")
    return biases


def _token_id(key: str) -> int:
    # The length comes first: int() of a very long text is slow, or refused.
    if not (len(key) <= 10 and key.isascii() and key.isdigit() and int(key) <= MAX_TOKEN_ID):
        raise BadRequest("logit_bias has a key that is not a token id.", param="logit_bias", cause=ascii(key[:20]))
    return int(key)
