"""A change is known everywhere within twice the logarithm of the network's size, in rounds of sync."""

import random

import pytest
from spreading import neighbours, simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_a_change_reaches_every_node_in_time(seed):
    spread = simulate(24, changes=5, seed=seed)
    assert len(spread.rounds) == 5
    assert 0.1 < max(spread.rounds) <= spread.allowed


def test_a_simulation_is_the_same_each_time():
    assert simulate(8, changes=3, seed=3) == simulate(8, changes=3, seed=3)


def test_the_simulated_network_hangs_together():
    edges = neighbours(200, random.Random(1))
    reached, last = {0}, set()
    while reached != last:
        last = set(reached)
        reached |= {node for edge in edges if reached & set(edge) for node in edge}
    assert len(reached) == 200
    assert 6 < 2 * len(edges) / 200 < 16
