"""N-gram speculation on and off, one stream: an answer that nearly repeats the prompt, and free text.

Two engines with the same model, asked in turn. Rates count output tokens per second after the first. At temperature 0
both must say the same, so the table also tells how many answers were identical.
"""

from __future__ import annotations

import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, write_json
from engine_load import ask, running_engine
from prompts import edit_prompt, story_prompt
from requantized import KINDS, requantized
from rich.console import Console

ON, OFF = "auto", "off"
EDIT, FREE, FREE_WARM = "repetitive edit", "free text, temperature 0", "free text, temperature 0.8"
IDENTICAL, TOKENS = "identical", "tokens"


async def measure(options, console: Console) -> Samples:
    samples = Samples()
    settings = {"threads": options.threads, "slots": options.slots, "context": options.context, **dict(options.set)}
    cases = {EDIT: (edit_prompt, 0.0), FREE: (story_prompt, 0.0), FREE_WARM: (story_prompt, 0.8)}
    progress = Progress(console, options.rounds * len(cases) * 2)
    async with AsyncExitStack() as stack:
        stack.enter_context(environment(options.env))
        engines = {
            side: await stack.enter_async_context(running_engine(options.model, **settings, speculation=side))
            for side in (ON, OFF)
        }
        for engine in engines.values():
            await ask(engine, story_prompt("warm-up"), 8)
        for number in range(options.rounds):
            for case, (make_prompt, temperature) in cases.items():
                texts = {}
                # Who goes first takes turns, because a machine is slower after it has been busy.
                for side in (ON, OFF) if number % 2 else (OFF, ON):
                    prompt = make_prompt(f"{number:02}")
                    answer = await ask(engines[side], prompt, options.tokens, temperature=temperature, seed=number)
                    samples.add(side, case, answer.rate)
                    samples.add(TOKENS, case, answer.usage.completion_tokens)
                    texts[side] = answer.text
                    load = engines[side].load()
                    progress(
                        f"round {number + 1}: {case}, {side}: {answer.rate:.1f} tokens/s, "
                        f"{answer.usage.completion_tokens} tokens; guesses: {load.accepted} of {load.drafted}"
                    )
                samples.add(IDENTICAL, case, float(texts[ON] == texts[OFF]))
    return samples


def show(console: Console, samples: Samples, options) -> None:
    table = make_table(
        f"Speculation at one stream, {options.model.name}: median of {options.rounds} alternating rounds (least…most)",
        "answer",
        "on, tok/s",
        "off, tok/s",
        "on / off",
        "identical",
        "tokens",
    )
    for case in (EDIT, FREE, FREE_WARM):
        same = samples.values[IDENTICAL, case]
        table.add_row(
            case,
            samples.cell(ON, case),
            samples.cell(OFF, case),
            samples.ratio_cell(case, ON, OFF),
            f"{sum(same):.0f} of {len(same)}",
            samples.cell(TOKENS, case, 0),
        )
    console.print(table)


def main() -> None:
    parser = bench_parser(__doc__, rounds=7)
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--quantization", choices=KINDS, help="of a copy of the model, made once")
    options = parser.parse_args()
    if options.quantization:
        options.model = requantized(options.model, options.quantization)
    if options.quick:
        options.rounds, options.tokens = 1, 24
    with orderly() as console:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        samples = trio.run(measure, options, console)
        show(console, samples, options)
        write_json(options.json, "speculation", options, samples)


if __name__ == "__main__":
    main()
