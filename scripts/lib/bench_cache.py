"""Where benchmarks keep what is made once: built tools, the other servers' packages, models with a longer context."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

REPORT_S = 10.0


def bench_cache() -> Path:
    """Made if it is not there."""
    folder = Path(platformdirs.user_cache_dir("peernode")) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_quietly(label: str, command: Sequence[str | Path], *, cwd: Path | None = None) -> float:
    """Run at the lowest sensible priority; returns its seconds. Says every ten seconds how far it is.

    Raises SystemExit with the end of its output when it fails.
    """
    print(f"==> {label}", file=sys.stderr, flush=True)
    log = bench_cache() / "last_command.log"
    began = time.monotonic()
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["nice", "-n", "15", *map(str, command)], cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(REPORT_S)
                    break
                print(f"    {time.monotonic() - began:4.0f} s  {_last_line(log)[:100]}", file=sys.stderr, flush=True)
        finally:
            process.kill()
    took_s = time.monotonic() - began
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise SystemExit(f"{tail}\nerror: {label}: failed with exit code {process.returncode}")
    print(f"    done in {took_s:.0f} s", file=sys.stderr, flush=True)
    return took_s


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside ``target`` that takes its place at the end, so that half a file is never found there."""
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else ""
