"""Whole answers over HTTP, beside llama.cpp's own server and llama-cpp-python's stock and batched example servers.

Same GGUF, threads, slots, unified memory and prompts; streaming clients, temperature 0; alternating rounds in one run,
medians. Only the server that is asked works; the others sleep. Prompts differ from request to request, so that nobody
answers from a cache.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, write_json
from chat_servers import MODEL_ID, OURS, SERVERS, Shape, peernode_server
from load import run_round
from rich.console import Console

# Everybody may wait, and ours speculates as little as the others do by default.
OUR_SETTINGS = {"queue_limit": 64, "speculation": "off"}
FIRST, WORST = "first ", "worst "


def measure(options, console: Console, scratch: Path) -> Samples:
    shape = Shape(options.model, options.threads, scratch, options.slots, options.kv_tokens, options.context)
    samples = Samples()
    with ExitStack() as stack:
        urls = {}
        for name in options.servers:
            console.print(f"starting: {name}")
            if name == OURS:
                with environment(options.env):
                    urls[name] = stack.enter_context(peernode_server(shape, {**OUR_SETTINGS, **dict(options.set)}))
            else:
                urls[name] = stack.enter_context(SERVERS[name](shape))
            run_round(urls[name], MODEL_ID, clients=2, tokens=8, salt=999, temperature=0.0)
        progress = Progress(console, options.rounds * len(options.clients) * len(urls))
        for number in range(options.rounds):
            for clients in options.clients:
                for name, url in urls.items():
                    salt = number * 100 + clients
                    outcome = run_round(
                        url, MODEL_ID, clients=clients, tokens=options.tokens, salt=salt, temperature=0.0
                    )
                    samples.add(name, str(clients), outcome.rate)
                    samples.add(FIRST + name, str(clients), statistics.median(outcome.first_token_s))
                    samples.add(WORST + name, str(clients), max(outcome.first_token_s))
                    progress(
                        f"round {number + 1}: {clients} clients, {name}: {outcome.rate:.1f} tokens/s, "
                        f"{outcome.tokens} tokens, worst first token {max(outcome.first_token_s):.2f} s"
                    )
    return samples


def show(console: Console, samples: Samples, options) -> None:
    spread = f"median of {options.rounds} alternating rounds (least…most)"
    table = make_table(
        f"Answers over HTTP, {options.model.name}, {options.tokens} tokens each: {spread}",
        "clients",
        "server",
        "tokens/s",
        "peernode's ×",
        "first token, ms",
        "worst first token, ms",
        "peernode's worst ×",
    )
    for case in map(str, options.clients):
        for name in options.servers:
            table.add_row(
                case,
                name,
                samples.cell(name, case),
                "" if name == OURS else samples.ratio_cell(case, OURS, name),
                samples.cell(FIRST + name, case, 0, 1000),
                samples.cell(WORST + name, case, 0, 1000),
                "" if name == OURS else samples.ratio_cell(case, WORST + OURS, WORST + name),
            )
        table.add_section()
    console.print(table)


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--kv-tokens", type=int, default=16 * 1024)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--servers", nargs="+", default=[*SERVERS], choices=[*SERVERS])
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.tokens, options.clients = 1, 8, [1, 2]
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples = measure(options, console, Path(scratch))
        show(console, samples, options)
        write_json(options.json, "servers", options, samples)


if __name__ == "__main__":
    main()
