"""What the HTTP edge costs: CPU time for each streamed token, and requests a second of a route without a model.

Scripted answers first, eight at a time with a token for each every few milliseconds: the edge's app beside the barest
app of the same framework and server that streams the same bytes. Then whole nodes with the real model, whose workers
are processes of their own and not counted: one that runs it itself, and one that has another node run it. Last the
server of llama-cpp-python, which computes in the same process and one answer at a time: it is given a tiny model, whose
computing hardly counts; and so is a node, its worker included, to stand beside it.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).parents[2]))
import edge_apps
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, write_json
from chat_servers import MODEL_ID, Shape, peernode_node, stock_process
from load import run_round
from nodes import NodeProcess
from proc import children, cpu_s
from rich.console import Console

from tests.models import write_tiny_model

APP, BARE = "edge, scripted answers", "bare app, same bytes"
OWN, THROUGH = "node, own model", "node, model of another"
TINY = "node and worker, tiny model"
STOCK_TINY = "llama-cpp-python's server, tiny model"
TOKEN, REQUEST, RATE = "cpu token", "cpu request", "requests"
MOST_US = 120.0
STREAMS = 8


@dataclass(frozen=True)
class Side:
    """One server: where it is asked, whose CPU counts, and how many answers it can make at a time."""

    name: str
    url: str
    pids: tuple[int, ...]
    route: str = "/health"
    streams: int = STREAMS

    def cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self.pids)


@contextmanager
def scripted(name: str, kind: str) -> Iterator[Side]:
    command = [sys.executable, edge_apps.__file__, kind]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield Side(name, process.stdout.readline().strip(), (process.pid,))


@contextmanager
def sides(options, scratch: Path) -> Iterator[list[Side]]:
    """All servers, started; those that nobody asks stand still."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(scripted(APP, edge_apps.PEERNODE)),
            stack.enter_context(scripted(BARE, edge_apps.BARE)),
        ]
        if options.scripted:
            yield found
            return
        own = stack.enter_context(peernode_node(Shape(options.model, options.threads, scratch)))
        edge = NodeProcess(scratch / "edge", "--join", own.address, name="edge")
        stack.callback(edge.kill)
        edge.start().wait_for_offer(own.peer_id)
        shape = Shape(write_tiny_model(scratch / "tiny.gguf", context=4096), options.threads, scratch)
        tiny = stack.enter_context(peernode_node(shape))
        url, pid = stack.enter_context(stock_process(shape))
        yield [
            *found,
            Side(OWN, own.url, (own.pid,)),
            Side(THROUGH, edge.url, (edge.pid,)),
            Side(TINY, tiny.url, (tiny.pid, *children(tiny.pid))),
            Side(STOCK_TINY, url, (pid,), "/v1/models", 1),
        ]


def stream(side: Side, samples: Samples, tokens: int, salt: int) -> str:
    before = side.cpu_s()
    outcome = run_round(side.url, MODEL_ID, clients=side.streams, tokens=tokens, salt=salt, temperature=1.0)
    cost = (side.cpu_s() - before) / outcome.tokens
    samples.add(side.name, TOKEN, cost)
    return f"{cost * 1e6:.0f} µs a token"


def ask(side: Side, samples: Samples, requests: int) -> str:
    """One client, one connection, one request after another."""
    address = urlsplit(side.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    before, began = side.cpu_s(), time.perf_counter()
    for _ in range(requests):
        connection.request("GET", side.route)
        connection.getresponse().read()
    took_s = time.perf_counter() - began
    connection.close()
    samples.add(side.name, REQUEST, (side.cpu_s() - before) / requests)
    samples.add(side.name, RATE, requests / took_s)
    return f"{requests / took_s:.0f} requests/s"


def measure(options, console: Console, scratch: Path) -> Samples:
    samples, salts = Samples(), count(10_000)
    with environment(options.env), sides(options, scratch) as found:
        for side in found:
            run_round(side.url, MODEL_ID, clients=1, tokens=8, salt=next(salts), temperature=1.0)
        progress = Progress(console, options.rounds * len(found))
        for number in range(options.rounds):
            for side in found if number % 2 else reversed(found):
                tokens = options.tokens if side.name in (OWN, THROUGH) else 2 * options.tokens
                said = stream(side, samples, tokens, next(salts)), ask(side, samples, options.requests)
                progress(f"round {number + 1}: {side.name}: {', '.join(said)}")
    return samples


def show(console: Console, samples: Samples, options) -> bool:
    """Prints the table; True when the bar is kept."""
    table = make_table(
        f"The edge, {STREAMS} answers at a time: median of {options.rounds} alternating rounds (least…most)",
        "server",
        "CPU µs\nper token",
        "× bare",
        "CPU µs\nper request",
        "requests/s",
        "× bare",
    )
    names = [name for name in (APP, BARE, OWN, THROUGH, TINY, STOCK_TINY) if samples.has(name, TOKEN)]
    for name in names:
        table.add_row(
            name,
            samples.cell(name, TOKEN, 0, 1e6),
            samples.ratio_cell(TOKEN, name, BARE),
            samples.cell(name, REQUEST, 0, 1e6),
            samples.cell(name, RATE, 0),
            samples.ratio_cell(RATE, name, BARE),
        )
    console.print(table)
    console.print("Asked without a model: /health; of llama-cpp-python's server /v1/models. It answers one at a time.")
    cost = samples.median(APP, TOKEN) * 1e6
    kept = cost <= MOST_US
    console.print(f"at most {MOST_US:g} µs of CPU per token streamed by the edge: {'kept' if kept else 'missed'}")
    return kept


def main() -> None:
    parser = bench_parser(__doc__, rounds=5)
    parser.add_argument("--tokens", type=int, default=200, help="of an answer")
    parser.add_argument("--requests", type=int, default=1000, help="without a model, a round")
    parser.add_argument("--scripted", action="store_true", help="only the two apps over scripted answers")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.tokens, options.requests = 1, 16, 20
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples = measure(options, console, Path(scratch))
        show(console, samples, options)
        write_json(options.json, "edge", options, samples)


if __name__ == "__main__":
    main()
