"""What the way through another node costs: a provider asked through an edge, and asked at its own port.

Real processes on loopback, taking turns. Short answers give the time to the first token, alternating one by one; long
ones, alone and eight at a time, give throughput and the CPU time of both nodes' own processes (the worker that runs
the model apart) for each streamed token. No prompt repeats, so that nothing is answered from a cache.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, write_json
from load import Round, run_round
from nodes import NodeProcess
from proc import cpu_s
from rich.console import Console

MODEL_ID = "demo"
STRAIGHT, THROUGH = "straight from the provider", "through another node"
FIRST = "first token, s"
MOST_ADDED_MS, LEAST_SHARE = 5.0, 0.95


class Pair:
    """A provider and an edge without a model that knows it."""

    def __init__(self, scratch: Path, options, stack: ExitStack) -> None:
        served = ("--model", f"{MODEL_ID}={options.model}")
        self.provider = NodeProcess(scratch / "provider", *served, name="provider")
        stack.callback(self.provider.kill)
        self.provider.start().wait_for_model()
        self.edge = NodeProcess(scratch / "edge", "--join", self.provider.address, name="edge")
        stack.callback(self.edge.kill)
        self.edge.start().wait_for_offer(self.provider.peer_id)
        self.urls = {STRAIGHT: self.provider.url, THROUGH: self.edge.url}
        self._salts = count(10_000)  # all of five digits, so that prompts are of one length
        self._temperature = options.temperature

    def ask(self, route: str, *, clients: int, tokens: int) -> Round:
        url, salt = self.urls[route], next(self._salts)
        return run_round(url, MODEL_ID, clients=clients, tokens=tokens, salt=salt, temperature=self._temperature)

    def cpu_s(self) -> dict[str, float]:
        return {"provider": cpu_s(self.provider.pid), "edge": cpu_s(self.edge.pid)}


def measure(options, console: Console, scratch: Path) -> Samples:
    samples = Samples()
    with ExitStack() as stack, environment(options.env):
        pair = Pair(scratch, options, stack)
        for route in pair.urls:
            pair.ask(route, clients=2, tokens=16)
        progress = Progress(console, options.rounds * (1 + 2 * len(options.streams)))
        for number in range(options.rounds):
            # Whoever goes second finds a warmer machine: the order changes from round to round.
            routes = list(pair.urls) if number % 2 else list(reversed(pair.urls))
            first_tokens(pair, samples, routes, options.probes)
            progress(f"round {number + 1}: {added(samples)[-1] * 1000:+.1f} ms to the first token")
            for streams in options.streams:
                for route in routes:
                    rate = long_answers(pair, samples, route, streams, options.tokens)
                    progress(f"round {number + 1}: {route}, {streams} streams: {rate:.1f} tokens/s")
    return samples


def first_tokens(pair: Pair, samples: Samples, routes: list[str], probes: int) -> None:
    """Adds one median for each route, of probes that take turns."""
    taken: dict[str, list[float]] = {route: [] for route in routes}
    for _ in range(probes):
        for route in routes:
            taken[route] += pair.ask(route, clients=1, tokens=4).first_token_s
    for route, seconds in taken.items():
        samples.add(route, FIRST, statistics.median(seconds))


def added(samples: Samples) -> list[float]:
    """Seconds that the way through another node adds to the first token, by round."""
    pairs = zip(samples.values[THROUGH, FIRST], samples.values[STRAIGHT, FIRST], strict=True)
    return [through - straight for through, straight in pairs]


def long_answers(pair: Pair, samples: Samples, route: str, streams: int, tokens: int) -> float:
    """Tokens per second of ``streams`` answers together; CPU seconds per token of both nodes are sampled, too."""
    before = pair.cpu_s()
    outcome = pair.ask(route, clients=streams, tokens=tokens)
    for node, seconds in pair.cpu_s().items():
        samples.add(route, f"cpu {node} {streams}", (seconds - before[node]) / outcome.tokens)
    samples.add(route, rate_case(streams), outcome.rate)
    return outcome.rate


def rate_case(streams: int) -> str:
    return f"rate {streams}"


def show(console: Console, samples: Samples, options) -> bool:
    """Prints both tables; True when the bars are kept."""
    spread = f"median of {options.rounds} alternating rounds (least…most)"
    first = make_table(f"Time to the first token, {options.probes} probes a round: {spread}", "route", "ms")
    for route in (STRAIGHT, THROUGH):
        first.add_row(route, samples.cell(route, FIRST, 1, 1000))
    added_ms = [seconds * 1000 for seconds in added(samples)]
    first.add_row("added", f"{statistics.median(added_ms):+.1f} ({min(added_ms):+.1f}…{max(added_ms):+.1f})")
    console.print(first)
    table = make_table(
        f"Whole answers of {options.tokens} tokens: {spread}",
        "route",
        "streams",
        "tokens/s",
        "× straight",
        "provider, CPU µs\nper token",
        "edge, CPU µs\nper token",
    )
    for streams in options.streams:
        for route in (STRAIGHT, THROUGH):
            table.add_row(
                route,
                str(streams),
                samples.cell(route, rate_case(streams)),
                samples.ratio_cell(rate_case(streams), route, STRAIGHT),
                *(samples.cell(route, f"cpu {node} {streams}", 0, 1e6) for node in ("provider", "edge")),
            )
    console.print(table)
    shares = [statistics.median(samples.ratios(rate_case(each), THROUGH, STRAIGHT)) for each in options.streams]
    kept = statistics.median(added_ms) <= MOST_ADDED_MS and min(shares) >= LEAST_SHARE
    bars = f"at most {MOST_ADDED_MS:g} ms added and at least {LEAST_SHARE:g} of the throughput"
    console.print(f"{bars}: {'kept' if kept else 'missed'}")
    return kept


def main() -> None:
    parser = bench_parser(__doc__, rounds=7)
    parser.add_argument("--tokens", type=int, default=128, help="of a long answer")
    parser.add_argument("--probes", type=int, default=10, help="short answers of each route in a round")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8], help="answers at a time")
    parser.add_argument("--temperature", type=float, default=1.0)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.probes, options.tokens = 1, 2, 16
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples = measure(options, console, Path(scratch))
        show(console, samples, options)
        write_json(options.json, "mesh", options, samples, added_s=added(samples))


if __name__ == "__main__":
    main()
