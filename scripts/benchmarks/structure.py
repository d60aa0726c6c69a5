"""Answers that must follow a JSON schema, over HTTP, beside llama.cpp's own server with the same schemas.

The schemas are those of tests/engine/worker/grammar/schemas.py, each asked for once a round by some clients at once,
temperature 0; the prompt repeats the schema, or with --untold leaves it to the grammar alone. What ended by itself is
parsed and validated; what ran out of tokens is counted as cut, what a server refused as refused. A second table is the
engine's jump-ahead on a schema that is mostly keys: on against off.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
sys.path.insert(1, str(Path(__file__).parents[2]))
from bench_report import Progress, Samples, bench_parser, make_table, orderly, write_json
from chat_servers import LLAMA_SERVER, MODEL_ID, OURS, SERVERS, Shape, peernode_server
from load import TIMEOUT_S, LoadFailed, chat_body
from rich.console import Console

from tests.engine.worker.grammar.schemas import Schema, corpus

JUMPING, STEPPING = "jump-ahead on", "jump-ahead off"
KEY_HEAVY: Schema = {
    "type": "object",
    "properties": {
        f"{name}_of_the_{thing}": {"type": "boolean"}
        for thing in ("delivery", "warehouse", "customer")
        for name in ("availability", "confirmation", "verification", "cancellation")
    },
    "additionalProperties": False,
}
KEY_HEAVY["required"] = list(KEY_HEAVY["properties"])


@dataclass
class Tally:
    """What became of one round's answers. ``broken`` holds names of those that ended and do not validate."""

    tokens: int = 0
    took_s: float = 0.0
    valid: int = 0
    cut: int = 0
    refused: int = 0
    broken: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        return self.tokens / self.took_s

    def __str__(self) -> str:
        counts = f"{self.valid} valid, {len(self.broken)} invalid, {self.cut} cut, {self.refused} refused"
        return f"{self.rate:.1f} tokens/s, {self.tokens} tokens, {counts}"


def ask_all(url: str, schemas: Sequence[tuple[str, Schema]], *, clients: int, tokens: int, told: bool = True) -> Tally:
    """Every schema once, ``clients`` at a time. Raises LoadFailed on any answer but a completion or a refusal."""
    waiting, tally, lock = list(reversed(schemas)), Tally(), threading.Lock()
    failures: list[str] = []

    def work() -> None:
        with httpx.Client(timeout=TIMEOUT_S) as http:
            while not failures:
                with lock:
                    if not waiting:
                        return
                    name, schema = waiting.pop()
                answer = http.post(f"{url}/v1/chat/completions", json=body(schema, tokens, told=told))
                with lock:
                    if answer.status_code not in (200, 400):
                        failures.append(f"{url}: HTTP {answer.status_code} for {name}: {answer.text[:500]}")
                    else:
                        count(tally, name, schema, answer)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.took_s = time.perf_counter() - began
    if failures:
        raise LoadFailed(failures[0])
    return tally


def body(schema: Schema, tokens: int, *, told: bool) -> dict[str, Any]:
    text = f" that follows this schema: {json.dumps(schema, ensure_ascii=False)[:600]}" if told else "."
    return {
        **chat_body(MODEL_ID, f"Give one example of JSON{text}", tokens=tokens),
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
    }


def count(tally: Tally, name: str, schema: Schema, answer: httpx.Response) -> None:
    if answer.status_code == 400:
        tally.refused += 1
        return
    content = answer.json()
    choice = content["choices"][0]
    tally.tokens += content["usage"]["completion_tokens"]
    if choice["finish_reason"] == "length":
        tally.cut += 1
        return
    try:
        formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
        value = json.loads(choice["message"]["content"])
        jsonschema.Draft202012Validator(schema, format_checker=formats).validate(value)
    except (ValueError, jsonschema.ValidationError):
        tally.broken += (name,)
    else:
        tally.valid += 1


def measure(options, console: Console, scratch: Path) -> tuple[Samples, dict[str, list[Tally]]]:
    shape = Shape(options.model, options.threads, scratch, options.slots, options.kv_tokens, options.context)
    schemas = corpus(options.copies)
    key_heavy = [(f"key-heavy {number}", KEY_HEAVY) for number in range(options.clients * 2)]
    samples, tallies = Samples(), {name: list[Tally]() for name in options.servers}
    with ExitStack() as stack:
        settings = {"queue_limit": 64, **dict(options.set)}
        urls = {}
        for name in options.servers:
            console.print(f"starting: {name}")
            started = peernode_server(shape, settings) if name == OURS else SERVERS[name](shape)
            urls[name] = stack.enter_context(started)
        jumps = {}
        if OURS in urls:
            jumps[JUMPING] = urls[OURS]
            jumps[STEPPING] = stack.enter_context(peernode_server(shape, {**settings, "jump_ahead": False}))
        for url in {**urls, **jumps}.values():
            ask_all(url, key_heavy[:2], clients=2, tokens=8)
        progress = Progress(console, options.rounds * (len(urls) + len(jumps)))
        for number in range(options.rounds):
            for name, url in urls.items():
                tally = ask_all(url, schemas, clients=options.clients, tokens=options.tokens, told=not options.untold)
                tallies[name].append(tally)
                samples.add(name, "schemas", tally.rate)
                progress(f"round {number + 1}: {name}: {tally}")
            for name, url in jumps.items():
                tally = ask_all(url, key_heavy, clients=options.clients, tokens=options.tokens * 2)
                samples.add(name, "key-heavy", tally.rate)
                progress(f"round {number + 1}: {name}: {tally}")
    return samples, tallies


def show(console: Console, samples: Samples, tallies: dict[str, list[Tally]], options) -> None:
    spread = f"{options.clients} clients, median of {options.rounds} alternating rounds (least…most)"
    schemas = f"{len(corpus(options.copies))} JSON schemas{', not in the prompt' * options.untold}"
    table = make_table(
        f"{schemas}, {options.model.name}, {spread}",
        *("server", "tokens/s", "peernode's ×", "valid", "invalid", "cut", "refused"),
    )
    for name, rounds in tallies.items():
        last = rounds[-1]
        ratio = "" if name == OURS else samples.ratio_cell("schemas", OURS, name)
        counts = map(str, (last.valid, len(last.broken), last.cut, last.refused))
        table.add_row(name, samples.cell(name, "schemas"), ratio, *counts)
    console.print(table)
    if samples.has(JUMPING, "key-heavy"):
        table = make_table(f"A schema of {len(KEY_HEAVY['properties'])} long keys: {spread}", "", "tokens/s", "on's ×")
        table.add_row(JUMPING, samples.cell(JUMPING, "key-heavy"), "")
        ratio = samples.ratio_cell("key-heavy", JUMPING, STEPPING)
        table.add_row(STEPPING, samples.cell(STEPPING, "key-heavy"), ratio)
        console.print(table)
    for name, rounds in tallies.items():
        if broken := sorted({each for tally in rounds for each in tally.broken}):
            console.print(f"{name}, ended and invalid: {', '.join(broken)}")


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--tokens", type=int, default=200, help="an answer's most; a key-heavy one's is twice that")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--copies", type=int, default=6, help="of each of 35 kinds of schemas")
    parser.add_argument("--untold", action="store_true", help="prompts do not repeat the schema")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--kv-tokens", type=int, default=16 * 1024)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--servers", nargs="+", default=[OURS, LLAMA_SERVER], choices=[*SERVERS])
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.copies = 1, 1
    with orderly() as console:
        with tempfile.TemporaryDirectory() as scratch:
            samples, tallies = measure(options, console, Path(scratch))
        show(console, samples, tallies, options)
        found = {name: [vars(tally) for tally in rounds] for name, rounds in tallies.items()}
        write_json(options.json, "structure", options, samples, tallies=found)


if __name__ == "__main__":
    main()
