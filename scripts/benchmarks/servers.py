"""Whole answers over HTTP, beside llama.cpp's own server and llama-cpp-python's stock one.

Same GGUF, threads, slots and memory; alternating rounds in one run, medians. Only the server that is asked works; the
others sleep. Prompts differ from request to request, so that nobody answers from a cache.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from load import Round, run_round
from nodes import NodeProcess

MODEL_ID = "demo"
SLOTS, KV_TOKENS = 16, 16 * 1024
CONFIG = f"""
[engine]
slots = {SLOTS}
kv_tokens = {KV_TOKENS}
threads = {{threads}}
"""


@contextmanager
def peernode_server(model: Path, threads: int, folder: Path) -> Iterator[str]:
    config = folder / "bench.toml"
    config.write_text(CONFIG.format(threads=threads))
    node = NodeProcess(folder / "home", "--config", str(config), "--model", f"{MODEL_ID}={model}", name="peernode")
    try:
        node.start()
        node.wait_for_model()
        yield node.url
    finally:
        node.kill()


@contextmanager
def llama_server(model: Path, threads: int) -> Iterator[str]:
    script = Path(__file__).parents[1] / "lib" / "llama_server.py"
    command = [sys.executable, str(script), "--model", str(model), "--slots", str(SLOTS)]
    command += ["--kv-tokens", str(KV_TOKENS), "--threads", str(threads)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def stock_server(model: Path, threads: int) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", MODEL_ID]
    command += ["--n_threads", str(threads), "--n_threads_batch", str(threads), "--n_ctx", "4096", "--port", str(port)]
    command += ["--interrupt_requests", "false", "--verbose", "false"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_it_answers(url, process)
            yield url
        finally:
            process.kill()


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit(f"the stock server ended with {process.returncode}")
        try:
            httpx.get(f"{url}/v1/models", timeout=1)
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("the stock server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        urls = {"peernode": stack.enter_context(peernode_server(options.model, options.threads, Path(scratch)))}
        if importlib.util.find_spec("xllamacpp"):
            urls["llama.cpp server"] = stack.enter_context(llama_server(options.model, options.threads))
        if importlib.util.find_spec("sse_starlette"):
            urls["llama-cpp-python server"] = stack.enter_context(stock_server(options.model, options.threads))
        for url in urls.values():
            run_round(url, MODEL_ID, clients=1, tokens=8, salt=99, temperature=0.0)
        cases = {(name, clients): list[Round]() for clients in options.clients for name in urls}
        for number in range(options.rounds):
            for (name, clients), rounds in cases.items():
                rounds.append(
                    run_round(
                        urls[name],
                        MODEL_ID,
                        clients=clients,
                        tokens=options.tokens,
                        salt=number * 100 + clients,
                        temperature=0.0,
                    )
                )
                rate = rounds[-1].rate
                console.print(f"round {number + 1}: {name}, {clients} clients: {rate:.1f} tokens/s")
    console.print(table(cases))


def table(cases: dict[tuple[str, int], list[Round]]) -> Table:
    made = Table(title="Answers over HTTP, medians")
    for column in ("clients", "server", "tokens/s", "peernode is ×", "first token, ms", "worst first token, ms"):
        made.add_column(column, justify="left" if column == "server" else "right")
    rates = {case: statistics.median(each.rate for each in rounds) for case, rounds in cases.items()}
    for (name, clients), rounds in cases.items():
        first = statistics.median(second for each in rounds for second in each.first_token_s)
        worst = statistics.median(max(each.first_token_s) for each in rounds)
        made.add_row(
            str(clients),
            name,
            f"{rates[name, clients]:.1f}",
            f"{rates['peernode', clients] / rates[name, clients]:.2f}",
            f"{1000 * first:.0f}",
            f"{1000 * worst:.0f}",
        )
    return made


if __name__ == "__main__":
    main()
