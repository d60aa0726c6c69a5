"""Output: tables for people, JSON for programs, and text of strangers made harmless for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# C0 and C1 controls but newline and tab, and what reverses the direction of text.
_DROPPED = dict.fromkeys(
    [*(set(range(32)) - {9, 10}), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """A table of ``columns`` (key: title); columns that no row has are left out, and ``empty`` is said for no rows."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        sys.stdout.write(f"{empty}\n")
        return
    shown = {key: title for key, title in columns.items() if any(row.get(key) is not None for row in rows)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in shown.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in shown))
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def harmless(text: str) -> str:
    """``text`` without control characters: a model or a peer may not move our cursor or set our title."""
    return text.translate(_DROPPED)


def say(text: str = "") -> None:
    """A line for people, on stdout."""
    sys.stdout.write(f"{text}\n")


def aside(text: str) -> None:
    """A dim line on stderr, beside what the command is asked to print."""
    dim, plain = ("\x1b[2m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{dim}{harmless(text)}{plain}\n")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return harmless(", ".join(str(item) for item in value)) or "-"
    return harmless(str(value))
