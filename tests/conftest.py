"""Tests that share a machine take turns: what measures time, and what computes with the real model, runs alone.

Only matters under ``pytest -n``, as ``scripts/test`` runs it: four processes for the quick tests, two for those with
real nodes, which wait for leases, restarts and deadlines more than they compute.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
import structlog

HERE = Path(__file__).parent
# Tests that fail when the machine is slow: they put a bound of a second or so on what they do.
MEASURING = {
    "engine/test_template.py": {"test_a_hostile_or_broken_template_is_refused_at_once"},
    "engine/worker/grammar/test_grammars.py": {
        "test_hostile_schemas_are_refused_in_time",
        "test_what_only_looks_hostile_is_answered_in_time_and_steps_are_short",
    },
    "engine/worker/grammar/test_limits.py": {"test_nesting_is_measured_in_a_moment_whatever_the_text"},
    "engine/worker/grammar/test_rehearsal.py": {"test_a_hostile_grammar_is_refused_in_time"},
    "engine/worker/vision/test_picture.py": {"test_an_absurd_size_is_refused_from_the_header"},
}

# The same examples everywhere, however long they take: what comes by chance is for ``scripts/fuzz``.
hypothesis.settings.register_profile(
    "peernode", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("peernode")
# A traceback with all its variables takes seconds, during which nothing else in the test goes on.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a list that names a test which is no longer there: it would lose its silence unnoticed."""
    for file, names in MEASURING.items():
        text = (HERE / file).read_text() if (HERE / file).is_file() else ""
        if gone := [name for name in names if f"def {name}(" not in text]:
            raise pytest.UsageError(f"tests/conftest.py names tests that are not in {file}: {', '.join(gone)}")
    if hasattr(config, "workerinput"):
        config.stash[TURNS] = Turns(Path(config.workerinput["turns"]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Give every process of this run the same folder for its locks."""
    if not hasattr(node.config, "turns"):
        node.config.turns = tempfile.TemporaryDirectory(prefix="peernode-turns-")
        node.config.add_cleanup(node.config.turns.cleanup)
    node.workerinput["turns"] = node.config.turns.name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Hold this test's turn from the set-up of its fixtures to the end of their tear-down."""
    turns = item.config.stash.get(TURNS, None)
    if turns is None:
        return (yield)
    turns.take(alone=_is_alone(item))
    try:
        return (yield)
    finally:
        # Several that run alone stay in, one after the other: each change costs waiting for the others' tests.
        if not (_is_alone(item) and nextitem is not None and _is_alone(nextitem)):
            turns.give_back()


def _is_alone(item: pytest.Item) -> bool:
    file = item.path.relative_to(HERE).as_posix()
    measures = getattr(item, "originalname", item.name) in MEASURING.get(file, ())
    computes = file.startswith("engine/") and item.get_closest_marker("real") is not None
    return measures or computes


class Turns:
    """One process's place in the room that it shares with others, or has to itself.

    Whoever waits for the room stands in its door, so that nobody else goes in first.
    """

    def __init__(self, folder: Path) -> None:
        self._door = (folder / "door").open("w")
        self._room = (folder / "room").open("w")
        self._inside = False

    def take(self, *, alone: bool) -> None:
        """Wait for the room. Does nothing when this process is in it already."""
        if self._inside:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._inside = True

    def give_back(self) -> None:
        """Leave the room."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._inside = False


TURNS = pytest.StashKey[Turns]()
