"""The parts of the simulator: time, providers with their queues and caches, what is counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from peernode.market.routing.affinity import BLOCK_TOKENS
from peernode.sim.cache import Cache
from peernode.sim.clock import Clock
from peernode.sim.measures import Measures, Trail
from peernode.sim.provider import Manner, Provider, Run
from peernode.sim.scenario import Scenario
from peernode.sim.workload import Agent, Ask, Workload

BLOCKS = tuple(bytes([number]) for number in range(10))


def provider(clock: Clock, *, slots: int = 1, queue_limit: int = 1, manner: Manner = Manner.HONEST) -> Provider:
    return Provider("p", "m", clock, 0.01, 0.1, 0.05, slots, queue_limit, Cache(100), manner)


def run(told: list[str], name: str = "", *, blocks: Sequence[bytes] = (), prompt: int = 100) -> Run:
    return Run(
        blocks,
        prompt,
        10,
        on_first=lambda cached: told.append(f"{name}first {cached}"),
        on_done=lambda: told.append(f"{name}done"),
        on_lost=lambda: told.append(f"{name}lost"),
    )


def test_events_happen_in_the_order_of_time_and_then_of_being_set() -> None:
    clock, seen = Clock(), list[tuple[float, str]]()
    for when, what in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "never")):
        clock.at(when, lambda what=what: seen.append((clock.now, what)))
    clock.run(5.0)
    assert seen == [(1.0, "a"), (1.0, "b"), (2.0, "c")]
    assert clock.now == 5.0


def test_a_cache_forgets_the_longest_unused_and_the_ends_of_prompts_first() -> None:
    cache = Cache(4)
    cache.take(BLOCKS[:3])
    assert cache.held(BLOCKS) == 3
    cache.take([b"x", b"y"])
    assert cache.held(BLOCKS) == 2
    assert cache.held([b"x", b"y", b"z"]) == 2


def test_a_provider_computes_one_prompt_after_the_other_and_answers_in_company() -> None:
    clock, told = Clock(), list[str]()
    node = provider(clock, slots=2)
    assert node.offer(run(told, "a "))
    assert node.offer(run(told, "b "))
    clock.run(1.5)
    assert told == ["a first 0"]
    clock.run(2.1)
    assert told == ["a first 0", "b first 0"]
    clock.run(1.0 + 10 * 0.15 + 0.01)
    assert told[-1] == "a done"


def test_who_waits_is_started_when_a_slot_is_free_and_the_queue_has_an_end() -> None:
    clock, told = Clock(), list[str]()
    node = provider(clock)
    assert node.offer(run(told, "a "))
    assert node.offer(run(told, "b "))
    assert not node.offer(run(told, "c "))
    clock.run(2.05)
    assert told == ["a first 0", "a done"]
    clock.run(10.0)
    assert told[-1] == "b done"


def test_a_prompt_that_is_in_the_cache_is_not_computed_again() -> None:
    clock, told = Clock(), list[str]()
    node = provider(clock, slots=2)
    prompt = 10 * BLOCK_TOKENS + 5
    assert node.first_token_in(BLOCKS, prompt) == pytest.approx(prompt * 0.01)
    node.offer(run(told, blocks=BLOCKS, prompt=prompt))
    clock.run(60.0)
    assert node.first_token_in(BLOCKS, prompt) == pytest.approx(0.05)
    node.offer(run(told, blocks=BLOCKS, prompt=prompt))
    clock.run(61.0)
    assert told == ["first 0", "done", f"first {10 * BLOCK_TOKENS}"]


def test_a_provider_that_dies_loses_its_jobs_once_and_tells_no_more() -> None:
    clock, told = Clock(), list[str]()
    node = provider(clock)
    node.offer(run(told, "a "))
    node.offer(run(told, "b "))
    clock.run(0.5)
    node.die()
    clock.run(60.0)
    assert told == ["a lost", "b lost"]


def test_a_black_hole_takes_everything_and_says_nothing() -> None:
    clock, told = Clock(), list[str]()
    node = provider(clock, manner=Manner.BLACK_HOLE)
    assert all(node.offer(run(told)) for _ in range(50))
    clock.run(60.0)
    assert told == []


def test_an_agents_prompts_grow_out_of_each_other() -> None:
    workload = Workload(Scenario(agents=1.0, turns=6), {"m": 1.0})
    agent = workload.begin()
    assert isinstance(agent, Agent)
    first, second = agent.ask(), agent.ask()
    assert second.blocks[: len(first.blocks)] == first.blocks
    assert len(second.blocks) > len(first.blocks)


def test_agents_of_a_kind_have_their_scaffold_in_common_and_questions_nothing() -> None:
    agents = Workload(Scenario(agents=1.0, kinds=1), {"m": 1.0})
    one, other = agents.begin(), agents.begin()
    assert isinstance(one, Agent)
    assert isinstance(other, Agent)
    assert one.blocks == other.blocks
    assert not set(one.ask().blocks[len(other.blocks) :]) & set(other.ask().blocks)
    questions = Workload(Scenario(agents=0.0), {"m": 1.0})
    asks = [questions.begin() for _ in range(20)]
    blocks = [block for ask in asks if isinstance(ask, Ask) for block in ask.blocks]
    assert len(blocks) == len(set(blocks)) > 0


def test_a_liars_share_is_counted_after_its_first_jobs() -> None:
    measures = Measures()
    measures.jobs[0, "m"] = 300
    measures.trails[0, "m", "liar"] = Trail([*range(1, 101, 2), 150, 250])  # 50 of the first 99 jobs, then 2 of 201
    mean, largest, judged = measures.liar_share()
    assert mean == largest == pytest.approx(2 / 201)
    assert judged == 1
    curve = dict(measures.liar_curve(step=50))
    assert curve == {0: pytest.approx(50 / 99)}


def test_a_job_that_is_cancelled_makes_room_at_once_wherever_it_is() -> None:
    clock, told = Clock(), list[str]()
    node = provider(clock, slots=2, queue_limit=1)
    jobs = {name: run(told, f"{name} ") for name in "abcd"}
    for name in "abc":
        assert node.offer(jobs[name])
    assert not node.offer(jobs["d"])
    node.cancel(jobs["c"])  # in the queue
    assert node.offer(jobs["d"])
    clock.run(0.5)
    node.cancel(jobs["a"])  # its prompt is being computed: that of b is next, and d has a slot
    clock.run(1.51)
    assert told == ["b first 0"]
    node.cancel(jobs["b"])
    clock.run(60.0)
    assert told == ["b first 0", "d first 0", "d done"]


def test_a_provider_says_how_long_its_line_is_and_a_liar_that_it_has_none() -> None:
    clock = Clock()
    for manner, wait_s in ((Manner.HONEST, 0.25), (Manner.LIAR, 0.0)):
        node, second = provider(clock, slots=4, manner=manner), run([])
        node.offer(run([]))
        node.offer(second)
        assert node.turn_in(second) == pytest.approx(wait_s, rel=0.1)
