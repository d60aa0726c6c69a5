"""What clients wish of their providers, seen on a network of processes that differ in price, speed, files and promises.

Three providers have a model called ``m``. ``cheap`` is slow (32 times the layers; it calls itself Q4_1) and answers one
at a time; ``fast`` is dear (F32) and keeps nothing; ``plain`` lies between (it calls itself Q8_0), promises no tools,
and gives ``spare`` away for nothing. Where speed decides, the answer's own header says what was expected of whom: so a
busy machine changes who is first, and not whether the test is right.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import sqrt
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodes import NodeProcess

from peernode.market.routing.rank import NEAR_S, NEAR_SHARE, SLOW_S, SLOW_SHARE
from tests.models import write_tiny_model

pytestmark = pytest.mark.real

Q4_1, Q8_0 = 3, 7
# Ends of answers, in both vocabularies: no answer ends before its length.
ENDLESS = {"0": -100, "2": -100}
TOOL = {"type": "function", "function": {"name": "f"}}
# Micro-credits per million tokens; a million of them are one credit per million.
CHEAP, BETWEEN, DEAR = 10**6, 10**8, 10**9


@dataclass
class Market:
    """The edge and its three providers; every question is a new one, so that nobody has its answer in a cache."""

    edge: NodeProcess
    cheap: NodeProcess
    fast: NodeProcess
    plain: NodeProcess
    client: httpx.Client
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def body(self, provider: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        question = f"{next(self.numbers)} is a number. " + "What else is there to say of it? " * 4
        asked = {"model": "m", "messages": [{"role": "user", "content": question}], "max_tokens": 8}
        return {**asked, "logit_bias": ENDLESS, **({"provider": provider} if provider else {}), **more}

    def ask(self, provider: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        return self.client.post(
            "/v1/chat/completions", json=self.body(provider, **more), headers={"X-Peernode-Route": "1"}
        )

    def served(self, provider: dict[str, Any] | None = None, **more: Any) -> tuple[str, str]:
        """(the name of the node that answered, the model that it answered with)."""
        answer = self.ask(provider, **more)
        assert answer.status_code == 200, answer.text
        return self.name(answer.json()["provider"]), answer.json()["model"]

    def by(self, provider: dict[str, Any] | None = None, **more: Any) -> str:
        return self.served(provider, **more)[0]

    def refused(self, provider: dict[str, Any] | None = None, **more: Any) -> tuple[int, str]:
        """(the status, the filter that took out the last candidate)."""
        answer = self.ask(provider, **more)
        return answer.status_code, answer.json()["error"]["metadata"].get("filter", "")

    def name(self, peer_id: str) -> str:
        return next(node.name for node in (self.cheap, self.fast, self.plain) if node.peer_id == peer_id)

    def told(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """What was expected of each candidate, best first, with its node's name; the first has answered."""
        route = json.loads(answer.headers["x-peernode-route"])
        assert route["provider"] == route["candidates"][0]["provider"]
        return [{**each, "node": self.name(each["provider"])} for each in route["candidates"]]

    @contextmanager
    def cheap_busy(self) -> Iterator[None]:
        """With an answer under way in the only slot of ``cheap``."""
        body = self.body({"only": [self.cheap.peer_id]}, max_tokens=1600, stream=True)
        with self.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            assert next(line for line in lines if '"content":' in line and '"content":""' not in line)
            yield
        self.ask_cheap_again()

    def ask_cheap_again(self) -> None:
        """Until it is asked again: who was busy is left alone for as long as it said."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            told = self.told(self.ask({"order": [self.plain.peer_id]}, max_tokens=1))
            if any(each["node"] == "cheap" for each in told):
                return
        raise AssertionError("cheap is not asked again")


def model_table(path: Path, name: str, price: int, *more: str) -> str:
    prices = "\n".join(f"price_{part} = {price}" for part in ("prompt", "cached", "completion"))
    return "\n".join(
        ["[[model]]", f'path = "{path}"', f'id = "{name}"', "context = 2048", "threads = 1", prices, *more, ""]
    )


# These answers cost more than a stranger is trusted with.
GENEROUS = "\n[credit]\nnewcomer = 1_000_000_000\nnewcomers_cap = 1_000_000_000\n"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("market")
    slow = write_tiny_model(folder / "slow.gguf", layers=64, file_type=Q4_1)
    tiny = write_tiny_model(folder / "tiny.gguf", seed=1)
    middle = write_tiny_model(folder / "middle.gguf", seed=2, file_type=Q8_0)
    spare = write_tiny_model(folder / "spare.gguf", seed=3)
    tables = {
        "cheap": "[engine]\nslots = 1\nqueue_limit = 0\n" + model_table(slow, "m", CHEAP),
        "fast": "keeps_nothing = true\n" + model_table(tiny, "m", DEAR),
        "plain": model_table(middle, "m", BETWEEN, 'withhold = ["tools"]') + model_table(spare, "spare", 0),
    }
    config = folder / "edge.toml"
    config.write_text("[routing]\nhedge = false\n")  # else a late first token has somebody asked who was not wished for
    edge = NodeProcess(folder / "edge", "--network", "test", "--config", str(config), name="edge").start()

    def start(name: str) -> NodeProcess:
        config = folder / f"{name}.toml"
        config.write_text(tables[name] + GENEROUS)
        args = ("--network", "test", "--no-http", "--join", edge.address, "--config", str(config))
        return NodeProcess(folder / name, *args, name=name).start()

    with ThreadPoolExecutor(len(tables)) as pool:
        providers = dict(zip(tables, pool.map(start, tables), strict=True))
    try:
        for name, wanted in (("cheap", {"m"}), ("fast", {"m"}), ("plain", {"m", "spare"})):
            peer = providers[name].peer_id
            edge.wait_for(
                "peer_offers",
                where=lambda line, peer=peer, wanted=wanted: line["peer"] == peer and wanted <= set(line["models"]),
            )
        with httpx.Client(base_url=edge.url, timeout=120) as client:
            found = Market(edge, **providers, client=client)
            for node in providers.values():  # so that the edge has seen how fast each of them is
                for _ in range(2):
                    assert found.by({"only": [node.peer_id]}, max_tokens=48) == node.name
            yield found
    finally:
        with ThreadPoolExecutor() as pool:
            codes = list(pool.map(NodeProcess.stop, (edge, *providers.values())))
    assert codes == [0, 0, 0, 0]


def test_only_and_ignore(market: Market) -> None:
    for node in (market.cheap, market.fast, market.plain):
        assert market.by({"only": [node.peer_id, "nobody"]}) == node.name
        assert market.by({"only": [node.peer_id[-12:]]}) == node.name
    assert market.by({"ignore": [market.cheap.peer_id, market.plain.peer_id]}) == "fast"
    assert market.refused({"only": ["nobody"]}) == (503, "only")
    assert market.refused({"ignore": [each.peer_id for each in (market.cheap, market.fast, market.plain)]}) == (
        503,
        "ignore",
    )
    ambiguous = market.ask({"ignore": ["12D3KooW"]})
    assert (ambiguous.status_code, ambiguous.json()["error"]["param"]) == (400, "provider.ignore[0]")


def test_order(market: Market) -> None:
    for node in (market.cheap, market.fast, market.plain):
        assert market.by({"order": [node.peer_id, market.cheap.peer_id]}) == node.name
    assert market.by({"order": ["nobody", market.plain.peer_id]}) == "plain"


def test_allow_fallbacks(market: Market) -> None:
    order = [market.cheap.peer_id]
    assert market.refused({"order": ["nobody"], "allow_fallbacks": False}) == (503, "order")
    assert market.by({"order": order, "allow_fallbacks": False}) == "cheap"
    with market.cheap_busy():
        assert market.by({"order": order}) != "cheap"
        # It said how long it would be; whoever asks after that is told so again.
        refused = market.ask({"order": order, "allow_fallbacks": False})
        why = refused.json()["error"]["metadata"]
        assert refused.status_code == 503
        assert why.get("filter") == "shunned" or [each["code"] for each in why["attempts"]] == ["busy"]
        market.ask_cheap_again()
        answer = market.ask({"order": order, "allow_fallbacks": False})
        market.ask_cheap_again()
        alone = market.ask({"sort": "price", "allow_fallbacks": False})
    for refusal in (answer, alone):
        assert refusal.status_code == 503
        (attempt,) = refusal.json()["error"]["metadata"]["attempts"]
        assert (attempt["provider"], attempt["model"], attempt["code"]) == (market.cheap.peer_id, "m", "busy")


def test_an_answer_that_breaks_off_names_who_was_lost(market: Market, tmp_path: Path) -> None:
    config = tmp_path / "doomed.toml"
    config.write_text(model_table(write_tiny_model(tmp_path / "doomed.gguf", seed=4, layers=64), "doomed", 0))
    args = ("--network", "test", "--no-http", "--join", market.edge.address, "--config", str(config))
    doomed = NodeProcess(tmp_path / "doomed", *args, name="doomed").start()
    try:
        market.edge.wait_for_offer(doomed.peer_id)
        body = market.body(model="doomed", max_tokens=1600, stream=True)
        with market.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            chunks = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {"))
            next(chunk for chunk in chunks if chunk["choices"][0]["delta"].get("content"))
            doomed.kill()
            *_, last = chunks
    finally:
        doomed.kill()
    attempts = last["error"]["metadata"]["attempts"]  # the first, and vain ones to reach it again
    assert {(each["provider"], each["model"]) for each in attempts} == {(doomed.peer_id, "doomed")}
    assert attempts[0]["code"] == "provider_failed"
    assert attempts[0]["seconds"] > 0


def test_require_parameters(market: Market) -> None:
    order = [market.plain.peer_id]
    assert market.by({"order": order}, tools=[TOOL]) == "plain"
    assert market.by({"order": order, "require_parameters": True}) == "plain"
    assert market.by({"order": order, "require_parameters": True}, tools=[TOOL]) != "plain"
    assert market.refused({"only": order, "require_parameters": True}, tools=[TOOL]) == (503, "require_parameters")


def test_data_collection(market: Market) -> None:
    order = [market.cheap.peer_id, market.plain.peer_id]
    assert market.by({"order": order, "data_collection": "allow"}) == "cheap"
    assert market.by({"order": order, "data_collection": "deny"}) == "fast"
    assert market.refused({"only": order, "data_collection": "deny"}) == (503, "data_collection")


def nodes(candidates: list[dict[str, Any]]) -> list[str]:
    return [each["node"] for each in candidates]


def test_sort(market: Market) -> None:
    assert nodes(market.told(market.ask({"sort": "price"}))) == ["cheap", "plain", "fast"]
    for sort, term in {"price": "price", "throughput": "decode", "latency": "first_token"}.items():
        for wished in (sort, {"by": sort}):
            told = market.told(market.ask({"sort": wished}))
            assert told == sorted(told, key=itemgetter(term))


def test_max_price(market: Market) -> None:
    order = [market.fast.peer_id, market.plain.peer_id]
    assert market.by({"order": order, "max_price": {"prompt": DEAR / 10**6, "completion": DEAR / 10**6}}) == "fast"
    assert market.by({"order": order, "max_price": {"completion": DEAR / 10**6 - 1}}) == "plain"
    assert market.by({"order": order, "max_price": {"prompt": 99.999999}}) == "cheap"
    assert market.refused({"max_price": {"prompt": 0.999999}}) == (503, "max_price.prompt")
    assert market.refused({"max_price": {"completion": "0.5"}}) == (503, "max_price.completion")


def test_quantizations(market: Market) -> None:
    order = [market.fast.peer_id, market.plain.peer_id, market.cheap.peer_id]
    wanted = {"int4": "cheap", "Q4_1": "cheap", "int8": "plain", "q8_0": "plain", "fp32": "fast"}
    for name, node in wanted.items():
        assert market.by({"order": order, "quantizations": [name]}) == node
    assert market.by({"order": order, "quantizations": ["int4", "int8"]}) == "plain"
    assert market.refused({"quantizations": ["int2"]}) == (503, "quantizations")


def test_preferences_for_throughput_and_latency_put_nobody_out(market: Market) -> None:
    by_price = {"sort": "price", "ignore": [market.plain.peer_id]}

    def rate(each: dict[str, Any]) -> float:
        return 8 / each["decode"]

    slow, quick = sorted(market.told(market.ask(by_price)), key=rate)
    between = sqrt(rate(slow) * rate(quick))
    told = market.told(market.ask({**by_price, "preferred_min_throughput": between}))
    assert told == sorted(told, key=lambda each: (rate(each) < between, each["price"]))
    late, soon = (max(told, key=itemgetter("first_token")), min(told, key=itemgetter("first_token")))
    between = sqrt(late["first_token"] * soon["first_token"])
    told = market.told(market.ask({**by_price, "preferred_max_latency": between}))
    assert told == sorted(told, key=lambda each: (each["first_token"] > between, each["price"]))
    for nobody_or_everybody in (1e-6, 10**6):
        for wish in ("preferred_min_throughput", "preferred_max_latency"):
            if (wish, nobody_or_everybody) != ("preferred_max_latency", 10**6):
                told = market.told(market.ask({**by_price, wish: {"p50": nobody_or_everybody}}))
                assert nodes(told) == ["cheap", "fast"]


def test_models_and_route(market: Market) -> None:
    assert market.ask(model="nothing").status_code == 404
    assert market.served(model="nothing", models=["spare"]) == ("plain", "spare")
    assert market.served(model="nothing", models=["none", "m"], provider={"sort": "price"}) == ("cheap", "m")
    assert market.served(model="spare", models=["m"]) == ("plain", "spare")
    # A filter that leaves nobody with the first model leaves somebody with the second.
    assert market.served({"quantizations": ["int4"]}, model="spare", models=["m"]) == ("cheap", "m")
    assert market.served({"sort": "price"}, model="nothing", route="fallback") == ("plain", "spare")
    streamed = market.ask(model="nothing", models=["spare"], stream=True)
    assert json.loads(streamed.text.split("data: ")[1])["model"] == "spare"
    assert market.ask(model="nothing", models=["none"]).status_code == 404


def cost(told: dict[str, Any]) -> float:
    """The expected time, and with it what the job costs others there."""
    return float(told["expected"] + told["toll"])


def test_suffixes_and_meta_models(market: Market) -> None:
    assert market.served(model="m:floor") == ("cheap", "m")
    told = market.told(market.ask(model="m:nitro"))
    assert told == sorted(told, key=itemgetter("decode"))
    assert market.served(model="cheapest") == ("plain", "spare")
    assert market.served({"ignore": [market.plain.peer_id]}, model="cheapest") == ("cheap", "m")
    for ignored in ([], [market.plain.peer_id]):
        told = market.told(market.ask({"ignore": ignored}, model="fastest", max_tokens=64))
        soonest, first = min(map(cost, told)), cost(told[0])
        assert first <= soonest * NEAR_SHARE + NEAR_S
        told = market.told(market.ask({"ignore": ignored}, model="auto"))
        soonest = min(map(cost, told))
        bearable = [each for each in told if cost(each) <= soonest * SLOW_SHARE + SLOW_S]
        assert told[0]["price"] == min(each["price"] for each in bearable)
    for name in ("m:floor", "m:nitro", "cheapest", "fastest", "auto"):
        found = market.client.get(f"/v1/models/{name}").json()
        assert (found["id"], found["nodes_available"]) == (name, 3)
    assert market.client.get("/v1/models/nothing:floor").status_code == 404
    listed = [model["id"] for model in market.client.get("/v1/models").json()["data"]]
    assert listed[-3:] == ["cheapest", "fastest", "auto"]
    assert listed[:-3] == sorted(set(listed[:-3]))


def test_a_client_is_told_how_its_provider_was_chosen(market: Market) -> None:
    wishes = {"sort": "price", "ignore": [market.plain.peer_id]}
    for answer in (market.ask(wishes), market.ask(wishes, stream=True)):
        route = json.loads(answer.headers["x-peernode-route"])
        assert route["provider"] == market.cheap.peer_id
        assert [market.name(each["provider"]) for each in route["candidates"]] == ["cheap", "fast"]
        for each in route["candidates"]:
            assert each["expected"] >= each["first_token"] > 0
            assert {"queue", "prefill", "decode", "hits", "price"} <= each.keys()
        assert route["candidates"][0]["price"] < route["candidates"][1]["price"]
        assert route["excluded"] == [{"provider": market.plain.peer_id, "model": "m", "reason": "ignore"}]
    silent = market.client.post("/v1/chat/completions", json=market.body(wishes))
    assert "x-peernode-route" not in silent.headers
    nobody = json.loads(market.ask({"only": ["nobody"]}).headers["x-peernode-route"])
    assert (nobody["candidates"], {each["reason"] for each in nobody["excluded"]}) == ([], {"only"})


def test_the_operator_is_told_how_a_provider_would_be_chosen(market: Market, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Tell me of it. " * 60)

    def run(*args: str) -> str:
        command = [sys.executable, "-m", "peernode", "route", *args, "--home", str(market.edge.home)]
        environment = {**os.environ, "COLUMNS": "400"}
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment).stdout

    wishes = json.dumps({"sort": "price", "quantizations": ["int4", "fp32"]})
    found = json.loads(run("--explain", "m", "--prompt-file", str(prompt), "--provider", wishes, "--json"))
    assert [market.name(each["provider"]) for each in found["candidates"]] == ["cheap", "fast"]
    assert [(market.name(each["provider"]), each["reason"]) for each in found["excluded"]] == [
        ("plain", "quantizations")
    ]
    assert found["prompt_tokens"] > 200
    table = run("--explain", "m", "--provider", wishes)
    for node in (market.cheap, market.fast, market.plain):
        assert node.peer_id in table
    assert "quantizations" in table
    assert run("cheapest") == f"{market.plain.peer_id} with spare\n"
