"""The order of candidates: least loaded first, own jobs count at once, this node first among equals, then chance."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from peernode.chat.message import Image, Message
from peernode.chat.request import ChatRequest
from peernode.market.routing import Candidate, able, rank
from tests.samples import CARD

IDLE = Candidate("a", CARD, slots=8, free_slots=8, queued=0, in_flight=0)


def first(*candidates: Candidate, seed: int = 1) -> str:
    return rank(candidates, random.Random(seed))[0][0].peer


def test_the_idle_one_comes_first() -> None:
    assert first(replace(IDLE, peer="busy", free_slots=1), IDLE) == "a"
    assert first(replace(IDLE, peer="queued", queued=2), IDLE) == "a"


def test_own_jobs_in_flight_count_before_an_advert_tells_of_them() -> None:
    assert first(replace(IDLE, peer="mine", in_flight=1), replace(IDLE, peer="other")) == "other"


def test_between_equals_this_node_comes_first_and_the_rest_by_chance() -> None:
    assert first(IDLE, replace(IDLE, peer="here", local=True)) == "here"
    wins = Counter(first(IDLE, replace(IDLE, peer="b"), seed=seed) for seed in range(200))
    assert min(wins["a"], wins["b"]) > 60


def test_one_seed_gives_one_order() -> None:
    candidates = [replace(IDLE, peer=str(number)) for number in range(20)]
    assert rank(candidates, random.Random(7)) == rank(candidates, random.Random(7))


def test_only_models_that_see_are_asked_about_images() -> None:
    seeing = replace(IDLE, peer="seeing", card=replace(CARD, features=("chat", "vision")))
    blind = replace(IDLE, peer="blind", card=replace(CARD, features=()))
    text = ChatRequest((Message("user", "Hello"),))
    image = ChatRequest((Message("user", "Look"), Message("user", "here", images=(Image(0, b"x"),))))
    assert able([blind, seeing], text) == [blind, seeing]
    assert able([blind, seeing], image) == [seeing]
