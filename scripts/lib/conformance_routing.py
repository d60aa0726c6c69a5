"""Rows 38 to 53: how a provider is chosen, and what is heard while one is waited for."""

from __future__ import annotations

from conformance_asking import ROUTER, Asker, Rows

ROWS = Rows()


@ROWS.row(38, "cheapest, fastest, auto", "each answers, also 4ever/auto and no model at all")
def _(it: Asker) -> None:
    for name in ("cheapest", "fastest", "auto"):
        assert it.chat(model=name)["model"] == it.model
    for name in ("4ever/auto", "openrouter/auto", None):
        assert it.chat(ROUTER, model=name)["model"] == it.model


@ROWS.row(39, "The model that really answered is named", "asked for NAME:floor")
def _(it: Asker) -> None:
    assert it.chat(model=f"{it.model}:floor")["model"] == it.model


@ROWS.row(40, "models[] to fall back to", "the first is not there")
def _(it: Asker) -> None:
    assert it.chat(ROUTER, model="nobody/has-this", models=[it.model], route="fallback")["model"] == it.model


def provider_of(it: Asker, **wishes: object) -> str:
    return it.chat(ROUTER, provider=wishes)["provider"]


@ROWS.row(41, "provider.order, allow_fallbacks", "each provider first; nobody else where that is said")
def _(it: Asker) -> None:
    for node in it.providers:
        assert provider_of(it, order=[node.peer_id]) == node.peer_id
    it.refused(503, ROUTER, provider={"order": ["nobody"], "allow_fallbacks": False})


@ROWS.row(42, "provider.only, ignore", "each provider alone")
def _(it: Asker) -> None:
    first, second = (node.peer_id for node in it.providers)
    assert provider_of(it, only=[first]) == provider_of(it, ignore=[second]) == first


@ROWS.row(43, "provider.sort", "price, throughput, latency answer; another is refused")
def _(it: Asker) -> None:
    for sort in ("price", "throughput", "latency"):
        assert provider_of(it, sort=sort)
    it.refused(400, ROUTER, provider={"sort": "beauty"})


@ROWS.row(44, "provider.max_price", "0 leaves nobody who takes anything")
def _(it: Asker) -> str:
    paid = it.chat()["usage"]["cost"] > 0
    answer = it.send(ROUTER, it.body(provider={"max_price": {"prompt": 0, "completion": 0}}))
    assert (answer.status_code == 503) == paid
    return "" if paid else "these providers are free"


@ROWS.row(45, "provider.quantizations", "the one that is there answers, another does not")
def _(it: Asker) -> str:
    (quantization,) = it.get(f"/v1/models/{it.model}")["quantizations"]
    assert provider_of(it, quantizations=[quantization])
    it.refused(503, ROUTER, provider={"quantizations": ["fp32"]})
    return quantization


@ROWS.row(46, "provider.require_parameters", "with tools, which both have")
def _(it: Asker) -> None:
    assert provider_of(it, require_parameters=True)


@ROWS.row(47, "provider.data_collection, zdr", "allow answers, another word is refused")
def _(it: Asker) -> None:
    assert provider_of(it, data_collection="allow")
    it.refused(400, ROUTER, provider={"data_collection": "perhaps"})


@ROWS.row(48, "transforms: middle-out, and its default", "fits where it may, refused where it may not")
def _(it: Asker) -> str:
    roles = ("user", "assistant")
    turns = [{"role": role, "content": f"{at} " + "blah " * 60} for at in range(40) for role in roles]
    asked = {"messages": [*turns, turns[0]], "max_tokens": 1500, "stop": ["a", "e", "i", "o"]}
    fitted = it.chat(ROUTER, **asked)["usage"]["prompt_tokens"]
    error = it.refused(400, ROUTER, **asked, transforms=[])
    assert error["metadata"]["reason"] == "context_length_exceeded"
    it.refused(400, **asked)
    return f"{fitted} tokens were left"


ROWS.not_yet(49, "Bids of nodes", "none: nodes advertise prices, and say whether they take a job")
ROWS.not_yet(50, "Sessions stay where their prompts were computed", "scripts/bench affinity measures it")
ROWS.not_yet(51, "Another node when one fails", "scripts/chaos failover kills providers in the middle")
ROWS.not_yet(52, "A failure in the middle is an event", "tests/edge/test_streams.py; here a provider has to be killed")
ROWS.not_yet(53, "Comments while an answer is waited for", "tests/edge; here the providers have to be busy")
