"""Books: posted once, balances that follow, and differences that are found; on SQLite and PostgreSQL."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from peernode.ledger import Books, BooksDiffer, Database, Event, EventConflict, LedgerError, Posting
from peernode.ledger.events import GRANTED, INCOME, client, held, owes
from tests.samples import COORDINATOR, PROVIDER, STRANGER


def granted(number: int = 1, amount: int = 100, to: str = "a") -> Event:
    return Event(f"grant:{number}", "grant", (Posting(GRANTED, -amount), Posting(client(to), amount)), number)


def test_an_event_is_posted_once(books: Books) -> None:
    assert books.post(granted())
    assert not books.post(granted())
    assert books.balances() == {client("a"): 100, GRANTED: -100}
    with pytest.raises(EventConflict, match="grant:1"):
        books.post(granted(amount=101))
    assert books.balance(client("a")) == 100
    books.check()


def test_an_account_nobody_posted_to_is_empty(books: Books) -> None:
    assert books.balance(client("nobody")) == 0
    assert books.balances("client:") == {}


def test_history_is_newest_first_and_paged(books: Books) -> None:
    for number in range(1, 6):
        books.post(granted(number, amount=number))
    first = books.history(client("a"), limit=2)
    assert [entry.amount for entry in first] == [5, 4]
    rest = books.history(client("a"), limit=9, before=first[-1].number)
    assert [(entry.key, entry.at_ms) for entry in rest] == [("grant:3", 3), ("grant:2", 2), ("grant:1", 1)]


def test_a_prefix_is_a_prefix_and_no_pattern(books: Books) -> None:
    books.post(granted(1, to="a_1"))
    books.post(granted(2, to="ab1"))
    assert list(books.balances("client:a_")) == [client("a_1")]


def test_the_same_event_from_many_threads_happens_once(books: Books) -> None:
    posted: list[bool] = []
    threads = [threading.Thread(target=lambda: posted.append(books.post(granted()))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(posted) == [False] * 15 + [True]
    assert books.balance(client("a")) == 100


def test_nodes_share_clients_and_not_peers(where: str) -> None:
    ours, theirs = (Database.open(where, own=identity.peer_id) for identity in (COORDINATOR, STRANGER))
    Books(ours).post(granted())
    for number, database in enumerate((ours, theirs), 1):
        served = (Posting(owes(PROVIDER.peer_id), number), Posting(INCOME, -number))
        Books(database).post(Event(f"given:{number}", "given", served, 1))
    for number, database in enumerate((ours, theirs), 1):
        books = Books(database)
        assert books.balances() == {
            client("a"): 100,
            GRANTED: -100,
            owes(PROVIDER.peer_id): number,
            INCOME: -number,
        }
        assert [entry.amount for entry in books.history(INCOME)] == [-number]
        books.check()
        database.close()


def test_what_is_not_held_cannot_be_taken(books: Books) -> None:
    books.post(granted())
    taking = (Posting(held("a"), -1), Posting("redeemed", 1))
    with pytest.raises(LedgerError, match="not held"):
        books.post(Event("take", "taken", taking, 1, about="req_1"))
    assert books.history("redeemed") == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE balances SET amount = amount + 1 WHERE account = 'client:a'",
        "DELETE FROM balances WHERE account = 'client:a'",
        "INSERT INTO balances (account, node, amount) VALUES ('client:x', '', 5)",
        "UPDATE holds SET held = held + 1",
        "DELETE FROM holds",
        "INSERT INTO holds (request_id, account, node, held) VALUES ('req_x', 'held:x', '', 5)",
    ],
)
def test_a_projection_that_differs_is_found_and_made_anew(books: Books, database: Database, damage: str) -> None:
    books.post(granted())
    held_back = (Posting(client("a"), -40), Posting(held("a"), 40))
    books.post(Event("hold:req_1", "hold", held_back, 1, about="req_1"))
    before = books.balances()
    books.check()
    database.writer.run(lambda db: db.execute(text(damage)))
    with pytest.raises(BooksDiffer, match="rebuild"):
        books.check()
    books.rebuild()
    books.check()
    assert books.balances() == before


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO postings (event_id, position, node, account, amount) VALUES (1, 7, '', 'client:a', 5)",
        "INSERT INTO events (key, kind, about, note, node, content, at_ms) VALUES ('x', 'x', '', '', '', 'x', 1)",
    ],
)
def test_an_event_that_is_not_whole_is_found_and_nothing_is_built_on_it(
    books: Books, database: Database, damage: str
) -> None:
    books.post(granted())
    database.writer.run(lambda db: db.execute(text(damage)))
    for wrong in (books.check, books.rebuild):
        with pytest.raises(BooksDiffer, match="not whole"):
            wrong()
    assert books.balance(client("a")) == 100
