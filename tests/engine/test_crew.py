"""How many threads decode beside other programs: judged by the processor time that steps got."""

from __future__ import annotations

import pytest

from peernode.engine.worker.crew import Crew

STEP_S = 0.01


class Machine:
    """``cores`` of which others use ``wanted``; runs the steps of a crew, ``STEP_S`` each, on its own clock."""

    def __init__(self, crew: Crew, cores: int) -> None:
        self.crew = crew
        self.cores = cores
        self.wanted = 0.0
        self.now_s = 0.0
        self.alone_s = 0.0

    def run(self, seconds: float) -> None:
        end = self.now_s + seconds
        while self.now_s < end:
            had = min(float(self.crew.threads), max(self.cores - self.wanted, 0.5))
            self.now_s += STEP_S
            self.alone_s += STEP_S * (self.crew.threads < self.crew.full)
            self.crew.observe(STEP_S, STEP_S * had, self.now_s)


@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.4])
def test_all_threads_decode_while_their_cores_are_free(wanted: float) -> None:
    machine = Machine(Crew(2), cores=2)
    machine.wanted = wanted
    machine.run(10)
    assert machine.alone_s == 0.0


@pytest.mark.parametrize(("cores", "wanted", "left"), [(2, 1.0, 1), (2, 3.0, 1), (16, 1.0, 15), (16, 12.0, 4)])
def test_threads_that_lost_their_cores_stop(cores: int, wanted: float, left: int) -> None:
    machine = Machine(Crew(cores), cores=cores)
    machine.run(1)
    machine.wanted = wanted
    machine.run(0.6)
    assert machine.crew.threads == left


def test_all_are_tried_again_ever_less_often_and_come_back_when_the_cores_are_free() -> None:
    machine = Machine(Crew(2), cores=2)
    machine.wanted = 1.0
    machine.run(600)
    assert machine.alone_s > 597
    machine.wanted = 0.0
    machine.run(61)
    assert machine.crew.threads == 2
    machine.alone_s = 0.0
    machine.run(5)
    assert machine.alone_s == 0.0
    machine.wanted = 1.0
    machine.run(1)
    machine.wanted = 0.0
    machine.run(2)  # what went well since made the next try an early one
    assert machine.crew.threads == 2


def test_one_step_that_is_held_up_is_no_reason() -> None:
    crew = Crew(2)
    for number in range(50):
        changed = crew.observe(0.3 if number == 20 else STEP_S, 0.4 if number == 20 else 2 * STEP_S, number * STEP_S)
        assert not changed
    assert crew.threads == 2


def test_a_step_that_takes_ages_is() -> None:
    crew = Crew(2)
    assert crew.observe(1.0, 1.1, 1.0)
    assert crew.threads == 1
