"""Holds: set aside, taken from, given back; each once."""

from __future__ import annotations

import pytest

from peernode.ledger import Books, Database, Event, EventConflict, Hold, Holds, InsufficientBalance, Posting
from peernode.ledger.events import GRANTED, client, held
from tests.samples import COORDINATOR, STRANGER

ANNE = client("anne")


@pytest.fixture(autouse=True)
def balance(books: Books) -> None:
    books.post(Event("grant", "grant", (Posting(GRANTED, -100), Posting(ANNE, 100)), 1))


def test_a_hold_is_set_aside_once(books: Books, holds: Holds) -> None:
    assert holds.hold("req_1", ANNE, 60, 1)
    assert not holds.hold("req_1", ANNE, 60, 2)
    assert (books.balance(ANNE), books.balance(held("anne"))) == (40, 60)
    assert holds.pending() == [Hold("req_1", ANNE, 60, COORDINATOR.peer_id)] == [holds.find("req_1")]
    with pytest.raises(EventConflict):
        holds.hold("req_1", ANNE, 61, 2)


def test_more_than_the_balance_is_not_held(books: Books, holds: Holds) -> None:
    holds.hold("req_1", ANNE, 60, 1)
    with pytest.raises(InsufficientBalance) as refused:
        holds.hold("req_2", ANNE, 41, 1)
    assert (refused.value.balance, refused.value.needed) == (40, 41)
    assert holds.hold("req_2", ANNE, 40, 1)
    assert books.balance(ANNE) == 0


def test_an_unlimited_account_may_go_below_zero(books: Books, holds: Holds) -> None:
    holds.hold("req_1", ANNE, 160, 1, unlimited=True)
    assert books.balance(ANNE) == -60
    books.check()


def test_a_hold_of_nothing_is_nothing(books: Books, holds: Holds) -> None:
    assert not holds.hold("req_1", client("poor"), 0, 1)
    assert holds.release("req_1", 1) == 0
    assert holds.pending() == []


def test_what_is_left_goes_back_once(books: Books, holds: Holds) -> None:
    holds.hold("req_1", ANNE, 60, 1)
    assert holds.release("req_1", 2, keep=20) == 40
    assert holds.release("req_1", 2, keep=20) == 0
    assert (books.balance(ANNE), holds.pending()[0].held) == (80, 20)
    assert holds.release("req_1", 3) == 20
    assert holds.release("req_1", 3) == 0
    assert (books.balance(ANNE), books.balance(held("anne")), holds.pending()) == (100, 0, [])
    assert not holds.hold("req_1", ANNE, 60, 4), "the request was held for, and is over"
    books.check()


def test_each_node_sees_its_own_holds_and_any_may_give_one_back(where: str, books: Books, holds: Holds) -> None:
    holds.hold("req_1", ANNE, 60, 1)
    other = Database.open(where, own=STRANGER.peer_id)
    assert Holds(other).pending() == []
    assert Holds(other).find("req_1") == holds.pending()[0]
    with pytest.raises(InsufficientBalance):
        Holds(other).hold("req_2", ANNE, 41, 1)
    assert Holds(other).release("req_1", 2) == 60
    assert books.balance(ANNE) == 100
    other.close()


def test_rebuilding_keeps_whose_hold_it_is(books: Books, holds: Holds) -> None:
    holds.hold("req_1", ANNE, 60, 1)
    holds.hold("req_2", ANNE, 10, 1)
    holds.release("req_2", 2)
    before = holds.pending()
    books.rebuild()
    assert holds.pending() == before
