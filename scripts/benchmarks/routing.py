"""What one decision of the router costs, in microseconds, by the number of candidates.

``rank`` is the policy alone: filters, terms and order. ``with candidates`` adds what is looked up of each peer before:
its pace, load, circuit and probable prefix hits, for a prompt of 4 000 characters that was asked before. Beside
them, the same candidates sorted by one key. Each round times every case, the fastest of some batches each.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, make_table, orderly, write_json

from peernode.chat.message import Message
from peernode.chat.request import ChatRequest
from peernode.market.experience import Experience
from peernode.market.routing import Candidate, Demand, demand_of, rank
from peernode.market.routing.affinity import BLOCK_TOKENS, blocks_of
from peernode.market.routing.track_record import Sighting
from peernode.wire.advert import Advert, ModelCard

RANK, WHOLE, SORT = "rank", "with candidates", "sorted by one key"
SIDES = RANK, WHOLE, SORT
COUNTS = 10, 100, 1000
BATCHES = 10
BATCH_S = 0.05


class Node:
    """A coordinator that has had some jobs with each of ``count`` peers."""

    def __init__(self, count: int) -> None:
        self.rng = random.Random(count)
        self.experience = Experience(rng=self.rng)
        self.request = ChatRequest((Message("user", "x" * 4000),), 150)
        self.adverts = [self._advert(number) for number in range(count)]
        blocks = blocks_of(self.request, self.adverts[0].models[0].digest)
        for advert in self.adverts:
            candidate = self.experience.candidate(advert, advert.models[0], word=1, now=0.0, hits=0)
            for _ in range(4):
                self.experience.saw(candidate, self._sighting(), ())
            if self.rng.random() < 0.1:
                self.experience.sent(candidate, blocks, 1000, 0.0)

    def candidates(self) -> tuple[Demand, list[Candidate]]:
        demand, experience = demand_of(self.request), self.experience
        hits = experience.affinity.hits(blocks_of(self.request, self.adverts[0].models[0].digest), 1.0)
        return demand, [
            experience.candidate(
                advert, advert.models[0], word=1, now=1.0, hits=hits.get(advert.peer, 0) * BLOCK_TOKENS
            )
            for advert in self.adverts
        ]

    def _advert(self, number: int) -> Advert:
        rng = self.rng
        card = ModelCard("m", bytes(32), "llama", 135, "Q4_K_M", 8192, (), 1000, 100, 2000, 50, 500)
        return Advert("bench", f"peer-{number}", 1, 0, 15_000, (), "0", 8, rng.randrange(9), rng.randrange(2), (card,))

    def _sighting(self) -> Sighting:
        first_s = self.rng.uniform(0.2, 2.0)
        return Sighting(1000, 0, 100, first_s, first_s + self.rng.uniform(1, 10), self.rng.randrange(8))


def fastest(decide: Callable[[], object]) -> float:
    """Seconds for one call: the fastest of some batches."""
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() - begin < BATCH_S:
        decide()
        calls += 1
    best = float("inf")
    for _ in range(BATCHES):
        begin = time.perf_counter()
        for _ in range(calls):
            decide()
        best = min(best, (time.perf_counter() - begin) / calls)
    return best


def measure(count: int) -> dict[str, float]:
    """Seconds by side."""
    node = Node(count)
    demand, candidates = node.candidates()

    def whole() -> object:
        return rank(*node.candidates(), 1.0, node.rng)

    return {
        RANK: fastest(lambda: rank(demand, candidates, 1.0, node.rng)),
        WHOLE: fastest(whole),
        SORT: fastest(lambda: sorted(candidates, key=lambda candidate: candidate.queued - candidate.free_slots)),
    }


def main() -> None:
    options = bench_parser(__doc__).parse_args()
    rounds = 1 if options.quick else options.rounds
    samples = Samples()
    with orderly() as console:
        progress = Progress(console, rounds * len(COUNTS))
        for _ in range(rounds):
            for count in COUNTS:
                for side, seconds in measure(count).items():
                    samples.add(side, str(count), seconds)
                progress(f"{count} candidates: rank {samples.median(RANK, str(count)) * 1e6:.0f} µs")
        table = make_table("One decision, µs", "candidates", *SIDES)
        for count in COUNTS:
            table.add_row(str(count), *(samples.cell(side, str(count), scale=1e6) for side in SIDES))
        console.print(table)
    write_json(options.json, "routing", options, samples)


if __name__ == "__main__":
    main()
