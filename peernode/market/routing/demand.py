"""What a job asks of whoever runs it, worked out once before candidates are compared."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.job_request import JobRequest
from peernode.chat.output_format import FREE_TEXT
from peernode.chat.wishes import NO_WISHES, Wishes
from peernode.wire.advert import EMBEDDINGS

VISION = "vision"
TOOLS = "tools"
STRUCTURED = "structured"
LOGPROBS = "logprobs"
# Without a limit of its own an answer is expected to have this length.
USUAL_COMPLETION = 256
# Rough, for comparing nodes only: a token of English is four characters, a message of a template some tokens more.
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 6
TOKENS_PER_IMAGE = 256


@dataclass(frozen=True, slots=True)
class Demand:
    """``needs`` are features without which the answer would be wrong, ``parameters`` those that only shape it.

    ``least_context``: tokens that must fit for certain; 0 where too little is known to exclude anybody. ``digest``
    binds the choice to one GGUF (a continuation); empty for any. ``budget``: the most that may be charged, in
    micro-credits, or None.
    """

    prompt_tokens: int
    completion_tokens: int
    needs: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    embeds: bool = False
    least_context: int = 0
    digest: bytes = b""
    budget: int | None = None
    wishes: Wishes = NO_WISHES


def demand_of(
    request: JobRequest, wishes: Wishes = NO_WISHES, *, digest: bytes = b"", budget: int | None = None
) -> Demand:
    """The demand of a request."""
    if isinstance(request, EmbeddingRequest):
        characters = sum(len(text) for text in request.inputs)
        return Demand(
            characters // CHARACTERS_PER_TOKEN,
            0,
            needs=frozenset((EMBEDDINGS,)),
            embeds=True,
            digest=digest,
            budget=budget,
            wishes=wishes,
        )
    images = sum(len(message.images) for message in request.messages)
    characters = sum(len(message.content) for message in request.messages)
    prompt = characters // CHARACTERS_PER_TOKEN + TOKENS_PER_MESSAGE * len(request.messages) + TOKENS_PER_IMAGE * images
    parameters = set()
    if request.calls_tools:
        parameters.add(TOOLS)
    if request.format != FREE_TEXT:
        parameters.add(STRUCTURED)
    if request.top_logprobs is not None:
        parameters.add(LOGPROBS)
    return Demand(
        prompt,
        min(request.max_tokens or USUAL_COMPLETION, USUAL_COMPLETION),
        needs=frozenset((VISION,)) if images else frozenset(),
        parameters=frozenset(parameters),
        least_context=request.max_tokens or 0,
        digest=digest,
        budget=budget,
        wishes=wishes,
    )
