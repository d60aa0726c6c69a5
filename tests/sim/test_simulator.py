"""The simulator: one seed replays everything, and the product's policy does there what it is for."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest

from peernode.sim.__main__ import main, simulate
from peernode.sim.network import Network
from peernode.sim.policies import (
    ADVERTS_ALONE,
    FORGETFUL,
    HITS_ALONE,
    LEAST_CONNECTIONS,
    OMNISCIENT,
    OMNISCIENT_KIND,
    OURS,
    POLICIES,
    ROUND_ROBIN,
)
from peernode.sim.results import Report, Result
from peernode.sim.scenario import SCENARIOS, Scenario, UnknownScenario, scenario_of
from peernode.sim.tables import markdown_of

SMALL = Scenario(nodes=24, models=1, coordinators=2, seconds=36.0, warm_up_s=14.0, cool_down_s=4.0)


@cache
def seen(scenario: Scenario, policy: str) -> Result:
    return Result.of(policy, Network(scenario, POLICIES[policy]).run())


def test_one_seed_replays_everything() -> None:
    scenario = replace(SMALL, **SCENARIOS["all"][1], seconds=25.0, warm_up_s=5.0)
    first, second = (Result.of(OURS, Network(scenario, POLICIES[OURS]).run()) for _ in range(2))
    assert first == second
    assert first.asked > 100
    other = Result.of(OURS, Network(replace(scenario, seed=2), POLICIES[OURS]).run())
    assert other != first


def test_every_policy_is_asked_the_same_questions() -> None:
    scenario = replace(SMALL, agents=0.0)
    assert seen(scenario, OURS).asked == seen(scenario, LEAST_CONNECTIONS).asked


def test_first_tokens_come_sooner_than_with_round_robin_and_least_connections() -> None:
    ours = seen(SMALL, OURS)
    for other in (ROUND_ROBIN, LEAST_CONNECTIONS):
        assert ours.p99_s < 0.7 * seen(SMALL, other).p99_s


def test_stale_adverts_cost_little_against_knowing_everything() -> None:
    assert seen(SMALL, OURS).p99_s < 1.15 * seen(SMALL, OMNISCIENT).p99_s
    assert seen(SMALL, OURS).p99_s < 1.5 * seen(SMALL, OMNISCIENT_KIND).p99_s


def test_what_providers_say_of_their_lines_makes_up_for_knowing_little() -> None:
    crowd = replace(SMALL, nodes=50, coordinators=20)
    ours = seen(crowd, OURS)
    assert ours.moved > 0
    assert ours.p99_s < 0.8 * seen(crowd, ADVERTS_ALONE).p99_s
    assert ours.p99_s < 1.25 * seen(crowd, OMNISCIENT).p99_s


def test_prompts_are_found_in_caches_nearly_as_often_as_an_oracle_finds_them() -> None:
    ours = seen(SMALL, OURS)
    assert ours.hits > seen(SMALL, FORGETFUL).hits + 0.05
    assert ours.hits > 0.85 * seen(SMALL, HITS_ALONE).hits
    assert seen(SMALL, OMNISCIENT).hits <= seen(SMALL, HITS_ALONE).hits + 0.02 <= ours.seen + 0.02


def test_who_advertises_a_hundred_times_its_speed_gets_little_once_it_is_known() -> None:
    liars = replace(SMALL, liars=0.05, coordinators=1, seconds=45.0)
    network = Network(liars, POLICIES[OURS])
    measures = network.run()
    assert measures.trails  # it did get its chance
    for (coordinator, model, _), trail in measures.trails.items():
        later = trail.places[50:]
        all_later = measures.jobs[coordinator, model] - (trail.places[49] if len(trail.places) > 49 else 0)
        assert len(later) <= 0.05 * all_later


def test_black_holes_cost_few_requests_a_retry_and_none_its_answer() -> None:
    ours = seen(replace(SMALL, nodes=48, models=2, black_holes=0.02, coordinators=1), OURS)
    assert ours.asked > 0
    assert ours.swallowed <= 0.01 * ours.asked
    assert ours.failed == 0


def test_answers_survive_nodes_that_die() -> None:
    ours = seen(replace(SMALL, churn=1.0), OURS)
    assert ours.lost > 0
    assert ours.failed == 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_runs(name: str) -> None:
    scenario = scenario_of(name, nodes=20, seconds=4.0, load=0.4, seed=3)
    report = simulate(scenario, [OURS])
    assert report.results[0].asked > 0
    assert name in markdown_of(report)


def test_an_unknown_scenario_says_which_there_are() -> None:
    with pytest.raises(UnknownScenario, match="mixed"):
        scenario_of("none", nodes=10, seconds=1.0, load=0.5, seed=1)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nodes", "10", "--seconds", "5", "--policies", OURS, "--policies", ROUND_ROBIN]) == 0
    said = capsys.readouterr().out
    assert "mixed" in said
    assert "less than round robin" in said


def test_figures_are_kept_with_their_scenario() -> None:
    report = Report(SMALL, (seen(SMALL, OURS),))
    kept = json.loads(json.dumps(report.to_fields()))
    assert kept["scenario"]["seed"] == SMALL.seed
    assert kept["results"][0]["p99_s"] == seen(SMALL, OURS).p99_s
