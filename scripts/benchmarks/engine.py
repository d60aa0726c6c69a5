"""Decode rate of the engine beside the bare ``llama_decode`` loop and llama-cpp-python's high-level API.

All three get the same GGUF, threads, context and greedy sampling, in alternating rounds; the table shows medians.
``Llama`` runs one sequence at a time, so its n jobs run one after another. Rates count output tokens per second from
the first token of all sequences on, so that prefill is left out on every side.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import statistics
import time
from pathlib import Path

import llama_cpp
import numpy as np
import platformdirs
import structlog
import trio
from rich.console import Console
from rich.table import Table

from peernode.chat.events import Failed, Tokens
from peernode.chat.job import ChatJob
from peernode.chat.request import ChatRequest, Message, Sampling
from peernode.engine import Engine, EngineSettings
from peernode.engine.worker.context import DecodeContext
from peernode.engine.worker.cores import physical_cores

DEMO_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT = 2048
PROMPT = "Write a long story about number {}, a fox who lived in the deep forest and liked to count the stars."


class Bare:
    """Nothing but ``llama_decode`` and argmax, with the batch filled through numpy: the ceiling."""

    name = "bare llama_decode"

    def __init__(self, path: Path, threads: int) -> None:
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        self._threads = threads
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)

    def rate(self, sequences: int, tokens: int) -> float:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = max(CONTEXT, 8 * 1024), 512, 512
        parameters.n_seq_max = parameters.n_outputs_max = 8
        parameters.kv_unified, parameters.no_perf = True, True
        parameters.n_threads = parameters.n_threads_batch = self._threads
        handle = llama_cpp.llama_init_from_model(self._model, parameters)
        vocabulary = llama_cpp.llama_vocab_n_tokens(self._vocabulary)
        context = DecodeContext(handle, vocabulary=vocabulary, slots=8, batch_tokens=512)
        nexts = []
        for slot in range(sequences):
            prompt = self._prompt(slot)
            context.begin()
            context.add(prompt, 0, slot, wants_logits=True)
            assert context.decode() == 0
            nexts.append((len(prompt), int(context.logits(0).argmax())))
        began = time.perf_counter()
        for _ in range(tokens - 1):
            context.begin()
            for slot, (position, token) in enumerate(nexts):
                context.add(np.array([token], np.int32), position, slot, wants_logits=True)
            assert context.decode() == 0
            nexts = [(position + 1, int(context.logits(row).argmax())) for row, (position, _) in enumerate(nexts)]
        seconds = time.perf_counter() - began
        llama_cpp.llama_free(handle)
        return sequences * (tokens - 1) / seconds

    def _prompt(self, number: int) -> np.ndarray:
        raw = f"<|im_start|>user\n{PROMPT.format(number)}<|im_end|>\n<|im_start|>assistant\n".encode()
        ids = (llama_cpp.llama_token * (len(raw) + 8))()
        count = llama_cpp.llama_tokenize(self._vocabulary, raw, len(raw), ids, len(ids), False, True)
        return np.array(ids[:count], np.int32)


class Stock:
    """``llama_cpp.Llama``: one job after another."""

    name = "llama_cpp.Llama"

    def __init__(self, path: Path, threads: int) -> None:
        self._llama = llama_cpp.Llama(
            str(path), n_ctx=CONTEXT, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def rate(self, sequences: int, tokens: int) -> float:
        seconds = count = 0.0
        for number in range(sequences):
            began = None
            stream = self._llama.create_chat_completion(
                [{"role": "user", "content": PROMPT.format(number)}], max_tokens=tokens, temperature=0.0, stream=True
            )
            for chunk in stream:
                if not chunk["choices"][0]["delta"].get("content"):
                    continue
                if began is None:
                    began = time.perf_counter()
                else:
                    count += 1
                    last = time.perf_counter()
            if began is not None:
                seconds += last - began
        return count / seconds


class Ours:
    """The engine with its worker process, as the node uses it."""

    name = "peernode engine"

    async def rate(self, engine: Engine, sequences: int, tokens: int) -> float:
        times: list[list[tuple[float, int]]] = []
        async with trio.open_nursery() as nursery:
            for number in range(sequences):
                nursery.start_soon(self._answer, engine, number, tokens, times)
        began = max(stamps[0][0] for stamps in times)
        ended = max(stamps[-1][0] for stamps in times)
        count = sum(size for stamps in times for at, size in stamps if at > began)
        return count / (ended - began)

    async def _answer(self, engine: Engine, number: int, tokens: int, times: list[list[tuple[float, int]]]) -> None:
        request = ChatRequest((Message("user", PROMPT.format(number)),), tokens, (), Sampling.of(temperature=0.0))
        stamps = []
        async with engine.open(ChatJob(f"bench-{number}", "bench", request, seed=number)) as stream:
            async for event in stream:
                if isinstance(event, Tokens):
                    stamps.append((time.perf_counter(), len(event.ids)))
                assert not isinstance(event, Failed), event
        times.append(stamps)


async def measure(path: Path, threads: int, widths: list[int], tokens: int, rounds: int) -> dict[str, dict[int, list]]:
    bare, stock, ours = Bare(path, threads), Stock(path, threads), Ours()
    engine = Engine("bench", path, EngineSettings(context=CONTEXT, threads=threads))
    rates: dict[str, dict[int, list[float]]] = {side.name: {n: [] for n in widths} for side in (bare, stock, ours)}
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await engine.wait_ready()
        for _ in range(rounds):
            for width in widths:
                rates[ours.name][width].append(await ours.rate(engine, width, tokens))
                rates[bare.name][width].append(bare.rate(width, tokens))
                rates[stock.name][width].append(stock.rate(width, tokens))
        nursery.cancel_scope.cancel()
    return rates


def show(rates: dict[str, dict[int, list[float]]], title: str) -> None:
    table = Table(title=title)
    table.add_column("sequences", justify="right")
    for name in (Ours.name, Bare.name, Stock.name):
        table.add_column(f"{name}\ntok/s (least…most)", justify="right")
    table.add_column("of bare", justify="right")
    table.add_column("of Llama", justify="right")
    for width in rates[Ours.name]:
        middle = {name: statistics.median(of[width]) for name, of in rates.items()}
        cells = [
            f"{middle[name]:.1f} ({min(rates[name][width]):.0f}…{max(rates[name][width]):.0f})"
            for name in (Ours.name, Bare.name, Stock.name)
        ]
        ratios = [f"{middle[Ours.name] / middle[name]:.2f}" for name in (Bare.name, Stock.name)]
        table.add_row(str(width), *cells, *ratios)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cached = Path(platformdirs.user_cache_dir("peernode")) / "models" / DEMO_MODEL
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("PEERNODE_TEST_MODEL", cached)))
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=physical_cores())
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    silence = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silence, ctypes.c_void_p(0))
    rates = trio.run(measure, options.model, options.threads, options.sequences, options.tokens, options.rounds)
    show(
        rates,
        f"Decode, {options.model.name}, {options.threads} threads, {options.tokens} tokens, "
        f"median of {options.rounds} alternating rounds",
    )


if __name__ == "__main__":
    main()
