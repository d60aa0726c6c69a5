"""What sharing saves: eight requests with one long beginning sent together, and a second one that finds it cached.

Ours beside llama.cpp's server with the same slots and one unified cache. "Computed" counts the prompt tokens that were
not taken from a cache, by each server's own usage report.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, write_json
from chat_servers import LLAMA_SERVER, MODEL_ID, OURS, Shape, llama_server, peernode_node, prefilled_tokens
from load import Round, chat_body, run_round, run_together
from long_context import with_context
from prompts import filler
from rich.console import Console

TOGETHER, COLD, CACHED = "together", "cold", "cached"
PROMPT, COMPUTED, COUNTER = "prompt tokens of ", "computed by ", "counted by the engine"


def ask(url: str, prompts: list[str]) -> Round:
    return run_together(url, [chat_body(MODEL_ID, prompt, tokens=4) for prompt in prompts])


def measure(options, console: Console, scratch: Path) -> Samples:
    samples = Samples()
    model = with_context(options.model, options.context)
    shape = Shape(model, options.threads, scratch, options.slots, options.kv_tokens, options.context)
    with ExitStack() as stack:
        with environment(options.env):
            node = stack.enter_context(peernode_node(shape, dict(options.set)))
        urls = {OURS: node.url, LLAMA_SERVER: stack.enter_context(llama_server(shape))}
        for url in urls.values():
            run_round(url, MODEL_ID, clients=2, tokens=8, salt=999, temperature=0.0)
        progress = Progress(console, options.rounds * len(urls) * 3)
        for number in range(options.rounds):
            for name, url in urls.items():
                shared = filler(f"{number:04} {name}", options.shared)
                before = prefilled_tokens(node)
                rounds = {TOGETHER: ask(url, [f"{shared}\nQuestion {at}?" for at in range(options.requests)])}
                if name == OURS:
                    samples.add(COUNTER, TOGETHER, prefilled_tokens(node) - before)
                # Unlike the shared part of the same round, of which the cache must know nothing.
                prefix = filler(f"{number + 5000:04} {name}", options.cached)
                rounds[COLD] = ask(url, [f"{prefix}\nWhat is this about?"])
                rounds[CACHED] = ask(url, [f"{prefix}\nAnd who wrote it?"])
                for case, outcome in rounds.items():
                    samples.add(name, case, max(outcome.first_token_s))
                    samples.add(PROMPT + name, case, sum(answer.prompt_tokens for answer in outcome.answers))
                    samples.add(COMPUTED + name, case, outcome.computed_tokens)
                    progress(
                        f"round {number + 1}: {name}, {case}: {max(outcome.first_token_s):.2f} s, computed "
                        f"{outcome.computed_tokens} prompt tokens"
                    )
    return samples


def show(console: Console, samples: Samples, options) -> None:
    table = make_table(
        f"Shared prefixes, {options.model.name}: median of {options.rounds} alternating rounds (least…most)",
        "what",
        "server",
        "s until all have a first token",
        "peernode's ×",
        "× cold",
        "prompt tokens",
        "computed",
    )
    titles = {
        TOGETHER: f"{options.requests} requests, {options.shared} words shared",
        COLD: f"one of {options.cached} words, cold",
        CACHED: "the next with the same beginning",
    }
    for case, title in titles.items():
        for name in (OURS, LLAMA_SERVER):
            table.add_row(
                title,
                name,
                samples.cell(name, case, 3),
                "" if name == OURS else samples.ratio_cell(case, OURS, name),
                samples.ratio_cell(CACHED, name, name, COLD) if case == CACHED else "",
                f"{samples.median(PROMPT + name, case):.0f}",
                f"{samples.median(COMPUTED + name, case):.0f}",
            )
        table.add_section()
    console.print(table)
    counted = samples.cell(COUNTER, TOGETHER, 0)
    console.print(f"The engine's own counter says of the {options.requests} requests: {counted} tokens computed.")


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--shared", type=int, default=1300, help="words of about one token that requests share")
    parser.add_argument("--cached", type=int, default=2000, help="words of the prefix that is asked for twice")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--kv-tokens", type=int, default=16 * 1024)
    parser.add_argument("--context", type=int, default=4096)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.shared, options.cached, options.requests = 1, 100, 120, 3
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples = measure(options, console, Path(scratch))
        show(console, samples, options)
        write_json(options.json, "prefix", options, samples)


if __name__ == "__main__":
    main()
