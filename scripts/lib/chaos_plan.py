"""What is done to which node and when: made from one seed, so that a run can be repeated. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = ("kill", "freeze", "cut")
# Seconds that a trouble lasts: shorter than a lease at times, longer at others.
LASTS_S = (2.0, 30.0)
# A node is left alone for so long after a trouble, so that it is seen whether it came back.
REST_S = 12.0


@dataclass(frozen=True, order=True)
class Trouble:
    """``kind`` begins at ``at_s`` and is undone ``lasts_s`` later.

    A killed node is started again then, a frozen one goes on, a cut path is mended.
    """

    at_s: float
    node: int
    kind: str
    lasts_s: float


def make_plan(seed: int, *, nodes: int, seconds: float, pause_s: float = 2.0) -> list[Trouble]:
    """Troubles in order of time, one every ``pause_s`` seconds or so, all over by ``seconds``.

    Never more than a quarter of the nodes is in trouble at once.
    """
    rng = random.Random(seed)
    busy_until = [0.0] * nodes
    ends: list[float] = []
    plan: list[Trouble] = []
    at_s = 0.0
    while (at_s := at_s + rng.uniform(0.5, 1.5) * pause_s) < seconds - LASTS_S[0]:
        node, kind, lasts_s = rng.randrange(nodes), rng.choice(KINDS), rng.uniform(*LASTS_S)
        lasts_s = min(lasts_s, seconds - at_s)
        running = sum(end > at_s for end in ends)
        if busy_until[node] > at_s or running >= max(1, nodes // 4):
            continue
        busy_until[node] = at_s + lasts_s + REST_S
        ends.append(at_s + lasts_s)
        plan.append(Trouble(at_s, node, kind, lasts_s))
    return plan
