"""What clients ask for: agents that share a scaffold and grow a conversation turn by turn, and single questions.

What is asked depends on the seed alone, not on how fast anybody answers, so every policy is given the same.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass

from peernode.market.routing.affinity import BLOCK_TOKENS
from peernode.sim.scenario import Scenario

SCAFFOLD_TOKENS = 1024
MOST_BLOCKS_OF_A_TURN = 5
PAUSE_S = 3.0
# About from one request of an agent to its next.
TURN_S = 8.0
# How long an answer is expected to be by whoever has to guess, and the lengths that are drawn.
EXPECTED_ANSWER = 150
_ANSWER = 4.6, 0.7
_QUESTION = 5.5, 1.0
# For the capacity of a network: tokens of a prompt that are in no cache near enough, and of an answer.
QUESTION_TOKENS = 400
NEW_TOKENS_OF_A_TURN = 580
ANSWER_TOKENS = 125


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: which model, how many tokens, and the chained hashes of the blocks of its prompt."""

    model: str
    blocks: tuple[bytes, ...]
    prompt_tokens: int
    completion_tokens: int


@dataclass(slots=True)
class Agent:
    """A conversation: the scaffold that it has in common with its kind, then its own turns."""

    model: str
    blocks: tuple[bytes, ...]
    turns_left: int
    rng: random.Random

    def ask(self) -> Ask:
        """Its next request, with everything said before in it."""
        self.turns_left -= 1
        self.blocks = _chain(self.blocks, self.rng.randrange(1, MOST_BLOCKS_OF_A_TURN + 1), self.rng.randbytes(8))
        return Ask(self.model, self.blocks, len(self.blocks) * BLOCK_TOKENS + 20, _answer(self.rng))

    def pause_s(self) -> float:
        return self.rng.expovariate(1 / PAUSE_S)


class Workload:
    """Draws agents and questions. ``shares``: how often each model is asked for, in any unit."""

    def __init__(self, scenario: Scenario, shares: Mapping[str, float]) -> None:
        self._models, self._shares = tuple(shares), tuple(shares.values())
        self._rng = random.Random(f"{scenario.seed}/asks")
        self._scenario = scenario
        self._begun = 0

    def begin(self) -> Agent | Ask:
        """A new conversation or a question of its own."""
        self._begun += 1
        rng = random.Random(f"{self._scenario.seed}/{self._begun}")
        model = rng.choices(self._models, self._shares)[0]
        if rng.random() < self._scenario.agents:
            return self._agent(model, 1 + rng.randrange(self._most_turns), rng)
        tokens = max(16, min(int(rng.lognormvariate(*_QUESTION)), 6000))
        return Ask(model, _chain((), tokens // BLOCK_TOKENS, rng.randbytes(8)), tokens, _answer(rng))

    def under_way(self, begun_per_s: float) -> list[Agent]:
        """Conversations that began before the simulation did, of which some turns are left."""
        count = round(begun_per_s * self._scenario.agents * self._scenario.turns * TURN_S)
        lengths = range(1, self._most_turns + 1)
        agents = []
        for number in range(count):
            rng = random.Random(f"{self._scenario.seed}/before/{number}")
            model = rng.choices(self._models, self._shares)[0]
            turns = rng.choices(lengths, lengths)[0]  # whoever looks in meets long ones more often
            agents.append(self._agent(model, rng.randrange(1, turns + 1), rng))
        return agents

    @property
    def _most_turns(self) -> int:
        return 2 * self._scenario.turns - 1

    def _agent(self, model: str, turns: int, rng: random.Random) -> Agent:
        kind = f"{model}/{rng.randrange(self._scenario.kinds)}".encode()
        return Agent(model, _chain((), SCAFFOLD_TOKENS // BLOCK_TOKENS, kind), turns, rng)

    def asks_for_each_begun(self) -> float:
        share = self._scenario.agents
        return 1 - share + share * self._scenario.turns


def new_tokens(scenario: Scenario) -> float:
    """Prompt tokens that a request has to have computed, in the mean, where caches are used well."""
    turns, questions = scenario.agents * scenario.turns, 1 - scenario.agents
    return (turns * NEW_TOKENS_OF_A_TURN + questions * QUESTION_TOKENS) / (turns + questions)


def popularity(models: int) -> list[float]:
    """The share of each model in the nodes that have it."""
    weights = [1 / (place + 3) for place in range(models)]
    return [weight / sum(weights) for weight in weights]


def _answer(rng: random.Random) -> int:
    return max(8, min(int(rng.lognormvariate(*_ANSWER)), 1000))


def _chain(blocks: tuple[bytes, ...], count: int, mark: bytes) -> tuple[bytes, ...]:
    last = blocks[-1] if blocks else b""
    made = []
    for _ in range(count):
        last = hashlib.blake2b(last + mark, digest_size=12).digest()
        made.append(last)
    return blocks + tuple(made)
