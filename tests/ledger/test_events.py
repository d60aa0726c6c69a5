"""Events: whole by construction, or they are not made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.ledger.events import MAX_AMOUNT, Event, Posting, client, client_of, held, held_for, is_shared, owed, owes
from tests.samples import PROVIDER


def moved(*postings: tuple[str, int], **changes: object) -> Event:
    facts = {"key": "k", "kind": "test", "at_ms": 1, **changes}
    return Event(postings=tuple(Posting(*posting) for posting in postings), **facts)


@given(st.lists(st.integers(-MAX_AMOUNT, MAX_AMOUNT).filter(bool), min_size=2, max_size=6))
def test_only_postings_that_sum_to_zero_make_an_event(amounts):
    postings = [(client(str(number)), amount) for number, amount in enumerate(amounts)]
    if sum(amounts) == 0:
        assert sum(posting.amount for posting in moved(*postings).postings) == 0
    else:
        with pytest.raises(ValueError, match="not to zero"):
            moved(*postings)


@pytest.mark.parametrize("amount", [0, MAX_AMOUNT + 1, -MAX_AMOUNT - 1, 1.0, True, "1"])
def test_amounts_are_whole_and_within_bounds(amount):
    with pytest.raises(ValueError, match="amount"):
        Posting("income", amount)


@pytest.mark.parametrize("name", ["", "Client:a", "client:", "client:a b", "client:" + "x" * 91, "a:b:c:d", "client:%"])
def test_names_of_accounts_are_plain(name):
    with pytest.raises(ValueError, match="account"):
        Posting(name, 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"key": ""},
        {"kind": ""},
        {"key": "k" * 201},
        {"about": "a" * 129},
        {"note": "n" * 513},
    ],
)
def test_texts_are_bounded_and_the_key_is_there(broken):
    with pytest.raises(ValueError, match=r"event|characters"):
        moved(("granted", -1), (client("a"), 1), **broken)


def test_an_account_is_named_once_and_never_alone():
    with pytest.raises(ValueError, match="two or more"):
        moved(("granted", -1), ("granted", 1))
    with pytest.raises(ValueError, match="two or more"):
        moved()


def test_who_moves_held_credits_says_for_which_request():
    with pytest.raises(ValueError, match="request"):
        moved((client("a"), -1), (held("a"), 1))


def test_the_content_is_what_is_said_and_not_when_or_with_which_remark():
    one = moved(("granted", -1), (client("a"), 1))
    assert one.content == moved((client("a"), 1), ("granted", -1), at_ms=2, note="again").content
    others = [
        moved(("granted", -2), (client("a"), 2)),
        moved(("granted", -1), (client("b"), 1)),
        moved(("granted", -1), (client("a"), 1), kind="other"),
        moved(("granted", -1), (client("a"), 1), about="req_1"),
    ]
    assert len({one.content, *(other.content for other in others)}) == 1 + len(others)


def test_a_clients_held_credits_have_an_account_of_their_own():
    assert held_for(client("a")) == held("a")
    assert client_of(held("a")) == client("a")
    with pytest.raises(ValueError, match="client"):
        held_for("income")


def test_clients_are_shared_and_peers_are_not():
    assert all(is_shared(account) for account in (client("a"), held("a"), "granted", "redeemed"))
    assert not any(
        is_shared(account) for account in (owes(PROVIDER.peer_id), owed(PROVIDER.peer_id), "income", "spent")
    )
