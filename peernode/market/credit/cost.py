"""The most that a job may cost while so many tokens of it are handed on, known before its prompt is counted. Pure.

Not the most that it may cost in all: a job is paid as it goes, a window of tokens at a time, so no more than this is at
stake at any moment.
"""

from __future__ import annotations

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.job_request import JobRequest
from peernode.market.billing import longest_answer
from peernode.wire import canonical
from peernode.wire.prices import Prices

# What a template may say around the words of a request: roles, preambles for tools, a system prompt of its own.
TEMPLATE_TOKENS = 1024


def most_prompt_tokens(request: JobRequest, context_length: int, *, earlier: int) -> int:
    """A tokenizer makes at most one token of a byte; pictures may take the whole context. ``earlier`` tokens go on."""
    if isinstance(request, EmbeddingRequest):
        context_length *= len(request.inputs)
    elif any(message.images for message in request.messages):
        return context_length
    said = len(canonical.encode(request.to_fields()))
    return min(said + TEMPLATE_TOKENS + earlier, context_length)


def most_completion_tokens(request: JobRequest, context_length: int) -> int:
    """What was asked for, or a full context; embeddings complete nothing."""
    if isinstance(request, EmbeddingRequest):
        return 0
    return longest_answer(request, context_length)


def cost(prices: Prices, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int | None = None) -> int:
    """Micro-credits; without ``cached_tokens`` for the dearer of computed and cached. A prompt alone has its price."""
    if cached_tokens is None:
        cached_tokens = prompt_tokens if prices.cached > prices.prompt else 0
    return prices.amount(
        prompt_tokens=prompt_tokens,
        cached_tokens=min(cached_tokens, prompt_tokens),
        completion_tokens=completion_tokens,
        embedded=True,
    )
