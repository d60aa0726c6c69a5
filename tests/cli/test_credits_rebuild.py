"""``peernode credits rebuild`` on a ledger whose balances were damaged."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from peernode.ledger import Books, BooksDiffer, Database, Event, Posting
from peernode.node.keyfile import load_or_create


@pytest.fixture
def books(home):
    home.prepare()
    database = Database.open(home.ledger_file, own=load_or_create(home.key_file).peer_id)
    made = Books(database)
    made.post(Event("grant", "grant", (Posting("granted", -100), Posting("client:anne", 100)), 1))
    yield made
    database.close()


def test_what_differs_is_made_anew_and_said(peernode, home, books) -> None:
    damage = "UPDATE balances SET amount = 900 WHERE account = 'client:anne'"
    books._database.writer.run(lambda db: db.execute(text(damage)))
    with pytest.raises(BooksDiffer, match="peernode credits rebuild"):
        books.check()
    done = peernode("credits", "rebuild")
    assert (done.code, "made anew" in done.out) == (0, True)
    books.check()
    assert books.balance("client:anne") == 100


def test_what_agrees_is_left_alone(peernode, home, books) -> None:
    done = peernode("credits", "rebuild")
    assert (done.code, "nothing to make anew" in done.out) == (0, True)


def test_a_running_node_is_not_disturbed(peernode, home, books) -> None:
    with home.occupied():
        done = peernode("credits", "rebuild")
    assert done.code != 0
    assert "Another node runs" in done.err


def test_a_place_without_a_node_is_left_as_it_is(peernode, tmp_path) -> None:
    done = peernode("credits", "rebuild", "--home", tmp_path / "nothing")
    assert done.code != 0
    assert not (tmp_path / "nothing").exists()
