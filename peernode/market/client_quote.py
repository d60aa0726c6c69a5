"""The most that a request can cost its client, before anybody is asked; and what a balance can pay for. Pure.

A prompt cannot have more tokens than bytes, but for what a template adds; with the answer it fits the context. That is
far below a full context of prompt for most requests, so that a small balance still reaches. Should a prompt be longer
all the same, the client pays no more than this, and the rest is the operator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.job_request import JobRequest
from peernode.chat.request import ChatRequest
from peernode.chat.wishes import Wishes
from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import demand_of
from peernode.market.routing.filters import filters_of
from peernode.wire import canonical
from peernode.wire.advert import ModelCard

# What a chat template adds by itself, and around each message.
TEMPLATE_TOKENS = 512
MESSAGE_TOKENS = 32
# More than projectors are allowed to make of one image by default.
IMAGE_TOKENS = 2048
# With fewer tokens than this an answer is not worth beginning.
LEAST_COMPLETION = 16
_PER = 10**6


def eligible_cards(candidates: Iterable[Candidate], request: JobRequest, wishes: Wishes) -> list[ModelCard]:
    """The cards of those whom the wishes leave; of all, where they leave nobody (the router will say so)."""
    found = list(candidates)
    rules = [rule for rule in filters_of(demand_of(request, wishes)) if rule.name != "shunned"]
    kept = [candidate.card for candidate in found if all(rule.keeps(candidate) for rule in rules)]
    return kept or [candidate.card for candidate in found]


def quote(cards: Iterable[ModelCard], request: JobRequest) -> int:
    """Micro-credits that the dearest of ``cards`` could ask for the whole request; 0 without cards."""
    sizes = prompt_sizes(request)
    return max((_most(card, request, sizes) for card in set(cards)), default=0)


def limited(cards: Sequence[ModelCard], request: JobRequest, available: int) -> ChatRequest | None:
    """``request`` with a limit of tokens that ``available`` micro-credits pay for with every card.

    None when it has a limit of its own, which is the client's to lower, or when no answer would be worth it.
    """
    if not isinstance(request, ChatRequest) or request.max_tokens is not None or not cards:
        return None
    sizes = prompt_sizes(request)
    most = min(_affordable(card, sizes, available) for card in set(cards))
    return replace(request, max_tokens=most) if most >= LEAST_COMPLETION else None


def prompt_sizes(request: JobRequest) -> list[int]:
    """The most tokens that each prompt of the request has, if the context is long enough: one, or one an input."""
    if isinstance(request, EmbeddingRequest):
        sizes = (len(text.encode()) if isinstance(text, str) else len(text) for text in request.inputs)
        return [size + MESSAGE_TOKENS for size in sizes]
    images = sum(len(message.images) for message in request.messages)
    bare = tuple(replace(message, images=()) if message.images else message for message in request.messages)
    words = len(canonical.encode(replace(request, messages=bare).to_fields()))
    return [words + TEMPLATE_TOKENS + MESSAGE_TOKENS * len(request.messages) + IMAGE_TOKENS * images]


def _most(card: ModelCard, request: JobRequest, sizes: Sequence[int]) -> int:
    prompt, prompt_price = _prompt_tokens(card, sizes), _prompt_price(card)
    if isinstance(request, EmbeddingRequest):
        return -(-prompt * prompt_price // _PER)
    completion = min(request.max_tokens or card.context_length, card.context_length)
    beyond = max(0, prompt + completion - card.context_length)
    total = prompt * prompt_price + completion * card.price_completion
    return -(-(total - beyond * min(prompt_price, card.price_completion)) // _PER)


def _affordable(card: ModelCard, sizes: Sequence[int], available: int) -> int:
    """Tokens of an answer, at most those of a context."""
    left = available * _PER - _prompt_tokens(card, sizes) * _prompt_price(card)
    if left < 0:
        return 0
    return card.context_length if not card.price_completion else min(left // card.price_completion, card.context_length)


def _prompt_tokens(card: ModelCard, sizes: Sequence[int]) -> int:
    return sum(min(size, card.context_length) for size in sizes)


def _prompt_price(card: ModelCard) -> int:
    return max(card.price_prompt, card.price_cached)
