"""Decode rate of the engine's worker beside llama.cpp's ``llama-batched-bench`` and a bare ``llama_decode`` loop.

Everybody gets the same GGUF, threads, slots, memory, flash attention, prompt and answer lengths, in alternating rounds
of one run. Rates count output tokens per second while all sequences run, so prefill is left out on every side.
``llama-batched-bench`` runs with the worker's types of keys and values, and with f16, llama.cpp's default.
The worker does not speculate unless told to (--set speculation=auto), because the others do not.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bare_loop import BareLoop, silence_llama
from batched_bench import batched_bench
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, write_json
from engine_load import ask, ask_together, decode_rate, running_engine
from llama_build import BATCHED_BENCH, llama_tool
from prompts import story_prompt
from rich.console import Console

from peernode.engine import Engine

OURS, BARE, SAME_KV, F16 = "peernode worker", "bare loop", "batched-bench", "batched-bench, f16"
# Types of keys and values that the worker has with each kv_type, on a CPU.
KV_PAIRS = {"auto": ("q8_0", "f16"), "f16": ("f16", "f16"), "q8_0": ("q8_0", "q8_0")}


async def measure(options, console: Console) -> Samples:
    wanted = {"speculation": "off", **dict(options.set)}
    kv = KV_PAIRS[wanted.get("kv_type", "auto")]
    shape = {"threads": options.threads, "kv_tokens": options.kv_tokens}
    samples = Samples()
    settings = {**shape, "slots": options.slots, "context": options.kv_tokens, "queue_limit": 64}
    progress = Progress(console, options.rounds * len(options.sequences) * 4)
    async with AsyncExitStack() as stack:
        with environment(options.env):
            engine = await stack.enter_async_context(running_engine(options.model, **{**settings, **wanted}))
        bare = BareLoop(options.model, slots=options.slots, kv=kv, **shape)
        prompt_tokens = (await ask(engine, story_prompt("00.00"), 2)).usage.prompt_tokens
        for number in range(options.rounds):
            for width in options.sequences:
                lengths = {"sequences": width, "prompt_tokens": prompt_tokens, "tokens": options.tokens}
                prompts = [story_prompt(f"{number:02}.{slot:02}") for slot in range(width)]
                rates = {OURS: decode_rate(await ask_together(engine, prompts, options.tokens))}
                rates[BARE] = bare.rate(**lengths)
                _, rates[SAME_KV] = batched_bench(options.model, **lengths, **shape, kv=kv)
                _, rates[F16] = batched_bench(options.model, **lengths, **shape, kv=("f16", "f16"))
                for side, rate in rates.items():
                    samples.add(side, str(width), rate)
                    progress(f"round {number + 1}: {width} sequences, {side}: {rate:.1f} tokens/s")
        show_profile(console, engine)
    return samples


def show_profile(console: Console, engine: Engine) -> None:
    """The engine's own account of where a step's time goes."""
    load = engine.load()
    seconds = dataclasses.asdict(load.seconds)
    total = sum(seconds.values()) or 1.0
    table = make_table(f"Where the time of {load.steps} steps went", "part", "ms per step", "share")
    for name, spent in seconds.items():
        table.add_row(name, f"{1000 * spent / max(1, load.steps):.3f}", f"{100 * spent / total:.1f} %")
    console.print(table)


def show(console: Console, samples: Samples, options) -> None:
    title = f"Decode, {options.model.name}, {options.threads} threads, {options.tokens} tokens"
    sides = (OURS, BARE, SAME_KV, F16)
    table = make_table(
        f"{title}: median of {options.rounds} alternating rounds (least…most)",
        "sequences",
        *(f"{side}\ntok/s" for side in sides),
        *(f"worker ×\n{side}" for side in sides[1:]),
    )
    for case in map(str, options.sequences):
        ratios = (samples.ratio_cell(case, OURS, side) for side in sides[1:])
        table.add_row(case, *(samples.cell(side, case, 0) for side in sides), *ratios)
    console.print(table)


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--kv-tokens", type=int, default=8192)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.tokens, options.sequences = 1, 16, [1, 4]
    with orderly() as console:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        silence_llama()
        llama_tool(BATCHED_BENCH)
        samples = trio.run(measure, options, console)
        show(console, samples, options)
        write_json(options.json, "engine", options, samples)


if __name__ == "__main__":
    main()
