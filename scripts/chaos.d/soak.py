"""Thousands of jobs from one node to another, a tenth of them hung up on, and what both hold afterwards.

A tiny model with random weights answers, so that the way between the nodes is what works. Whatever grows with the
number of jobs shows: streams, tasks, descriptors, anonymous memory, slots that never come free again. Prefixes that the
model has computed are a cache of gigabytes by default; here it is so small that it is full after the warm-up.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).parents[2]))
import httpx
import proc
from bench_report import make_table, orderly
from chaos_growth import MEMORY, Row, chart, grown
from nodes import NodeFailed, NodeProcess
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from tests.models import write_tiny_model

MODEL_ID = "tiny"
CANCEL_EVERY = 10
SHORT_TOKENS, LONG_TOKENS = 6, 400
ANSWER_S = 60.0
REST_S = 30.0
ROWS = 20
# So many fill caches and pools before anything is held against a process; half of them in a short run.
WARM_JOBS = 1000
# A prompt and its answer take 9 KB of it: full after 500 jobs.
PREFIX_CACHE_MIB = 4
PROCESSES = ("edge", "provider", "worker")
JOB_STREAMS = "/peernode/job/1"


@dataclass
class Tally:
    """How the jobs ended; threads share it."""

    answered: int = 0
    hung_up: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def jobs(self) -> int:
        return self.answered + self.hung_up + len(self.failures)


class Client(threading.Thread):
    """Asks one job after another over one connection until the numbers run out; every tenth it hangs up on."""

    def __init__(self, url: str, numbers: count, jobs: int, tally: Tally) -> None:
        super().__init__(daemon=True)
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=ANSWER_S)
        self._numbers, self._jobs, self._tally = numbers, jobs, tally

    def run(self) -> None:
        while (number := next(self._numbers)) < self._jobs:
            hang_up = number % CANCEL_EVERY == 0
            try:
                failure = self._one(number, hang_up=hang_up)
            except (OSError, http.client.HTTPException) as err:
                failure = repr(err)
            with self._tally.lock:
                if failure:
                    self._tally.failures.append(f"job {number}: {failure}")
                elif hang_up:
                    self._tally.hung_up += 1
                else:
                    self._tally.answered += 1
            if hang_up or failure:
                self._connection.close()  # the next request connects anew

    def _one(self, number: int, *, hang_up: bool) -> str:
        """Empty when it went as it should."""
        body = {
            "model": MODEL_ID,
            "messages": [{"role": "user", "content": f"{number}"}],
            "max_tokens": LONG_TOKENS if hang_up else SHORT_TOKENS,
            "seed": number,
            "stream": True,
        }
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = self._connection.getresponse()
        if answer.status != 200:
            return f"HTTP {answer.status}: {answer.read().decode()[:300]}"
        if hang_up:
            answer.read1(1)
            return ""
        said = answer.read()
        if b'"error"' in said or not said.rstrip().endswith(b"[DONE]"):
            return said.decode(errors="replace")[-300:]
        return ""


class Pair:
    """An edge without a model and the provider that it asks."""

    def __init__(self, scratch: Path, stack: ExitStack) -> None:
        model = write_tiny_model(scratch / "tiny.gguf")
        config = scratch / "provider.toml"  # one thread: a model this small would only wait for a second one
        engine = f"[engine]\nprefix_cache_mib = {PREFIX_CACHE_MIB}\n"
        config.write_text(f'{engine}[[models]]\nid = "{MODEL_ID}"\npath = "{model}"\nthreads = 1\n')
        self.provider = NodeProcess(scratch / "provider", "--config", str(config), "--no-http", name="provider")
        stack.callback(self.provider.kill)
        self.provider.start().wait_for_model()
        self.edge = NodeProcess(scratch / "edge", "--join", self.provider.address, name="edge")
        stack.callback(self.edge.kill)
        self.edge.start().wait_for_offer(self.provider.peer_id)

    def held(self) -> dict[str, dict[str, float]]:
        """What each process holds now."""
        found = {node.name: _held(node) for node in (self.edge, self.provider)}
        (worker,) = proc.children(self.provider.pid)
        found["worker"] = {"descriptors": float(proc.descriptors(worker)), MEMORY: proc.anonymous_mib(worker)}
        return found

    def idle(self) -> bool:
        """True when no job runs or is being wound up anywhere."""
        status = [node.admin("/admin/status") for node in (self.edge, self.provider)]
        jobs = sum(sum(each["jobs"].values()) for each in status)
        (model,) = status[1]["models"]
        streams = sum(each["streams"] for each in self.held().values() if "streams" in each)
        return not jobs and not streams and model["free_slots"] == model["slots"] and not model["queued"]


def _held(node: NodeProcess) -> dict[str, float]:
    access = json.loads((node.home / "admin.json").read_text())
    headers = {"Authorization": f"Bearer {access['token']}"}
    text = httpx.get(f"{access['url']}/admin/metrics", headers=headers, timeout=30).text
    samples = {
        (sample.name, sample.labels.get("protocol", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return {
        "streams": samples.get(("peernode_mesh_streams", JOB_STREAMS), 0.0),
        "tasks": samples["peernode_tasks", ""],
        "descriptors": float(proc.descriptors(node.pid)),
        MEMORY: proc.anonymous_mib(node.pid),
    }


def settled(pair: Pair) -> bool:
    """Wait until nothing runs any more; False when that did not come within half a minute."""
    deadline = time.monotonic() + REST_S
    while not pair.idle():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def run(options: argparse.Namespace, console: Console, scratch: Path) -> tuple[list[Row], Tally, list[str]]:
    """The rows of what was held, how the jobs ended, and the promises that were broken."""
    rows: list[Row] = []
    tally, broken = Tally(), []
    with ExitStack() as stack:
        pair = Pair(scratch, stack)
        numbers, began = count(), time.monotonic()
        for row in range(1, ROWS + 1):
            upto = options.jobs * row // ROWS
            clients = [Client(pair.edge.url, numbers, upto, tally) for _ in range(options.clients)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            numbers = count(upto)  # each client took one number too many
            if not settled(pair):
                broken.append(f"after {upto} jobs something still ran")
            rows.append((tally.jobs, pair.held()))
            rate = tally.jobs / (time.monotonic() - began)
            left_min = (options.jobs - tally.jobs) / rate / 60
            memory = ", ".join(f"{process} {rows[-1][1][process][MEMORY]:.1f}" for process in PROCESSES)
            said = f"{tally.jobs} jobs, {rate:.0f} a second, {len(tally.failures)} failed; MiB: {memory}"
            console.print(f"{said}; about {left_min:.1f} min left", highlight=False)
        codes = {node.name: node.stop() for node in (pair.edge, pair.provider)}
        if any(codes.values()):
            broken.append(f"a node did not stop cleanly: {codes}")
    return rows, tally, broken + grown(rows, warm_jobs=min(WARM_JOBS, options.jobs // 2)) + tally.failures[:10]


def show(console: Console, rows: list[Row]) -> None:
    columns = [(node, name) for node in ("edge", "provider") for name in ("streams", "tasks", "descriptors", MEMORY)]
    columns += [("worker", "descriptors"), ("worker", MEMORY)]
    table = make_table(
        f"Held after so many jobs ({MEMORY} of anonymous memory)",
        "jobs",
        *(f"{process}\n{name}" for process, name in columns),
    )
    for jobs, held in rows:
        cells = (f"{held[process][name]:.{1 if name == MEMORY else 0}f}" for process, name in columns)
        table.add_row(str(jobs), *cells)
    console.print(table)
    for process in PROCESSES:
        console.print(chart(rows, process), highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8, help="jobs at a time")
    parser.add_argument("--json", type=Path, help="write every row to this file, too")
    options = parser.parse_args()
    with orderly() as console, tempfile.TemporaryDirectory(prefix="peernode-soak-") as scratch:
        try:
            rows, tally, broken = run(options, console, Path(scratch))
        except NodeFailed as err:
            raise SystemExit(f"error: {err}") from None
        show(console, rows)
    console.print(f"{tally.answered} answered, {tally.hung_up} hung up on, {len(tally.failures)} failed")
    for said in broken:
        console.print(f"BROKEN: {said}", highlight=False, markup=False)
    console.print("all promises kept" if not broken else f"{len(broken)} broken")
    if options.json:
        held = [{"jobs": jobs, **processes} for jobs, processes in rows]
        content = {"rows": held, "answered": tally.answered, "hung_up": tally.hung_up, "broken": broken}
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
