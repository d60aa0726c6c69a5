"""What benchmarks have in common: options, alternating rounds, medians with their spread, tables and JSON files."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from load import LoadFailed
from nodes import NodeFailed
from rich.console import Console
from rich.table import Table

from peernode.errors import PeernodeError

DEMO_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def bench_parser(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    cached = Path(platformdirs.user_cache_dir("peernode")) / "models" / DEMO_MODEL
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("PEERNODE_TEST_MODEL", cached)))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=rounds, help="alternating rounds; the table shows medians")
    parser.add_argument("--json", type=Path, help="write settings and every sample to this file, too")
    parser.add_argument(
        "--set",
        type=read_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an engine setting of peernode, such as kv_type=f16",
    )
    parser.add_argument(
        "--env",
        type=read_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable for peernode's processes alone, such as OMP_WAIT_POLICY=passive",
    )
    parser.add_argument("--quick", action="store_true", help="one small round, to see that everything runs")
    return parser


def read_setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, where the value is JSON or, if it is none, text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("a setting is NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@contextmanager
def environment(variables: Iterable[tuple[str, Any]]) -> Iterator[None]:
    """For the processes that are started within."""
    before = {name: os.environ.get(name) for name, _ in variables}
    os.environ.update({name: str(value) for name, value in variables})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def orderly() -> Iterator[Console]:
    """Around a whole benchmark: SIGTERM unwinds like Ctrl-C, so that no server is left behind, and what is known to
    fail ends in a sentence."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield Console(width=max(140, Console().width))
    except (LoadFailed, NodeFailed, PeernodeError) as err:
        raise SystemExit(f"error: {err}") from None
    except BaseExceptionGroup as group:
        # What ran beside the failure was only cancelled; the failure is what people need to see.
        if known := group.subgroup((LoadFailed, PeernodeError)):
            raise SystemExit(f"error: {_first(known)}") from None
        raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@dataclass
class Samples:
    """Measured values by (side, case); each side's n-th value of a case belongs to the n-th round."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, side: str, case: str, value: float) -> None:
        self.values.setdefault((side, case), []).append(value)

    def has(self, side: str, case: str) -> bool:
        return bool(self.values.get((side, case)))

    def median(self, side: str, case: str) -> float:
        return statistics.median(self.values[side, case])

    def cell(self, side: str, case: str, digits: int = 1, scale: float = 1.0) -> str:
        """Median (least…most)."""
        if not self.has(side, case):
            return "–"
        return _spread([value * scale for value in self.values[side, case]], digits)

    def ratios(self, case: str, side: str, other: str, other_case: str | None = None) -> list[float]:
        """``side`` by ``other``, round by round."""
        below = self.values.get((other, other_case or case), [])
        return [a / b for a, b in zip(self.values.get((side, case), []), below, strict=False) if b]

    def ratio_cell(self, case: str, side: str, other: str, other_case: str | None = None) -> str:
        """The median of the rounds' ratios (least…most)."""
        ratios = self.ratios(case, side, other, other_case)
        return _spread(ratios, 2) if ratios else "–"


class Progress:
    """A line for each measurement, with the time left."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total, self._done, self._began = console, total, 0, time.monotonic()

    def __call__(self, text: str) -> None:
        self._done += 1
        left_s = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        self._console.print(f"[{self._done}/{self._total}] {text}   (about {left_s / 60:.1f} min left)")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def make_table(title: str, *columns: str) -> Table:
    """The first column is text, the others are figures."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def write_json(path: Path | None, benchmark: str, options: argparse.Namespace, samples: Samples, **more: Any) -> None:
    """``path`` None writes nothing."""
    if path is None:
        return
    content = {
        "benchmark": benchmark,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"platform": platform.platform(), "cpus": len(os.sched_getaffinity(0))},
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "samples": [
            {"side": side, "case": case, "median": statistics.median(values), "values": values}
            for (side, case), values in samples.values.items()
        ],
        **more,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _spread(values: list[float], digits: int) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}…{max(values):.{digits}f})"
