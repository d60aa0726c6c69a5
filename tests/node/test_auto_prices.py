"""price = "auto" from the configuration to the advert, and which offers are then taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.chat.errors import ProviderBusy
from peernode.ledger import ReceiptStore
from peernode.market.models import OwnModel, OwnModels
from peernode.market.provider import Provider
from peernode.node.config import NodeConfig, PriceConfig
from peernode.node.config_sources import ConfigError, load_config
from peernode.node.model_entry import ModelEntry
from peernode.wire.prices import Prices
from tests.market.scripted import FACTS, ScriptedEngine
from tests.samples import PROVIDER, offer

BASE = Prices(100_000, 25_000, 400_000)
HALF_AS_FAST = Prices(195_312, 48_828, 781_250)  # 1.25 to the third


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


def own_model(clock, *, decode_tps=0.0, prefill_tps=0.0, **prices):
    config = NodeConfig(prices=PriceConfig(**prices), models=(ModelEntry(path="m.gguf"),))
    engine = ScriptedEngine()
    engine.facts = FACTS
    load = replace(engine.load(), decode_tps=decode_tps, prefill_tps=prefill_tps)
    engine.load = lambda: load
    entry = config.models[0]
    return OwnModel(engine, config.prices_for(entry), auto=config.auto_price_for(entry, clock))


def asked(model):
    card = model.card
    return Prices(card.price_prompt, card.price_cached, card.price_completion)


def test_a_price_is_fixed_unless_it_is_said_otherwise():
    assert asked(own_model(Clock(), decode_tps=1.0, prefill_tps=1.0)) == BASE
    assert asked(own_model(Clock(), decode_tps=10.0, prefill_tps=100.0, price="auto")) == HALF_AS_FAST


def test_bounds_are_the_operators():
    model = own_model(Clock(), decode_tps=10.0, prefill_tps=100.0, price="auto", most=1.5)
    assert asked(model) == Prices(150_000, 37_500, 600_000)


@pytest.mark.parametrize(
    ("node", "model", "auto"),
    [("fixed", None, False), ("auto", None, True), ("auto", "fixed", False), ("fixed", "auto", True)],
)
def test_a_model_says_for_itself_whether_its_price_follows_its_speed(node, model, auto):
    entry = ModelEntry(path="m.gguf", price=model)
    config = NodeConfig(prices=PriceConfig(price=node), models=(entry,))
    assert (config.auto_price_for(entry, Clock()) is not None) == auto


def test_what_is_no_way_to_make_prices_is_refused(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('[prices]\nprice = "surge"\n')
    with pytest.raises(ConfigError) as refused:
        load_config(config_file=path)
    assert "price" in refused.value.cause


def test_an_offer_at_the_price_before_is_taken_for_a_while_and_then_the_coordinator_is_sent_to_the_new_advert(tmp_path):
    clock = Clock()
    model = own_model(clock, decode_tps=10.0, prefill_tps=100.0, price="auto")
    store = ReceiptStore.open(tmp_path / "ledger.db", own=PROVIDER.peer_id)
    provider = Provider(identity=PROVIDER, network="test", models=OwnModels([model]), store=store, clock_ms=lambda: 1)
    dearer, cheaper = (offer(prices=prices, model_digest=FACTS.digest) for prices in (HALF_AS_FAST, BASE))
    assert asked(model) == HALF_AS_FAST
    for good in (dearer, cheaper):
        assert provider.consider(good)[0] is model
    clock.now_s += 31
    assert provider.consider(dearer)[0] is model
    with pytest.raises(ProviderBusy) as busy:
        provider.consider(cheaper)
    assert busy.value.cause == "prices"
    store.close()
