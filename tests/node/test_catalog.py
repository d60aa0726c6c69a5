"""The models of the network as the edge lists them, and what names that choose by themselves stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.market.candidates import Offering
from peernode.node.catalog import NetworkCatalog
from tests.samples import CARD

CHEAP = replace(CARD, id="a", price_prompt=1, price_cached=1, price_completion=1)
DEAR = replace(CARD, id="b", price_completion=10**9, context_length=CARD.context_length * 2)
EMBEDDER = replace(CARD, id="e", features=("embeddings",), price_prompt=0, price_cached=0, price_completion=0)


class Candidates:
    def __init__(self, *offerings):
        self.held = offerings

    def offerings(self):
        return self.held


def catalog(*offerings):
    return NetworkCatalog(Candidates(*offerings), clock=lambda: 1000.5)


ALL = (Offering("a", (CHEAP, CHEAP), ("x", "y")), Offering("b", (DEAR,), ("x",)), Offering("e", (EMBEDDER,), ("z",)))


@pytest.mark.parametrize("name", ["cheapest", "fastest", "auto"])
def test_a_meta_model_is_all_that_chat(name):
    found = catalog(*ALL).find(name)
    assert (found.id, found.nodes_available, found.prices.completion) == (name, 2, 1)
    assert found.context_length == DEAR.context_length
    assert catalog(ALL[2]).find(name) is None


@pytest.mark.parametrize("suffix", ["", ":floor", ":nitro"])
def test_a_suffix_says_only_how_to_choose(suffix):
    assert catalog(*ALL).find(f"a{suffix}").nodes_available == 2
    assert catalog(*ALL).find(f"c{suffix}") is None


def test_names_that_choose_are_not_listed():
    assert [model.id for model in catalog(*ALL).models()] == ["a", "b", "e"]
