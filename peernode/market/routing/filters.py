"""Hard filters: who must not be asked at all, and why. Each has a name, and says what would help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import Demand
from peernode.market.routing.quantizations import matches
from peernode.wire.advert import EMBEDDINGS

# A node that promises to keep nothing of what it is asked says so by this feature.
KEEPS_NOTHING = "keeps_nothing"
# Takes out those whose circuits are open, and those who asked to be left alone for a while.
SHUNNED = "shunned"


@dataclass(frozen=True, slots=True)
class Filter:
    """``keeps`` decides; ``name`` is stable; ``sentence`` and ``remedy`` are for whoever lost the last candidate by it.

    ``param`` is the request's field that asked for it; empty where the network's state is the reason.
    """

    name: str
    keeps: Callable[[Candidate], bool] = field(compare=False)
    sentence: str
    remedy: str = ""
    param: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """One candidate that a filter took out."""

    candidate: Candidate
    filter: Filter

    @property
    def reason(self) -> str:
        """The filter's name; behind it what the candidate itself is shunned for."""
        return f"{self.filter.name}: {self.candidate.shunned}" if self.filter.name == SHUNNED else self.filter.name


def filters_of(demand: Demand) -> Iterator[Filter]:
    """Those that this demand calls for, in the order in which they are named to blame."""
    yield from _model_filters(demand)
    yield from _wish_filters(demand)
    if (budget := demand.budget) is not None:
        yield Filter(
            "credit",
            lambda c: cost_of(c, demand) <= budget,
            "The credit left does not reach for an answer of any provider.",
            "Add credit, or ask for fewer tokens.",
        )
    yield Filter(
        SHUNNED, lambda c: not c.shunned, "Every provider is being avoided at the moment.", "Try again in a while."
    )


def _model_filters(demand: Demand) -> Iterator[Filter]:
    digest, needs = demand.digest, demand.needs
    if digest:
        yield Filter("digest", lambda c: c.card.digest == digest, "Nobody else has exactly this model file.")
    if demand.embeds:
        yield Filter(
            "embeddings",
            lambda c: EMBEDDINGS in c.card.features,
            "The model makes no embeddings.",
            f"Ask a model with the feature {EMBEDDINGS!r}.",
            "model",
        )
        return
    yield Filter(
        "chat",
        lambda c: EMBEDDINGS not in c.card.features,
        "The model makes embeddings and does not chat.",
        "POST /v1/embeddings.",
        "model",
    )
    if needs:
        yield Filter(
            "features",
            lambda c: needs.issubset(c.card.features),
            "The model reads only text.",
            "Leave the images out, or ask a model with the feature 'vision'.",
            "messages",
        )
    if least := demand.least_context:
        yield Filter(
            "context",
            lambda c: c.card.context_length >= least,
            "Prompt and completion do not fit the context of any provider.",
            "Shorten the messages, or ask for fewer tokens.",
            "max_tokens",
        )


def _wish_filters(demand: Demand) -> Iterator[Filter]:
    wishes = demand.wishes
    if ignore := frozenset(wishes.ignore):
        yield Filter(
            "ignore", lambda c: c.peer not in ignore, "Every provider is one to ignore.", "", "provider.ignore"
        )
    if only := frozenset(wishes.only):
        yield Filter("only", lambda c: c.peer in only, "None of the allowed providers is here.", "", "provider.only")
    if not wishes.allow_fallbacks and (order := frozenset(wishes.order)):
        yield Filter(
            "order",
            lambda c: c.peer in order,
            "None of the providers in the order is here, and others are not allowed.",
            "Set provider.allow_fallbacks.",
            "provider.order",
        )
    if wanted := frozenset(name.lower() for name in wishes.quantizations):
        yield Filter(
            "quantizations",
            lambda c: matches(c.card.quantization, wanted),
            "No provider has the model in one of these quantizations.",
            "",
            "provider.quantizations",
        )
    if wishes.deny_data_collection:
        yield Filter(
            "data_collection",
            lambda c: KEEPS_NOTHING in c.card.features,
            "No provider promises to keep nothing of what it is asked.",
            "Allow data collection.",
            "provider.data_collection",
        )
    yield from _price_filters(demand)
    if wishes.require_parameters and (parameters := demand.parameters):
        yield Filter(
            "require_parameters",
            lambda c: parameters.issubset(c.card.features),
            "No provider supports every parameter of the request.",
            "Leave provider.require_parameters out.",
            "provider.require_parameters",
        )


def _price_filters(demand: Demand) -> Iterator[Filter]:
    prompt, completion = demand.wishes.max_price_prompt, demand.wishes.max_price_completion
    if prompt is not None:
        yield Filter(
            "max_price.prompt",
            lambda c: c.card.price_prompt <= prompt,
            "Every provider asks more for the prompt.",
            "",
            "provider.max_price",
        )
    if completion is not None:
        yield Filter(
            "max_price.completion",
            lambda c: c.card.price_completion <= completion,
            "Every provider asks more for the completion.",
            "",
            "provider.max_price",
        )


def cost_of(candidate: Candidate, demand: Demand) -> int:
    """What the answer would probably cost there, in micro-credits, rounded up."""
    card = candidate.card
    cached = min(candidate.hit_tokens, demand.prompt_tokens)
    total = (
        (demand.prompt_tokens - cached) * card.price_prompt
        + cached * card.price_cached
        + demand.completion_tokens * card.price_completion
    )
    return -(-total // 1_000_000)


def sift(candidates: Sequence[Candidate], demand: Demand) -> tuple[Sequence[Candidate], list[Excluded]]:
    """(those left, those taken out and by what). When none is left, the last entry tells which filter took the last."""
    excluded: list[Excluded] = []
    for each in filters_of(demand):
        keeps = each.keeps
        kept = [candidate for candidate in candidates if keeps(candidate)]
        if len(kept) != len(candidates):
            excluded += [Excluded(candidate, each) for candidate in candidates if not keeps(candidate)]
            candidates = kept
        if not kept:
            break
    return candidates, excluded
