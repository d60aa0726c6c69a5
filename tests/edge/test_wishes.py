"""``provider``, ``models`` and ``route``: what they mean, what is refused by name, and what reaches the job."""

from __future__ import annotations

import json

import pytest

from peernode.chat.errors import Attempted, BadRequest, NoProvider, ProviderFailed
from peernode.chat.events import Failed, Started, Tokens
from peernode.chat.route import Considered, LeftOut, Route, Terms
from peernode.chat.wishes import NO_WISHES, Wishes
from peernode.edge.openai.chat_request import read_chat_call
from peernode.edge.openai.embedding_call import read_embedding_call
from peernode.edge.peer_names import with_whole_ids
from peernode.edge.route_header import MAX_BYTES, route_header
from tests.edge.conftest import BODY, PROVIDER

PEERS = ("12D3KooWalpha", "12D3KooWbeta", "12D3KooWalso")
TERMS = Terms(1.23456, 0.5, 0.1, 0.2, 0.3, 0.7, 0.0, 1.0, 64, 12, healthy=True)
CONSIDERED = Considered("12D3KooWa", "m", TERMS, 1.5)
ROUTE = Route((CONSIDERED,), (LeftOut("12D3KooWb", "m", "max_price.prompt"),))


def wishes(provider: object, **more: object) -> Wishes:
    return read_chat_call(json.dumps({**BODY, "provider": provider, **more}).encode()).wishes


def refused(provider: object = None, **more: object) -> str | None:
    with pytest.raises(BadRequest) as found:
        wishes(provider, **more)
    return found.value.param


def test_without_a_word_there_are_no_wishes():
    assert (
        wishes(None) == wishes({}) == wishes({"zebra": 1, "order": None, "sort": None, "max_price": None}) == NO_WISHES
    )


def test_every_key_is_read():
    provider = {
        "order": ["a", "b"],
        "only": ["c"],
        "ignore": ["d"],
        "allow_fallbacks": False,
        "require_parameters": True,
        "data_collection": "deny",
        "sort": "throughput",
        "max_price": {"prompt": 0.1, "completion": "0.4", "image": 5},
        "quantizations": ["int4", "Q8_0"],
        "preferred_min_throughput": 30,
        "preferred_max_latency": 0.5,
    }
    assert wishes(provider) == Wishes(
        (), ("a", "b"), ("c",), ("d",), False, True, True, "throughput", 100_000, 400_000, ("int4", "Q8_0"), 30.0, 0.5
    )


@pytest.mark.parametrize(
    ("provider", "meant"),
    [
        ({"sort": {"by": "latency", "partition": None}}, Wishes(sort="latency")),
        ({"sort": {}}, NO_WISHES),
        ({"max_price": {"prompt": 0}}, Wishes(max_price_prompt=0)),
        ({"max_price": {"completion": 1e-7}}, Wishes(max_price_completion=0)),
        ({"max_price": {"completion": "2"}}, Wishes(max_price_completion=2_000_000)),
        ({"preferred_min_throughput": {"p90": 5, "p75": 7}}, Wishes(least_tps=7.0)),
        ({"preferred_max_latency": {}}, NO_WISHES),
        ({"data_collection": "allow", "zdr": True}, Wishes(deny_data_collection=True)),
        ({"allow_fallbacks": None}, NO_WISHES),
        ({"cold": "avoid"}, Wishes(cold="avoid")),
        ({"cold": "wait"}, Wishes(cold="wait")),
        ({"cold": None}, NO_WISHES),
    ],
)
def test_other_ways_to_say_it(provider, meant):
    assert wishes(provider) == meant


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ("fast", "provider"),
        ({"order": "a"}, "provider.order"),
        ({"only": ["a", 1]}, "provider.only[1]"),
        ({"ignore": ["a"] * 65}, "provider.ignore"),
        ({"ignore": ["a" * 129]}, "provider.ignore[0]"),
        ({"allow_fallbacks": 1}, "provider.allow_fallbacks"),
        ({"require_parameters": "yes"}, "provider.require_parameters"),
        ({"data_collection": True}, "provider.data_collection"),
        ({"zdr": "no"}, "provider.zdr"),
        ({"sort": "time"}, "provider.sort"),
        ({"cold": "never"}, "provider.cold"),
        ({"cold": []}, "provider.cold"),
        ({"sort": ["price"]}, "provider.sort"),
        ({"sort": {"by": "beauty"}}, "provider.sort.by"),
        ({"max_price": 1}, "provider.max_price"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": True}}, "provider.max_price.prompt"),
        ({"max_price": {"completion": "1e9"}}, "provider.max_price.completion"),
        ({"max_price": {"completion": "9999999999"}}, "provider.max_price.completion"),
        ({"quantizations": "int4"}, "provider.quantizations"),
        ({"quantizations": ["q"] * 33}, "provider.quantizations"),
        ({"preferred_min_throughput": -1}, "provider.preferred_min_throughput"),
        ({"preferred_max_latency": {"p50": "x"}}, "provider.preferred_max_latency.p50"),
    ],
)
def test_the_key_at_fault_is_named(provider, param):
    assert refused(provider) == param


def test_models_stand_in_for_one_another_in_order():
    def models(**body: object) -> tuple[str, ...]:
        call = read_chat_call(json.dumps({**BODY, **body}).encode())
        return (call.model, *call.wishes.models)

    assert models(model="a", models=["b", "a", "c", "b"]) == ("a", "b", "c")
    assert models(model=None, models=["b", "c"]) == ("b", "c")
    assert models(model="a", models=["b"], route="fallback") == ("a", "b")
    assert models(model="a", route="fallback") == ("a", "auto")
    assert models(model="a", models=[], route=None) == ("a",)
    assert refused(model=None, models=[]) == "model"
    assert refused(models="b") == "models"
    assert refused(models=["b"] * 9) == "models"
    assert refused(models=["b", ""]) == "models[1]"
    assert refused(route="sideways") == "route"


def test_embeddings_have_the_same_wishes():
    body = {"model": "e", "models": ["f"], "input": "text", "provider": {"sort": "price"}}
    call = read_embedding_call(json.dumps(body).encode())
    assert (call.model, call.wishes) == ("e", Wishes(("f",), sort="price"))


def test_peers_are_called_by_what_only_they_begin_or_end_with():
    named = with_whole_ids(Wishes(order=("12D3KooWb", "lpha"), only=("nobody",), ignore=(PEERS[2],)), lambda: PEERS)
    assert (named.order, named.only, named.ignore) == ((PEERS[1], PEERS[0]), ("nobody",), (PEERS[2],))
    with pytest.raises(BadRequest) as found:
        with_whole_ids(Wishes(ignore=("x", "12D3KooWal")), lambda: PEERS)
    assert found.value.param == "provider.ignore[1]"
    assert with_whole_ids(NO_WISHES, lambda: pytest.fail("nobody needs to be known")) is NO_WISHES


async def test_wishes_reach_the_job_and_the_route_comes_back_only_where_it_is_asked_for(edge):
    edge.runner.steps[0] = Started(PROVIDER.peer_id, "org/other", route=ROUTE)
    answer = await edge.chat(models=["org/other"], provider={"sort": "price"})
    assert edge.runner.jobs[0].wishes == Wishes(("org/other",), sort="price")
    assert not edge.runner.jobs[0].explain
    assert answer.json()["model"] == "org/other"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_may_ask_how_its_provider_was_chosen(edge, stream):
    edge.runner.steps[0] = Started(PROVIDER.peer_id, "org/tiny", route=ROUTE)
    answer = await edge.client.post(
        "/v1/chat/completions", json={**BODY, "stream": stream}, headers={"X-Peernode-Route": "1"}
    )
    assert edge.runner.jobs[0].explain
    told = json.loads(answer.headers["x-peernode-route"])
    assert told["provider"] == PROVIDER.peer_id
    assert told["candidates"] == [
        {
            "provider": "12D3KooWa",
            "model": "m",
            "expected": 1.23456,
            "toll": 0.26544,
            "load": 0.0,
            "first_token": 0.5,
            "queue": 0.2,
            "prefill": 0.3,
            "decode": 0.7,
            "hits": 64,
            "price": 12,
        }
    ]
    assert told["excluded"] == [{"provider": "12D3KooWb", "model": "m", "reason": "max_price.prompt"}]


async def test_an_error_tells_who_was_asked_and_which_filter_took_the_last(edge):
    error = ProviderFailed("All failed.")
    error.attempts = (Attempted("12D3KooWa", "m", "engine_crashed", 0.25),)
    edge.runner.play(end=[Failed(error)])
    answer = await edge.chat()
    assert answer.status_code == 502
    attempts = [{"provider": "12D3KooWa", "model": "m", "code": "engine_crashed", "seconds": 0.25}]
    assert answer.json()["error"]["metadata"]["attempts"] == attempts
    assert "x-peernode-route" not in answer.headers

    edge.runner.steps = [edge.runner.steps[0], Tokens("Hel", (0,)), Failed(error)]
    streamed = await edge.chat(stream=True)
    last = json.loads(streamed.text.split("data: ")[-2])
    assert last["error"]["metadata"]["attempts"] == attempts

    nobody = NoProvider("Nobody is left.")
    nobody.filter, nobody.param, nobody.route = "only", "provider.only", ROUTE
    edge.runner.play(end=[Failed(nobody)])
    answer = await edge.chat()
    assert (answer.status_code, answer.json()["error"]["param"]) == (503, "provider.only")
    assert answer.json()["error"]["metadata"]["filter"] == "only"
    assert json.loads(answer.headers["x-peernode-route"])["excluded"][0]["reason"] == "max_price.prompt"


def test_a_route_header_is_bounded_printable_ascii():
    many = Route((CONSIDERED,) * 200, (LeftOut("12D3KooWb", "mod\u00e9l\x7f\r\n" * 20, "only"),) * 300)
    value = route_header(many, "12D3KooWa")
    assert len(value) <= MAX_BYTES
    assert all(32 <= byte < 127 for byte in value)
    told = json.loads(value)
    assert len(told["candidates"]) > 10
    assert len(told["candidates"]) + len(told["excluded"]) + told["more"] == 500
