"""One run of llama.cpp's ``llama-batched-bench``: the ceiling that llama.cpp sets itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from llama_build import BATCHED_BENCH, llama_tool, tool_environment


def batched_bench(
    path: Path, *, threads: int, sequences: int, prompt_tokens: int, tokens: int, kv_tokens: int, kv: tuple[str, str]
) -> tuple[float, float]:
    """Tokens per second of prefill and of decode. A process of its own, with flash attention and a unified cache."""
    command = [llama_tool(BATCHED_BENCH), "--model", path, "--ctx-size", kv_tokens, "--batch-size", 512]
    command += ["--ubatch-size", 512, "--threads", threads, "--threads-batch", threads, "--flash-attn", "on"]
    command += ["--cache-type-k", kv[0], "--cache-type-v", kv[1], "--kv-unified", "--output-format", "jsonl"]
    command += ["-npp", prompt_tokens, "-ntg", tokens, "-npl", sequences]
    run = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=tool_environment(), check=False
    )
    results = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode or len(results) != 1:
        raise SystemExit(f"{run.stdout[-2000:]}{run.stderr[-2000:]}\nerror: llama-batched-bench: {run.returncode}")
    return results[0]["speed_pp"], results[0]["speed_tg"]
