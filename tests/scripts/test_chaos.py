"""What decides over a chaos run: the plan that a seed makes, and the watch over the nodes' tables."""

from __future__ import annotations

from itertools import pairwise

import pytest
from chaos_plan import KINDS, REST_S, make_plan
from chaos_watch import Watch


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_makes_one_plan_that_leaves_most_nodes_alone(seed):
    plan = make_plan(seed, nodes=20, seconds=300.0)
    assert plan == make_plan(seed, nodes=20, seconds=300.0)
    assert plan != make_plan(seed + 1, nodes=20, seconds=300.0)
    assert {each.kind for each in plan} == set(KINDS)
    assert plan == sorted(plan)
    assert all(each.at_s + each.lasts_s <= 300.0 for each in plan)
    for each in plan:
        assert sum(other.at_s <= each.at_s < other.at_s + other.lasts_s for other in plan) <= 5
    for node in range(20):
        own = [each for each in plan if each.node == node]
        assert all(later.at_s - (each.at_s + each.lasts_s) >= REST_S for each, later in pairwise(own))


@pytest.fixture
def watch():
    made = Watch(nodes=3, grace_s=5.0, ghost_s=20.0)
    for node in range(3):
        made.up(node, 0.0)
    return made


def test_a_node_may_be_missing_for_a_while_after_it_came_and_no_longer(watch):
    watch.saw(0, {1}, 4.9)
    assert watch.broken == []
    watch.saw(0, {1}, 5.1)
    watch.saw(0, {1}, 6.0)
    assert watch.broken == ["node 0 lacks node 2 for 5.1 s"]
    assert watch.worst_missing_s == 6.0


def test_a_node_that_was_there_is_missed_from_when_it_was_first_not_seen(watch):
    watch.saw(0, {1, 2}, 1.0)
    watch.saw(0, {1}, 100.0)
    watch.saw(0, {1}, 104.9)
    assert watch.broken == []
    watch.saw(0, {1, 2}, 105.5)
    watch.saw(0, {1}, 106.0)
    watch.saw(0, {1}, 111.5)
    assert watch.broken == ["node 0 lacks node 2 for 5.5 s"]


def test_a_ghost_may_haunt_until_its_lease_is_over(watch):
    watch.down(2, 10.0)
    watch.saw(0, {1, 2}, 29.0)
    assert watch.broken == []
    watch.saw(0, {1, 2}, 31.0)
    assert watch.broken == ["node 0 still has node 2 after 21.0 s"]
    watch.up(2, 32.0)
    watch.saw(0, {1, 2}, 33.0)
    assert len(watch.broken) == 1


def test_halves_do_not_miss_each_other_until_they_are_one_again(watch):
    watch.split([[0, 1], [2]], 10.0)
    watch.saw(0, {1}, 50.0)
    watch.saw(2, set(), 50.0)
    assert watch.broken == []
    assert watch.complete({0: {1}, 1: {0}, 2: set()})
    watch.split([range(3)], 60.0)
    assert not watch.complete({0: {1}, 1: {0}, 2: set()})
    watch.saw(0, {1}, 64.0)
    assert watch.broken == []
    watch.saw(0, {1}, 66.0)
    assert watch.broken == ["node 0 lacks node 2 for 6.0 s"]


def test_what_an_observer_slept_through_is_not_counted_against_it(watch):
    watch.down(0, 10.0)
    watch.down(2, 40.0)
    watch.up(0, 50.0)
    watch.saw(0, {1, 2}, 51.0)
    assert watch.worst_ghost_s == 11.0
