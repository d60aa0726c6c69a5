"""The results as a table for people, on a terminal or in a page."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from peernode.sim.measures import JUDGED_AFTER
from peernode.sim.results import Report, Result
from peernode.sim.scenario import SCENARIOS, Scenario

_COLUMNS: list[tuple[str, Callable[[Result], str]]] = [
    ("first token p50 s", lambda result: f"{result.p50_s:.2f}"),
    ("p95 s", lambda result: f"{result.p95_s:.2f}"),
    ("p99 s", lambda result: f"{result.p99_s:.2f}"),
    ("answer p50 s", lambda result: f"{result.answer_p50_s:.1f}"),
    ("p99 s", lambda result: f"{result.answer_p99_s:.1f}"),
    ("hits", lambda result: f"{result.hits:.1%}"),
    ("slots busy", lambda result: f"{result.busy:.0%}"),
    ("hedged", lambda result: _share(result, result.hedged)),
    ("moved", lambda result: _share(result, result.moved)),
    ("refused", lambda result: _share(result, result.refused)),
    ("failed", lambda result: _share(result, result.failed)),
]


def table_of(report: Report) -> Table:
    """One row for each policy."""
    table = Table(title=_title(report.scenario))
    table.add_column("policy")
    columns = _columns(report)
    for name, _ in columns:
        table.add_column(name, justify="right")
    for result in report.results:
        table.add_row(result.policy, *(cell(result) for _, cell in columns))
    return table


def markdown_of(report: Report) -> str:
    """The same for a page."""
    columns = _columns(report)
    rows = [["policy", *(name for name, _ in columns)], ["---", *("--:" for _ in columns)]]
    rows += [[result.policy, *(cell(result) for _, cell in columns)] for result in report.results]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"**{_title(report.scenario)}**", "", *lines, "", *(f"- {said}" for said in report.findings())])


def _columns(report: Report) -> list[tuple[str, Callable[[Result], str]]]:
    scenario = report.scenario
    columns = [*_COLUMNS]
    if scenario.black_holes:
        columns.append(("met a black hole", lambda result: _share(result, result.swallowed)))
    if scenario.liars:
        columns.append(("a liar's share", lambda result: f"{result.liar_jobs_share:.1%}"))
        columns.append((f"after {JUDGED_AFTER} of its jobs", _liar))
    return columns


def _title(scenario: Scenario) -> str:
    asked = f"{scenario.nodes} nodes, {scenario.models} models, {scenario.coordinators} coordinators"
    said = SCENARIOS.get(scenario.name, ("",))[0]
    return f"{scenario.name}: {said} ({asked}, {scenario.load:.0%} load, seed {scenario.seed})"


def _share(result: Result, count: int) -> str:
    return f"{count / max(result.asked, 1):.2%}" if count else "0"


def _liar(result: Result) -> str:
    mean, largest, pairs = result.liar_share
    return f"{mean:.1%}, at most {largest:.1%}" if pairs else "never had so many"
