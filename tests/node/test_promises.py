"""What an operator promises of a model, or leaves out of its advert."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.engine.facts import CHAT_FEATURES
from peernode.market.models import OwnModel
from peernode.node.config import NodeConfig
from peernode.node.config_sources import ConfigError, load_config
from peernode.node.model_entry import ModelEntry
from tests.market.scripted import FACTS, ScriptedEngine
from tests.samples import PRICES


@pytest.mark.parametrize(
    ("node", "model", "promised"), [(False, None, False), (True, None, True), (True, False, False), (False, True, True)]
)
def test_a_model_says_for_itself_whether_it_keeps_nothing(node, model, promised):
    entry = ModelEntry(path="m.gguf", keeps_nothing=model)
    config = NodeConfig(keeps_nothing=node, models=(entry,))
    assert config.promises_for(entry) == (("keeps_nothing",) if promised else ())


def test_the_advert_has_what_the_engine_can_do_less_what_is_withheld_and_what_is_promised():
    engine = ScriptedEngine()
    engine.facts = replace(FACTS, features=CHAT_FEATURES)
    card = OwnModel(engine, PRICES, ("keeps_nothing",), frozenset(["tools"])).card
    assert card.features == ("structured", "logprobs", "keeps_nothing")


def test_only_what_there_is_can_be_withheld(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('[[model]]\npath = "m.gguf"\nwithhold = ["beauty"]\n')
    with pytest.raises(ConfigError) as refused:
        load_config(config_file=path)
    assert "withhold" in refused.value.cause
