"""Who is asked beside another: nobody dearer unless all else fails, and nobody against the client's word."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

from peernode.chat.message import Message
from peernode.chat.request import ChatRequest
from peernode.chat.wishes import AVOID, LATENCY, NO_WISHES, PRICE, THROUGHPUT, TIME, Wishes
from peernode.market.attempt import Attempt
from peernode.market.experience import Experience
from peernode.market.race import LATE_LEAST_S, LATE_SHARE, RESCUE, Race
from peernode.market.routing import Candidate, Pace, Ranked, demand_of, rank
from peernode.market.routing.second_thoughts import MOST_BESIDE
from tests.market.scripted import job
from tests.samples import CARD

REQUEST = ChatRequest((Message("user", "x" * 400),), 100)
PACE = Pace(prefill_s=0.001, decode_s=0.01)


def ranked(peer: str, price: int = 100_000, **more: object) -> Ranked:
    card = replace(CARD, price_prompt=price, price_completion=price)
    candidate = Candidate(peer, card, slots=8, free_slots=8, queued=0, pace=PACE, **more)  # type: ignore[arg-type]
    return rank(demand_of(REQUEST), [candidate], 0.0, random.Random(1)).order[0]


async def nothing(*_: object) -> bool:
    return True


def asked(race: Race, chosen: Ranked, *, turn_in: float | None = None) -> Attempt:
    """An attempt in the race; ``turn_in``: it has said so."""
    attempt = Attempt(
        chosen,
        job(),
        blocks=(),
        experience=Experience(rng=random.Random(1)),
        first=nothing,
        heard=nothing,  # type: ignore[arg-type]
        told=nothing,  # type: ignore[arg-type]
    )
    race.running.append(attempt)
    if turn_in is not None:
        attempt.turn_s, attempt.promised_s = trio.current_time() + turn_in, turn_in
    return attempt


def race_of(others: Sequence[Ranked], wishes: Wishes = NO_WISHES, *, alone: bool = False) -> Race:
    return Race(deque(others), wishes, alone=alone)


def peer(found: Ranked | None) -> str:
    return found.candidate.peer if found else ""


async def test_a_long_line_has_the_next_asked_and_the_worse_let_go_when_both_have_spoken() -> None:
    race = race_of([ranked("b"), ranked("c")])
    first = asked(race, ranked("a"))
    assert race.second_thought() is None  # it has not spoken
    first.turn_s = trio.current_time() + 30.0
    other = race.second_thought()
    assert peer(other) == "b"
    assert other is not None
    second = asked(race, other)
    assert race.worse() == []
    assert race.second_thought() is None  # one comparison at a time
    second.turn_s = trio.current_time() + 1.0
    assert race.worse() == [first]
    race.running.remove(first)
    assert race.best() is second
    race.running.remove(second)
    assert [peer(race.next()) for _ in range(3)] == ["c", "a", ""]  # at last whoever was let go


async def test_it_does_not_go_on_for_ever() -> None:
    race = race_of([ranked(f"p{number}") for number in range(10)])
    last = asked(race, ranked("a"), turn_in=600.0)
    for number in range(MOST_BESIDE):
        found = race.second_thought()
        assert peer(found) == f"p{number}"
        assert found is not None
        following = asked(race, found, turn_in=500.0 - number)
        assert race.worse() == [last]
        race.running.remove(last)
        last = following
    assert race.second_thought() is None


async def test_a_short_line_is_no_reason_to_move() -> None:
    race = race_of([ranked("b")])
    asked(race, ranked("a"), turn_in=0.1)
    assert race.second_thought() is None


@pytest.mark.parametrize(
    ("wishes", "moved"),
    [
        (NO_WISHES, "same"),
        (Wishes(sort=PRICE), "same"),
        (Wishes(sort=LATENCY), "dear"),
        (Wishes(sort=TIME), "dear"),
        (Wishes(sort=THROUGHPUT), ""),
        (Wishes(order=("a",)), ""),
    ],
)
async def test_nobody_is_moved_to_a_dearer_one_or_against_its_wish(wishes: Wishes, moved: str) -> None:
    race = race_of([ranked("dear", 200_000), ranked("same")], wishes)
    asked(race, ranked("a"), turn_in=60.0)
    assert peer(race.second_thought()) == moved


async def test_who_avoids_cold_models_is_not_moved_to_one() -> None:
    race = race_of([ranked("cold", load_s=1.0)], Wishes(cold=AVOID))
    asked(race, ranked("a"), turn_in=60.0)
    assert race.second_thought() is None
    race = race_of([ranked("cold", load_s=1.0)])
    asked(race, ranked("a"), turn_in=60.0)
    assert peer(race.second_thought()) == "cold"


async def test_who_wants_one_provider_alone_gets_nobody_beside_it() -> None:
    race = race_of([ranked("b")], alone=True)
    asked(race, ranked("a"), turn_in=60.0)
    assert race.second_thought() is None
    assert race.late_at() == float("inf")


async def test_a_late_one_has_a_second_asked_and_a_dearer_one_only_in_need() -> None:
    first = ranked("a")
    late_s = max(first.terms.first_token_s * LATE_SHARE, LATE_LEAST_S)
    for others, wishes, factor, hedge in (
        (["dear", "same"], NO_WISHES, 1.0, "same"),
        (["dear"], NO_WISHES, RESCUE, "dear"),
        (["dear"], Wishes(sort=PRICE), RESCUE, "dear"),
        (["dear", "same"], Wishes(sort=LATENCY), 1.0, "dear"),
    ):
        race = race_of([ranked(name, 200_000 if name == "dear" else 100_000) for name in others], wishes)
        attempt = asked(race, first)
        assert race.late_at() - attempt.sent_s == pytest.approx(late_s * factor)
        assert peer(race.hedge()) == hedge
        assert race.late_at() == float("inf")  # once is enough
        asked(race, first)
        assert race.worse() == []  # the late one is not let go for that


async def test_who_has_said_how_long_it_will_be_is_not_late_before_that() -> None:
    race = race_of([ranked("b")])
    attempt = asked(race, ranked("a"), turn_in=20.0)
    assert race.late_at() - attempt.sent_s >= 20.0
