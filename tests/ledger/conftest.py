"""Ledgers to test: in a SQLite file, and in a PostgreSQL server of the tests' own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres import Server, postgres_server, programs

from peernode.ledger import Books, Database, Holds
from tests.samples import COORDINATOR

Place = Callable[[], str]

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql; scripts/test does it)")
    with postgres_server(durable=False) as server:
        yield server


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Names a new, empty place for a ledger with each call: a file, and a database of the server."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        return server.database
    numbers = itertools.count(1)
    return lambda: str(tmp_path / f"ledger_{next(numbers)}.db")


@pytest.fixture
def where(place: Place) -> str:
    return place()


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    """An empty ledger of the samples' coordinator."""
    opened = Database.open(where, own=COORDINATOR.peer_id)
    yield opened
    opened.close()


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


@pytest.fixture
def holds(database: Database) -> Holds:
    return Holds(database)
