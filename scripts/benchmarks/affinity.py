"""What prefix affinity is worth: agents with a shared scaffold over three providers, through two edges side by side.

Real processes on loopback. One edge routes conversations to where their prompts were computed, the other forgets
prompts; rounds take turns with scaffolds of their own, so that neither finds the other's prefixes. Shown are the
share of prompt tokens that came from a cache and the time to the first token.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, percentile, write_json
from load import Client
from nodes import NodeProcess
from rich.console import Console

MODEL_ID = "demo"
SIDES = {"affinity on": "true", "affinity off": "false"}
HITS, FIRST, LATE = "cached share", "first token, s", "first token p95, s"
LEAST_HITS = 0.80
WORDS = ("river", "stone", "lamp", "bread", "chess", "moon", "glass", "honey", "tower", "wind", "salt", "maple", "drum")


def scaffold(number: int, tokens: int) -> str:
    """A system prompt of its own of about ``tokens`` tokens."""
    words = [f"{WORDS[(number * 7 + at * at + at // 3) % len(WORDS)]}" for at in range(int(tokens * 0.8))]
    return f"You are agent kind {number}. Rules: " + " ".join(words)


class Agent(threading.Thread):
    """One conversation; ``hits`` are (cached, prompt) tokens of each turn, ``first_s`` the waits for first tokens."""

    def __init__(self, url: str, system: str, number: int, turns: int, tokens: int) -> None:
        super().__init__(daemon=True)
        self.url, self.number, self.turns, self.tokens = url, number, turns, tokens
        self.messages = [{"role": "system", "content": system}]
        self.hits: list[tuple[int, int]] = []
        self.first_s: list[float] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            for turn in range(self.turns):
                told = " ".join(WORDS[(self.number * 5 + turn * 3 + at) % len(WORDS)] for at in range(40))
                self.messages.append({"role": "user", "content": f"Agent {self.number}, turn {turn}: {told}. Go on."})
                body = {"model": MODEL_ID, "messages": self.messages, "max_tokens": self.tokens, "temperature": 0}
                client = Client(self.url, body)
                client.start()
                answer = client.join()
                self.first_s.append(answer.first_s)
                self.hits.append((answer.prompt_tokens - answer.computed_tokens, answer.prompt_tokens))
                self.messages.append({"role": "assistant", "content": answer.text})
        except Exception as err:  # noqa: BLE001  # raised again by whoever waits for this thread
            self.failure = err


def run_agents(url: str, options, number: int) -> list[Agent]:
    """All agents of one round, side by side, to their ends."""
    system = scaffold(number, options.scaffold)
    agents = [Agent(url, system, each, options.turns, options.tokens) for each in range(options.agents)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
        if agent.failure is not None:
            raise agent.failure
    return agents


def configured(path: Path, toml: str) -> tuple[str, str]:
    """The arguments of a node that reads ``toml``."""
    path.write_text(toml)
    return "--config", str(path)


def measure(options, console: Console, scratch: Path) -> Samples:
    samples = Samples()
    with ExitStack() as stack, environment(options.env):
        served = ("--model", f"{MODEL_ID}={options.model}")
        providers: list[NodeProcess] = []
        for number in range(options.providers):
            joined = ("--join", providers[0].address) if providers else ()
            # Several engines on few cores must not spin.
            settings = configured(scratch / f"provider{number}.toml", "[engine]\nthreads = 1\n")
            node = NodeProcess(scratch / f"provider{number}", *settings, *served, *joined, name=f"provider{number}")
            stack.callback(node.kill)
            node.start().wait_for_model()
            providers.append(node)
        edges = {}
        for side, value in SIDES.items():
            home = scratch / side.replace(" ", "-")
            settings = configured(home.with_suffix(".toml"), f"[routing]\naffinity = {value}\n")
            edge = NodeProcess(home, *settings, "--join", providers[0].address, name=side)
            stack.callback(edge.kill)
            edges[side] = edge.start()
            for provider in providers:
                edge.wait_for_offer(provider.peer_id)
        for at, edge in enumerate(edges.values()):  # both learn how fast the providers are
            run_agents(edge.url, options, 1000 + at)
        progress = Progress(console, options.rounds * len(edges))
        for number in range(options.rounds):
            sides = list(edges) if number % 2 else list(reversed(edges))
            for at, side in enumerate(sides):
                agents = run_agents(edges[side].url, options, number * 10 + at)
                note(samples, side, agents)
                progress(f"round {number + 1}: {side}: {samples.median(side, HITS):.0%} cached")
    return samples


def note(samples: Samples, side: str, agents: list[Agent]) -> None:
    cached = sum(hit for agent in agents for hit, _ in agent.hits)
    prompts = sum(prompt for agent in agents for _, prompt in agent.hits)
    waits = [wait for agent in agents for wait in agent.first_s]
    samples.add(side, HITS, cached / prompts)
    samples.add(side, FIRST, statistics.median(waits))
    samples.add(side, LATE, percentile(waits, 0.95))


def main() -> int:
    parser = bench_parser(__doc__, rounds=3)
    parser.add_argument("--providers", type=int, default=3)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--scaffold", type=int, default=1000, help="tokens that all agents of a round have in common")
    parser.add_argument("--tokens", type=int, default=24, help="of an answer")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.providers, options.agents, options.turns, options.scaffold = 1, 2, 2, 2, 100
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples = measure(options, console, Path(scratch))
        title = f"{options.agents} agents of {options.turns} turns over {options.providers} providers"
        table = make_table(
            f"{title}: median of {options.rounds} alternating rounds (least…most)", "routing", HITS, FIRST, LATE
        )
        for side in SIDES:
            table.add_row(side, samples.cell(side, HITS, 2), samples.cell(side, FIRST, 2), samples.cell(side, LATE, 2))
        console.print(table)
        on, off = SIDES
        reached = samples.median(on, HITS) >= LEAST_HITS and samples.median(on, FIRST) < samples.median(off, FIRST)
        wanted = f"at least {LEAST_HITS:.0%} cached, and first tokens sooner than without"
        console.print(f"{wanted}: {'reached' if reached else 'missed'}")
        write_json(options.json, "affinity", options, samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
