"""The results as pictures. Needs matplotlib, which the extra ``sim`` installs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peernode.errors import PeernodeError
from peernode.sim.policies import HITS_ALONE, OMNISCIENT, OURS
from peernode.sim.results import Report, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = {OURS: "#c0392b", OMNISCIENT: "#2c3e50", HITS_ALONE: "#7f8c8d"}
_OTHERS = ("#2980b9", "#8e44ad", "#16a085", "#d35400")
_INCHES = 7.0, 4.2
_DPI = 110


class NoPlots(PeernodeError):
    """matplotlib is not installed."""

    code = "no_plots"


def plot(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Write what can be drawn of these reports to ``folder``. Raises NoPlots."""
    try:
        import matplotlib as mpl  # noqa: PLC0415
    except ImportError:
        raise NoPlots("Plots need matplotlib.", remedy="pip install 'peernode[sim]'") from None
    mpl.use("Agg")
    drawn = []
    for report in reports:
        name = report.scenario.name
        drawn += [_first_tokens(report, folder / f"{name}-first-token.png"), _hits(report, folder / f"{name}-hits.png")]
        if any(result.liar_curve for result in report.results):
            drawn.append(_liars(report, folder / f"{name}-share.png"))
    return drawn


def _first_tokens(report: Report, path: Path) -> Path:
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=_INCHES)
    for result, ink in _inked(report):
        shares = [at / max(len(result.curve) - 1, 1) for at in range(len(result.curve))]
        axes.plot(result.curve, shares, label=result.policy, color=ink, linewidth=2 if result.policy == OURS else 1.3)
    axes.set(xscale="log", xlabel="seconds to the first token", ylabel="share of requests", ylim=(0, 1.005))
    axes.axhline(0.99, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.legend(fontsize=8)
    return _write(figure, axes, f"{report.scenario.name}: time to the first token", path)


def _hits(report: Report, path: Path) -> Path:
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=_INCHES)
    inked = _inked(report)
    axes.barh([result.policy for result, _ in inked], [result.hits for result, _ in inked], color=[i for _, i in inked])
    seen = max(result.seen for result in report.results)
    axes.axvline(seen, color="#555555", linestyle=":", label="everything ever asked, in one cache without bounds")
    axes.set(xlabel="share of prompt tokens found in a cache", xlim=(0, 1))
    axes.legend(fontsize=8)
    return _write(figure, axes, f"{report.scenario.name}: prefix hits", path)


def _liars(report: Report, path: Path) -> Path:
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=_INCHES)
    for result, ink in _inked(report):
        if result.liar_curve:
            axes.plot(*zip(*result.liar_curve, strict=True), label=result.policy, color=ink, marker=".")
    axes.axhline(0.05, color="#bbbbbb", linestyle=":")
    axes.set(
        xlabel="jobs that a liar has had of one coordinator", ylabel="its share of what comes next", ylim=(0, None)
    )
    axes.legend(fontsize=8)
    return _write(figure, axes, f"{report.scenario.name}: who advertises 100 times its speed", path)


def _inked(report: Report) -> list[tuple[Result, str]]:
    others = iter(_OTHERS * 2)
    return [(result, _INK.get(result.policy) or next(others)) for result in report.results]


def _write(figure: Figure, axes: Axes, title: str, path: Path) -> Path:
    from matplotlib import pyplot  # noqa: PLC0415

    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.2)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)
    return path
