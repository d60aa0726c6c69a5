"""Rows 38 to 50: how a provider is chosen. The two differ in what they ask, can do and promise for ``tiny``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from operator import itemgetter
from typing import Any

import httpx
from conformance_asking import CHAT, ENDLESS, ROUTER, SEES, TINY, Asker, Rows
from conformance_network import CHEAP, DEAR
from conformance_request import TOOL
from conformance_strain import busy, wait_well

ROWS = Rows()
MICRO = 1_000_000


def ids(it: Asker) -> tuple[str, str]:
    """The cheap provider, and the fast one."""
    cheap, fast = it.providers
    return cheap.peer_id, fast.peer_id


@ROWS.row(38, "cheapest, fastest, auto", "by price, by time, by both; also 4ever/auto and no model at all")
def _(it: Asker) -> str:
    cheap, _ = ids(it)
    by_price = it.considered(model="cheapest")
    assert (by_price[0]["model"], by_price[0]["provider"]) == (TINY, cheap)
    assert by_price == sorted(by_price, key=itemgetter("price"))
    by_time = it.considered(model="fastest", max_tokens=64)
    # Among those that are about as fast, chance decides.
    times = [each["expected"] + each["toll"] for each in by_time]
    assert times[0] <= min(times) * 1.5 + 0.1
    for name in ("auto", f"{it.model}:nitro"):
        assert len({each["provider"] for each in it.considered(model=name)}) == len(it.providers)
    for name in ("4ever/auto", "openrouter/auto", None):
        assert it.chat(ROUTER, model=name)["model"] in {it.model, TINY, SEES}
    return f"fastest is {by_time[0]['model']}"


@ROWS.row(39, "The model that really answered is named", "asked for cheapest, and for NAME:floor; whole and streamed")
def _(it: Asker) -> None:
    assert it.chat(model="cheapest")["model"] == it.chunks(model="cheapest")[0]["model"] == TINY
    assert it.send("/api/chat", it.body(model="cheapest")).json()["model"] == TINY
    assert it.chat(model=f"{it.model}:floor")["model"] == it.model


@ROWS.row(40, "models[] to fall back to", "the first is not there, or nobody may answer with it")
def _(it: Asker) -> None:
    assert it.chat(ROUTER, model="nobody/has-this", models=[TINY], route="fallback")["model"] == TINY
    assert it.chat(ROUTER, model=None, models=["nobody/has-this", it.model])["model"] == it.model
    unloved = {"quantizations": ["fp32"]}
    assert it.chat(ROUTER, model=it.model, models=[TINY], provider=unloved)["model"] == TINY
    assert it.chat(ROUTER, model=it.model, models=[TINY])["model"] == it.model
    it.refused(404, ROUTER, model="nobody/has-this", models=["nor/this"])


@ROWS.row(41, "provider.order, allow_fallbacks", "each provider first; nobody else where that is said")
def _(it: Asker) -> None:
    for peer in ids(it):
        assert it.tiny({"order": [peer]}) == it.tiny({"order": ["nobody", peer]}) == peer
    assert it.tiny({"order": ["nobody"]}) in ids(it)
    error = it.refused(503, ROUTER, provider={"order": ["nobody"], "allow_fallbacks": False})
    assert error["metadata"]["filter"] == "order"


@ROWS.row(42, "provider.only, ignore", "each provider alone; nobody is left where all are ignored")
def _(it: Asker) -> None:
    first, second = ids(it)
    assert it.tiny({"only": [first]}) == it.tiny({"ignore": [second]}) == first
    assert it.tiny({"only": [second]}) == it.tiny({"ignore": [first]}) == second
    assert it.refused(503, ROUTER, provider={"ignore": [first, second]})["metadata"]["filter"] == "ignore"


@ROWS.row(43, "provider.sort", "price, throughput, latency: each puts its own best first; another is refused")
def _(it: Asker) -> None:
    for sort, term in {"price": "price", "throughput": "decode", "latency": "first_token"}.items():
        found = it.considered(model=TINY, provider={"sort": sort}, logit_bias=ENDLESS)
        assert len(found) == len(it.providers)
        assert found == sorted(found, key=itemgetter(term))
    assert it.tiny({"sort": "price"}) == ids(it)[0]
    it.refused(400, ROUTER, provider={"sort": "beauty"})


@ROWS.row(44, "provider.max_price", "who asks more is not asked, wherever it stands in the order; 0 leaves nobody")
def _(it: Asker) -> None:
    cheap, fast = ids(it)
    order = [fast, cheap]
    for part in ("prompt", "completion"):
        assert it.tiny({"order": order, "max_price": {part: DEAR / MICRO}}) == fast
        assert it.tiny({"order": order, "max_price": {part: DEAR / MICRO - 0.1}}) == cheap
        error = it.refused(503, ROUTER, model=TINY, provider={"max_price": {part: CHEAP / MICRO / 2}})
        assert error["metadata"]["filter"] == f"max_price.{part}"


@ROWS.row(45, "provider.quantizations", "by class and by name, each has its own; a third has nobody")
def _(it: Asker) -> str:
    cheap, fast = ids(it)
    wanted = {"int4": cheap, "Q4_1": cheap, "fp32": fast, "f32": fast}
    for name, peer in wanted.items():
        assert it.tiny({"order": [fast, cheap], "quantizations": [name]}) == peer
    it.refused(503, ROUTER, model=TINY, provider={"quantizations": ["int8"]})
    return ", ".join(it.get(f"/v1/models/{TINY}")["quantizations"])


def only_fast(it: Asker, wish: dict[str, Any], name: str, **changes: Any) -> None:
    """``wish`` keeps ``changes`` from the cheap provider, which would be first without it."""
    cheap, fast = ids(it)
    assert it.tiny({"order": [cheap]}, **changes) == cheap
    assert it.tiny({"order": [cheap], **wish}, **changes) == fast
    error = it.refused(503, ROUTER, model=TINY, provider={"only": [cheap], **wish}, **changes)
    assert error["metadata"]["filter"] == name


@ROWS.row(46, "provider.require_parameters", "tools go past who does not promise them")
def _(it: Asker) -> None:
    only_fast(it, {"require_parameters": True}, "require_parameters", tools=[TOOL])
    cheap, _ = ids(it)
    assert it.tiny({"order": [cheap], "require_parameters": True}) == cheap


@ROWS.row(47, "provider.data_collection, zdr", "deny goes past who does not promise to keep nothing")
def _(it: Asker) -> None:
    for wish in ({"data_collection": "deny"}, {"zdr": True}):
        only_fast(it, wish, "data_collection")
    assert it.tiny({"order": [ids(it)[0]], "data_collection": "allow"}) == ids(it)[0]
    it.refused(400, ROUTER, provider={"data_collection": "perhaps"})


@ROWS.row(48, "transforms: middle-out, and its default", "fits where it may, and the receipt says so; else refused")
def _(it: Asker) -> str:
    roles = ("user", "assistant")
    turns = [{"role": role, "content": f"{at} " + "blah " * 60} for at in range(20) for role in roles]
    asked = {"messages": [*turns, turns[0]], "max_tokens": 4}
    for path, more in ((ROUTER, {}), (CHAT, {"transforms": ["middle-out"]})):
        answer = it.chat(path, **asked, **more)
        assert it.get(f"/v1/receipts/{answer['request_id']}")["receipt"]["transformed"] is True
    assert it.get(f"/v1/receipts/{it.chat(ROUTER)['request_id']}")["receipt"]["transformed"] is False
    for path, more in ((ROUTER, {"transforms": []}), (CHAT, {})):
        assert it.refused(400, path, **asked, **more)["metadata"]["reason"] == "context_length_exceeded"
    return f"{answer['usage']['prompt_tokens']} tokens were left"


@ROWS.row(49, "Bids of nodes", "signed prices and loads; who is full says so, and is passed over")
def _(it: Asker) -> str:
    cheap, fast = ids(it)
    bids = {node["peer_id"]: node for node in it.get("/v1/nodes")}
    prices = {peer: next(offer["pricing"] for offer in bids[peer]["offers"] if offer["id"] == TINY) for peer in ids(it)}
    assert float(prices[cheap]["completion"]) < float(prices[fast]["completion"])
    assert all(node["max_concurrent_jobs"] >= node["free_slots"] > 0 for node in map(bids.get, ids(it)))
    for peer in ids(it):  # what a node bid is what its signed receipt bills
        answer = it.chat(ROUTER, model=TINY, provider={"only": [peer]}, logit_bias=ENDLESS)
        receipt = it.get(f"/v1/receipts/{answer['request_id']}")
        assert receipt["verified"]["ok"]
        assert receipt["receipt"]["prices"]["completion"] == round(float(prices[peer]["completion"]) * MICRO**2)
    asked = it.body(model=TINY, provider={"only": [cheap]}, logit_bias=ENDLESS)

    def elsewhere() -> None:
        assert it.tiny({"order": [cheap]}) == fast

    with busy(it, 1000):
        crowd(it, lambda: it.send(CHAT, asked), elsewhere)
    wait_well(it, it.providers[0], TINY)
    return f"{prices[cheap]['completion']} and {prices[fast]['completion']} credits a token"


def crowd(it: Asker, ask: Callable[[], httpx.Response], meanwhile: Callable[[], None] = lambda: None) -> None:
    """More than find room in the line of a busy provider: the first that has an answer has a refusal."""
    with ThreadPoolExecutor(5) as pool:
        first = next(as_completed([pool.submit(ask) for _ in range(5)])).result()
        meanwhile()
    assert first.status_code == 503, first.text[:100]
    assert [attempt["code"] for attempt in first.json()["error"]["metadata"]["attempts"]] == ["busy"]
    assert int(first.headers["retry-after"]) >= 1


@ROWS.row(
    50, "Sessions stay where their prompts were computed", "the second turn goes to where the first was, and is cached"
)
def _(it: Asker) -> str:
    cached = []
    for number, node in enumerate(it.providers):
        turns = [{"role": "user", "content": f"Story {number}. " + f"The {number}. hare ran on and on. " * 120}]
        first = it.chat(messages=turns, provider={"order": [node.peer_id]})
        assert first["provider"] == node.peer_id
        turns += [first["choices"][0]["message"], {"role": "user", "content": "And then?"}]
        hits = {each["provider"]: each["hits"] for each in it.considered(messages=turns, max_tokens=1)}
        assert [peer for peer, tokens in hits.items() if tokens] == [node.peer_id]
        second = it.chat(messages=turns)
        assert second["provider"] == node.peer_id
        cached.append(second["usage"]["prompt_tokens_details"]["cached_tokens"])
        assert cached[-1] > first["usage"]["prompt_tokens"] / 2
    return f"{cached} tokens cached"
