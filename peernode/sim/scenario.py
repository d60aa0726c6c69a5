"""What kind of network is simulated, for how long and under which load."""

from __future__ import annotations

from dataclasses import dataclass, replace

from peernode.errors import PeernodeError

# One model for so many nodes; coordinators unless a number is named.
NODES_PER_MODEL = 50
COORDINATORS = 4


class UnknownScenario(PeernodeError):
    """There is no scenario of this name."""

    code = "unknown_scenario"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Times in seconds, shares from 0 to 1.

    What begins before ``warm_up_s`` or in the last ``cool_down_s`` is not counted. ``load``: arriving work as a share
    of what all nodes can do (``Network.capacity``). ``speed_ratio``: the fastest node against the slowest. ``stale_s``:
    how old a node's word grows before its next. ``churn``: nodes that die in a minute, each replaced by a newcomer.
    ``agents``: conversations among what begins. ``kinds``: different scaffolds for each model. ``burst``: for a quarter
    of the time the arrivals come so many times as often as on average. ``first_token_s``: how long a client waits.
    """

    name: str = "mixed"
    nodes: int = 200
    models: int = 4
    coordinators: int = COORDINATORS
    slots: int = 8
    queue_limit: int = 32
    speed_ratio: float = 10.0
    load: float = 0.8
    seconds: float = 90.0
    warm_up_s: float = 30.0
    cool_down_s: float = 10.0
    stale_s: tuple[float, float] = (1.0, 15.0)
    heard_after_s: tuple[float, float] = (0.1, 1.0)
    round_trip_s: tuple[float, float] = (0.002, 0.08)
    cache_tokens: int = 128_000
    churn: float = 0.0
    liars: float = 0.0
    black_holes: float = 0.0
    slow: float = 0.0
    agents: float = 0.5
    turns: int = 6
    kinds: int = 10
    burst: float = 1.0
    first_token_s: float = 60.0
    seed: int = 1


SCENARIOS: dict[str, tuple[str, dict[str, float]]] = {
    "mixed": ("speeds differ by ten times, adverts are 1 to 15 s old", {}),
    "agents": ("nine of ten that begin are agents with a scaffold in common", {"agents": 0.9}),
    "questions": ("single questions, so that nothing is in any cache", {"agents": 0.0}),
    "bursts": ("5 s of every 20 s have 2.2 times the arrivals of the average", {"burst": 2.2}),
    "churn": ("a fifth of all nodes die in a minute, and others join", {"churn": 0.2}),
    "slow": ("a twentieth of all nodes has become ten times slower than it says", {"slow": 0.05}),
    "liars": ("a twentieth of all nodes, the slowest, advertises 100 times its speed", {"liars": 0.05}),
    "black-holes": ("a hundredth of all nodes takes every job and answers none", {"black_holes": 0.01}),
    "all": ("all of this at once", {"burst": 1.6, "churn": 0.1, "slow": 0.02, "liars": 0.02, "black_holes": 0.01}),
}


def scenario_of(
    name: str, *, nodes: int, seconds: float, load: float, seed: int, coordinators: int = COORDINATORS
) -> Scenario:
    """A named scenario for a network of some size. Raises UnknownScenario."""
    if name not in SCENARIOS:
        raise UnknownScenario(f"There is no scenario {name!r}.", remedy=f"Choose among: {', '.join(SCENARIOS)}.")
    base = Scenario(
        name=name,
        nodes=nodes,
        models=max(1, nodes // NODES_PER_MODEL),
        coordinators=coordinators,
        seconds=seconds,
        warm_up_s=seconds / 3,
        cool_down_s=seconds / 9,
        load=load,
        seed=seed,
    )
    return replace(base, **SCENARIOS[name][1])  # type: ignore[arg-type]
