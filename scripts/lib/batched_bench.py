"""One run of llama.cpp's ``llama-batched-bench``: the ceiling that llama.cpp sets itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from llama_build import BATCHED_BENCH, llama_tool, tool_environment
from load import LoadFailed

# After a very short run its log thread sometimes dies before it has written the result.
_TRIES = 5


def batched_bench(
    path: Path, *, threads: int, sequences: int, prompt_tokens: int, tokens: int, kv_tokens: int, kv: tuple[str, str]
) -> tuple[float, float]:
    """Tokens per second of prefill and of decode. A process of its own, with flash attention and a unified cache."""
    command = [llama_tool(BATCHED_BENCH), "--model", path, "--ctx-size", kv_tokens, "--batch-size", 512]
    command += ["--ubatch-size", 512, "--threads", threads, "--threads-batch", threads, "--flash-attn", "on"]
    command += ["--cache-type-k", kv[0], "--cache-type-v", kv[1], "--kv-unified", "--output-format", "jsonl"]
    command += ["-npp", prompt_tokens, "-ntg", tokens, "-npl", sequences]
    for _ in range(_TRIES):
        run = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, env=tool_environment(), check=False
        )
        results = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
        if run.returncode == 0 and results:
            return results[0]["speed_pp"], results[0]["speed_tg"]
    raise LoadFailed(f"llama-batched-bench ended with {run.returncode} and no result: {run.stderr[-1000:]}")
