"""A well-behaved client beside a crowd: 500 idle and 200 slow connections, calm and crowded in turns, in one run.

The crowd is a process of its own that yields to everything else (``nice 19``): on a small machine its own work would
otherwise be measured. The client's time to the first token may rise by a fifth (medians); all of its requests must be
served, nobody refused, and afterwards the node holds as few sockets as before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
import httpx
import proc
from bench_report import DEMO_MODEL, make_table, percentile
from nodes import NodeFailed, NodeProcess
from platformdirs import user_cache_dir
from rich.console import Console

LIB = Path(__file__).parents[1] / "lib"
WORST_RATIO = 1.2
MORE_SOCKETS = 4
SETTLE_S = 60.0


@dataclass
class Phase:
    """The times to the first token, in milliseconds, of all calm or all crowded turns; and what the node held."""

    firsts: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    sockets: int = 0
    mib: float = 0.0

    @property
    def p50(self) -> float:
        return statistics.median(self.firsts)


class Client:
    """Asks one node with a model, one answer after another, on one connection."""

    def __init__(self, node: NodeProcess, http: httpx.Client, tokens: int) -> None:
        self._node, self._http, self._tokens, self._asked = node, http, tokens, 0

    def first_ms(self) -> float:
        """One streamed answer, and when its first token came. Raises NodeFailed when there was none."""
        self._asked += 1
        messages = [{"role": "user", "content": f"Say {self._asked}."}]
        body = {"model": "model", "messages": messages, "max_tokens": self._tokens, "seed": 1, "stream": True}
        began, first, done = time.perf_counter(), 0.0, False
        with self._http.stream("POST", f"{self._node.url}/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                raise NodeFailed(f"HTTP {answer.status_code}: {answer.read().decode()[:500]}")
            for line in answer.iter_lines():
                if (
                    not first
                    and line.startswith("data: ")
                    and json.loads(line[6:])["choices"][0]["delta"].get("content")
                ):
                    first = time.perf_counter()
                done |= line == "data: [DONE]"
        if not first or not done:
            raise NodeFailed("an answer without a token, or without an end")
        return (first - began) * 1000


@contextmanager
def crowding(node: NodeProcess, idle: int, slow: int, counts: Counter[str]) -> Iterator[None]:
    """The crowd is there; what became of it is added to ``counts``."""
    host, port = node.url.removeprefix("http://").split(":")
    command = [sys.executable, "-P", str(LIB / "http_crowd.py"), host, port, str(idle), str(slow)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None
        try:
            if crowd.stdout.readline() != "ready\n":
                raise NodeFailed("the crowd did not come")
            yield
            said, _ = crowd.communicate(timeout=60)
            counts.update(json.loads(said))
        finally:
            crowd.kill()


def measure(node: NodeProcess, client: Client, phase: Phase, answers: int) -> None:
    began, cpu = time.monotonic(), proc.cpu_s(node.pid)
    phase.firsts += [client.first_ms() for _ in range(answers)]
    phase.cpu.append((proc.cpu_s(node.pid) - cpu) / (time.monotonic() - began))
    phase.sockets, phase.mib = proc.sockets(node.pid), proc.rss_mib(node.pid)


def settled(node: NodeProcess, before: int) -> int:
    """Sockets once those of the crowd are gone."""
    deadline = time.monotonic() + SETTLE_S
    while (held := proc.sockets(node.pid)) > before + MORE_SOCKETS and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


def idle_cpu(node: NodeProcess, seconds: float) -> float:
    """Share of a core that the node takes when nobody asks."""
    cpu, began = proc.cpu_s(node.pid), time.monotonic()
    time.sleep(seconds)
    return (proc.cpu_s(node.pid) - cpu) / (time.monotonic() - began)


def run(options: argparse.Namespace, scratch: Path) -> int:
    config = scratch / "node.toml"
    config.write_text(f'[[models]]\nid = "model"\npath = "{options.model}"\nthreads = 1\n')
    node = NodeProcess(scratch / "node", "--network", "chaos", "--config", str(config), name="node").start()
    broken, counts, calm, crowded = [], Counter[str](), Phase(), Phase()
    try:
        node.wait_for_model()
        with httpx.Client(timeout=60) as http:
            client = Client(node, http, options.tokens)
            for _ in range(3):
                client.first_ms()
            before = proc.sockets(node.pid)
            quiet = idle_cpu(node, options.quiet)
            for _ in range(options.turns):
                measure(node, client, calm, options.answers)
                with crowding(node, options.idle, options.slow, counts):
                    measure(node, client, crowded, options.answers)
                held = settled(node, before)
            with crowding(node, options.idle, 0, Counter()):
                quiet_crowd = idle_cpu(node, options.quiet)
        if crowded.p50 > WORST_RATIO * calm.p50:
            broken.append(f"time to first token {crowded.p50 / calm.p50:.2f} times the calm one, at most {WORST_RATIO}")
        if held > before + MORE_SOCKETS:
            broken.append(f"{held} sockets afterwards, {before} before")
        if counts["refused"] or counts["broken"]:
            broken.append(f"of the crowd: {dict(counts)}")
        if node.stop():
            broken.append("the node did not stop well")
    except NodeFailed as failed:
        broken.append(str(failed))
    finally:
        node.kill()
    if calm.firsts and crowded.firsts:
        columns = ("", "answers", "first token p50 ms", "p90 ms", "CPU of the node", "sockets", "MiB")
        table = make_table(f"{options.idle} idle and {options.slow} slow connections", *columns)
        for name, phase in (("calm", calm), ("crowded", crowded)):
            times = f"{phase.p50:.1f}", f"{percentile(phase.firsts, 0.9):.1f}"
            load = f"{statistics.mean(phase.cpu):.2f}", str(phase.sockets), f"{phase.mib:.0f}"
            table.add_row(name, str(len(phase.firsts)), *times, *load)
        console = Console(width=120)
        console.print(table)
        ratio = crowded.p50 / calm.p50
        console.print(f"ratio of the medians {ratio:.3f}; sockets afterwards {held}; crowd {dict(counts)}")
        console.print(
            f"CPU with nobody there {quiet:.3f}, with {options.idle} idle connections {quiet_crowd:.3f} of a core"
        )
    for promise in broken:
        sys.stdout.write(f"BROKEN: {promise}\n")
    return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos edge", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(user_cache_dir("peernode")) / "models" / DEMO_MODEL)
    parser.add_argument("--idle", type=int, default=500)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--turns", type=int, default=4, help="calm and crowded, each so often")
    parser.add_argument("--answers", type=int, default=15, help="in each turn")
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds to look at the node when nobody asks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return run(options, Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
