"""How evenly running answers stream while a long prompt arrives, and what that costs the prompt.

Some streams run; then one request with a very long prompt comes. Every pause of a running stream counts of which any
part lies between that request and its first token. The same length of prompt on an idle server is the comparison.
The model is a copy with a longer context, if need be.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, environment, make_table, orderly, percentile, write_json
from chat_servers import LLAMA_SERVER, MODEL_ID, OURS, Shape, llama_server, peernode_server
from load import Answer, Client, LoadFailed, chat_body, run_round, run_together
from long_context import with_context
from prompts import filler, story_prompt
from rich.console import Console

PREFILL = "prefill "
IDLE, BUSY = "idle", "busy"
P50, P99, WORST, QUIET = "p50", "p99", "worst", "p50 before"
# Ids that end an answer of the demo model; beyond the context it was trained on it would say nothing else.
NO_END = {"0": -100, "2": -100}
# Pieces that every stream has sent before the prompt comes: enough to see its usual pace.
_SETTLED = 16
_SETTLE_S = 120.0


class Stream:
    """Answers, one after another, until it is stopped: an answer that ends by itself leaves no hole for long."""

    def __init__(self, url: str, prompt: str, tokens: int) -> None:
        self._url, self._body = url, chat_body(MODEL_ID, prompt, tokens=tokens)
        self._clients: list[Client] = []
        self._stopped = False
        self._next()

    @property
    def pieces(self) -> int:
        return sum(client.pieces for client in self._clients)

    def keep_going(self) -> None:
        if not self._clients[-1].running:
            self._clients[-1].join()
            self._next()

    def stop(self) -> None:
        self._clients[-1].stop()

    def answers(self) -> list[Answer]:
        return [client.join() for client in self._clients]

    def _next(self) -> None:
        self._clients.append(Client(self._url, self._body))
        self._clients[-1].start()


def one_round(url: str, options, salt: str) -> tuple[dict[str, float], float, float, int]:
    """Gaps in seconds (P50, P99, WORST, QUIET), prefill seconds idle and busy, and the prompt's tokens."""
    long_prompts = [
        chat_body(MODEL_ID, filler(f"{salt} {when}", options.prompt) + "\nWhat is this about?", tokens=8)
        | {"logit_bias": NO_END}
        for when in (IDLE, BUSY)
    ]
    idle = run_together(url, long_prompts[:1]).answers[0]
    streams = [Stream(url, story_prompt(f"{salt} {at}"), options.stream_tokens) for at in range(options.streams)]
    try:
        deadline = time.monotonic() + _SETTLE_S
        while any(stream.pieces < _SETTLED for stream in streams):
            if time.monotonic() > deadline:
                raise LoadFailed(f"the streams did not all come to run within {_SETTLE_S:.0f} s")
            watch(streams)
        long = Client(url, long_prompts[1])
        long.start()
        while long.running:
            watch(streams)
    finally:
        for stream in streams:
            stream.stop()
    busy = long.join()
    if not busy.stamps:
        raise LoadFailed(f"{url} answered the long prompt without any text")
    answers = [answer for stream in streams for answer in stream.answers()]
    during = [gap for answer in answers for gap in gaps(answer, busy.sent, busy.stamps[0])]
    before = [gap for answer in answers for gap in gaps(answer, idle.stamps[-1], busy.sent)]
    figures = {
        P50: percentile(during, 0.5),
        P99: percentile(during, 0.99),
        WORST: max(during),
        QUIET: percentile(before, 0.5),
    }
    return figures, idle.first_s, busy.first_s, busy.prompt_tokens


def watch(streams: list[Stream]) -> None:
    for stream in streams:
        stream.keep_going()
    time.sleep(0.02)


def gaps(answer: Answer, begin: float, end: float) -> list[float]:
    """Seconds between successive pieces, of which any part lies between ``begin`` and ``end``."""
    pairs = zip(answer.stamps, answer.stamps[1:], strict=False)
    return [later - earlier for earlier, later in pairs if earlier < end and later > begin]


def measure(options, console: Console, scratch: Path) -> Samples:
    samples = Samples()
    model = with_context(options.model, options.context)
    shape = Shape(model, options.threads, scratch, options.streams + 4, options.kv_tokens, options.context)
    settings = {"itl_target_ms": options.target_ms, "speculation": "off", **dict(options.set)}
    with ExitStack() as stack:
        with environment(options.env):
            urls = {OURS: stack.enter_context(peernode_server(shape, settings))}
        if not options.ours_only:
            urls[LLAMA_SERVER] = stack.enter_context(llama_server(shape))
        for url in urls.values():
            run_round(url, MODEL_ID, clients=2, tokens=8, salt=999, temperature=0.0)
        progress = Progress(console, options.rounds * len(urls))
        for number in range(options.rounds):
            for name, url in urls.items():
                figures, idle_s, busy_s, prompt_tokens = one_round(url, options, f"{number:04} {name}")
                for case, value in figures.items():
                    samples.add(name, case, value)
                samples.add(PREFILL + name, IDLE, idle_s)
                samples.add(PREFILL + name, BUSY, busy_s)
                progress(
                    f"round {number + 1}: {name}: gaps p50 {figures[P50] * 1000:.0f} ms, p99 "
                    f"{figures[P99] * 1000:.0f} ms; {prompt_tokens} prompt tokens {busy_s:.1f} s, idle {idle_s:.1f} s"
                )
    return samples


def show(console: Console, samples: Samples, options) -> None:
    spread = f"median of {options.rounds} alternating rounds (least…most)"
    table = make_table(
        f"{options.streams} streams while a prompt of {options.prompt} words arrives: {spread}",
        "server",
        "gap before, ms",
        "gap p50, ms",
        "gap p99, ms",
        f"p99 × target\n({options.target_ms} ms)",
        "worst gap, ms",
        "prompt, s",
        "prompt idle, s",
        "prompt × idle",
    )
    for name in (OURS, LLAMA_SERVER):
        if not samples.has(name, P50):
            continue
        table.add_row(
            name,
            *(samples.cell(name, case, 0, 1000) for case in (QUIET, P50, P99)),
            samples.cell(name, P99, 2, 1000 / options.target_ms),
            samples.cell(name, WORST, 0, 1000),
            *(samples.cell(PREFILL + name, case) for case in (BUSY, IDLE)),
            samples.ratio_cell(BUSY, PREFILL + name, PREFILL + name, IDLE),
        )
    console.print(table)


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=6000, help="words of about one token in the long prompt")
    parser.add_argument("--target-ms", type=int, default=150)
    parser.add_argument("--stream-tokens", type=int, default=1000, help="of one answer; then the stream asks again")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--kv-tokens", type=int, default=24 * 1024)
    parser.add_argument("--ours-only", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.prompt, options.streams = 1, 300, 2
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples = measure(options, console, Path(scratch))
        show(console, samples, options)
        write_json(options.json, "latency", options, samples)


if __name__ == "__main__":
    main()
