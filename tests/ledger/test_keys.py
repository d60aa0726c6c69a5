"""Keys and what they spend: found by their text, held for within balance and caps, charged by receipts."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from peernode.ledger import Books, BooksDiffer, Database, Holds, ReceiptStore
from peernode.ledger.calendar import day_of, month_begins, ms_to_next_day, ms_to_next_month, week_begins
from peernode.ledger.client_key import ClientKey, KeyLimits, new_key_text, read_key_text
from peernode.ledger.client_records import ClientRequest
from peernode.ledger.client_schema import client_days, client_keys
from peernode.ledger.errors import EventConflict
from peernode.ledger.keys import BadKeyLimits, KeyGone, Keys, NoSuchKey
from peernode.ledger.spending import BALANCE, DAY_CAP, MONTH_CAP, Bounds, NotActive, Short, Spending
from peernode.ledger.usage_rebuild import rebuild_usage
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.receipt import sign_receipt
from tests.edge.conftest import make_receipt

# 2026-03-31 23:00 UTC, a Tuesday.
NOW = 1_774_998_000_000
HOUR, DAY = 3_600_000, 86_400_000
OWN = Identity.from_seed(bytes(range(1, 33)))
PROVIDER = Identity.from_seed(bytes(range(32)))


@pytest.fixture
def database(where):
    database = Database.open(where, own=OWN.peer_id)
    yield database
    database.close()


@pytest.fixture
def keys(database):
    return Keys(database)


@pytest.fixture
def spending(database):
    return Spending(database)


def make_key(keys: Keys, granted: int = 0, **limits: object) -> ClientKey:
    key, text = keys.create("shop", KeyLimits(**limits), now_ms=NOW, random_bytes=secrets.token_bytes)
    if granted:
        assert keys.grant(key.id, granted, key=f"grant:{text.id}", at_ms=NOW)
    return key


def asked(key: ClientKey, request_id: str = "req_1", at_ms: int = NOW) -> ClientRequest:
    return ClientRequest(request_id, key.id, "org/tiny", "openai", False, at_ms)


def served(database: Database, request_id: str, cost: int, *, at_ms: int = NOW, part: int = 0) -> None:
    """A receipt over ``cost`` arrives and is countersigned."""
    prices = replace(make_receipt("x").prices, prompt=0, cached=0, completion=cost * 500_000)
    receipt = make_receipt(request_id, part=part, credits=cost, prices=prices, seq=part + 1)
    signed = sign_receipt(receipt, PROVIDER)

    def build(total: int):
        body = Countersignature("main", OWN.peer_id, PROVIDER.peer_id, signed.digest, total, at_ms)
        return sign_countersignature(body, OWN)

    ReceiptStore(database).countersign(signed, build, now_ms=at_ms)


def test_a_key_is_256_bits_and_says_its_name():
    text = new_key_text(secrets.token_bytes)
    assert text.text.startswith(f"sk-pn-{text.id}")
    assert len(text.text) == 59
    assert text.text not in repr(text)
    assert read_key_text(text.text) == text
    assert new_key_text(secrets.token_bytes) != text


@pytest.mark.parametrize(
    "text", ["", "sk-pn-", "sk-pn-abc", "Bearer x", "sk-pn-" + "a" * 52, "sk-pn-" + "i" * 53, "sk-pn-" + "a" * 52 + "é"]
)
def test_what_is_not_shaped_like_a_key_is_none(text):
    assert read_key_text(text) is None


def test_only_a_digest_is_kept(tmp_path):
    database = Database.open(tmp_path / "ledger.db", own=OWN.peer_id)
    keys = Keys(database)
    key, text = keys.create("shop", KeyLimits(), now_ms=NOW, random_bytes=secrets.token_bytes)
    secret = text.text.removeprefix(f"sk-pn-{key.id}")
    with database.reader() as db:
        row = db.execute(select(client_keys)).one()
    assert row.digest == text.digest
    database.close()
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_is_recognised_by_all_of_its_text(keys):
    key, text = keys.create("shop", KeyLimits(models=("org/*",)), now_ms=NOW, random_bytes=secrets.token_bytes)
    assert keys.recognise(text) == key
    wrong = text.text[:-1] + ("0" if text.text[-1] != "0" else "1")
    assert keys.recognise(read_key_text(wrong)) is None
    assert keys.recognise(new_key_text(secrets.token_bytes)) is None


def test_keys_are_named_by_id_or_by_a_name_of_their_own(keys):
    first, second = make_key(keys), make_key(keys)
    assert keys.named(first.id) == first
    with pytest.raises(NoSuchKey, match="Several"):
        keys.named("shop")
    with pytest.raises(NoSuchKey):
        keys.named("nobody")
    assert [key.id for key in keys.list()] == sorted((first.id, second.id), key=[first.id, second.id].index)


def test_a_revoked_key_is_known_and_good_for_nothing(keys, spending):
    key = make_key(keys, 100)
    revoked = keys.revoke(key.id, now_ms=NOW + 1)
    assert revoked.state(NOW) == "revoked"
    assert keys.revoke(key.id, now_ms=NOW + 9) == revoked
    with pytest.raises(NotActive) as found:
        spending.begin(asked(key), Bounds(1, 1))
    assert found.value.state == "revoked"
    with pytest.raises(KeyGone):
        keys.grant(key.id, 5, key="grant:2", at_ms=NOW)
    with pytest.raises(KeyGone):
        keys.limit(key.id, KeyLimits())


def test_an_expired_key_holds_nothing(keys, spending):
    key = make_key(keys, 100, expires_ms=NOW)
    with pytest.raises(NotActive) as found:
        spending.begin(asked(key), Bounds(1, 1))
    assert found.value.state == "expired"
    assert keys.limit(key.id, KeyLimits(expires_ms=NOW + 1)).state(NOW) == "active"


def test_a_grant_of_one_name_is_given_once(database, keys):
    key = make_key(keys)
    assert keys.grant(key.id, 5, key="grant:a", at_ms=NOW)
    assert not keys.grant(key.id, 5, key="grant:a", at_ms=NOW + 1)
    with pytest.raises(EventConflict):
        keys.grant(key.id, 6, key="grant:a", at_ms=NOW)
    assert Books(database).balance(key.account) == 5
    for amount in (0, -1, 10**19):
        with pytest.raises(BadKeyLimits):
            keys.grant(key.id, amount, key="grant:b", at_ms=NOW)


@pytest.mark.parametrize(
    "limits",
    [
        KeyLimits(day_cap=-1),
        KeyLimits(month_cap=10**19),
        KeyLimits(requests_per_minute=0),
        KeyLimits(tokens_per_minute=1 << 31),
        KeyLimits(models=("x" * 9000,)),
    ],
)
def test_limits_that_mean_nothing_are_refused(keys, limits):
    with pytest.raises(BadKeyLimits):
        keys.create("shop", limits, now_ms=NOW, random_bytes=secrets.token_bytes)


def test_a_request_is_held_charged_and_released(database, keys, spending):
    key = make_key(keys, 100)
    assert spending.begin(asked(key), Bounds(40, 40)) == 40
    assert spending.begin(asked(key), Bounds(40, 40)) == 40  # the same request again
    now = spending.standing(key.id, now_ms=NOW)
    assert (now.balance, now.held, now.spent) == (60, 40, 0)
    served(database, "req_1", 7)
    assert spending.end("req_1", now_ms=NOW) == 33
    assert spending.end("req_1", now_ms=NOW) == 0
    now = spending.standing(key.id, now_ms=NOW)
    assert (now.balance, now.held, now.spent, now.granted) == (93, 0, 7, 100)
    assert spending.request("req_1").charged == 7
    (used,) = spending.usage(key.id, first_day=day_of(NOW), last_day=day_of(NOW))
    assert (used.requests, used.prompt_tokens, used.completion_tokens, used.credits) == (1, 10, 2, 7)
    spending.check()
    Books(database).check()


def test_parts_of_one_request_count_once_and_never_cost_more_than_was_held(database, keys, spending):
    key = make_key(keys, 100)
    spending.begin(asked(key), Bounds(10, 10))
    served(database, "req_1", 6)
    served(database, "req_1", 6, part=1)
    (used,) = spending.usage(key.id, first_day="2000-01-01", last_day="2100-01-01")
    assert (used.requests, used.completion_tokens, used.credits) == (1, 4, 10)
    assert spending.standing(key.id, now_ms=NOW).balance == 90
    assert Books(database).balance("spent") == 2
    spending.check()


def test_a_receipt_after_the_release_is_the_operators(database, keys, spending):
    key = make_key(keys, 100)
    spending.begin(asked(key), Bounds(10, 10))
    spending.end("req_1", now_ms=NOW)
    served(database, "req_1", 6)
    assert spending.standing(key.id, now_ms=NOW).balance == 100
    assert not spending.usage(key.id, first_day="2000-01-01", last_day="2100-01-01")
    spending.check()


def test_what_does_not_reach_is_short_and_what_may_be_less_is_less(keys, spending):
    key = make_key(keys, 10)
    with pytest.raises(Short) as found:
        spending.begin(asked(key), Bounds(11, 20))
    assert (found.value.limit, found.value.needed, found.value.available) == (BALANCE, 11, 10)
    assert spending.begin(asked(key), Bounds(5, 20)) == 10
    with pytest.raises(Short):
        spending.begin(asked(key, "req_2"), Bounds(1, 1))


def test_an_unlimited_key_owes(database, keys, spending):
    key = make_key(keys, unlimited=True)
    assert spending.begin(asked(key), Bounds(50, 50)) == 50
    served(database, "req_1", 20)
    spending.end("req_1", now_ms=NOW)
    assert spending.standing(key.id, now_ms=NOW).balance == -20
    Books(database).check()


def test_caps_count_what_is_held_and_begin_anew(database, keys, spending):
    key = make_key(keys, unlimited=True, day_cap=30, month_cap=50)
    spending.begin(asked(key), Bounds(20, 20))
    with pytest.raises(Short) as found:
        spending.begin(asked(key, "req_2"), Bounds(11, 11))
    assert (found.value.limit, found.value.available) == (DAY_CAP, 10)
    served(database, "req_1", 20)
    spending.end("req_1", now_ms=NOW)
    with pytest.raises(Short):
        spending.begin(asked(key, "req_2"), Bounds(11, 11))
    # An hour later it is another day, and another month.
    spending.begin(asked(key, "req_2", NOW + HOUR), Bounds(30, 30))
    served(database, "req_2", 30, at_ms=NOW + HOUR)
    spending.end("req_2", now_ms=NOW + HOUR)
    with pytest.raises(Short) as found:
        spending.begin(asked(key, "req_3", NOW + HOUR + DAY), Bounds(21, 21))
    assert (found.value.limit, found.value.available) == (MONTH_CAP, 20)


def test_at_once_nobody_overspends(database, keys, spending):
    key = make_key(keys, 100)

    def spend(number: int) -> bool:
        try:
            spending.begin(asked(key, f"req_{number}"), Bounds(7, 7))
        except Short:
            return False
        served(database, f"req_{number}", 7, part=number)
        spending.end(f"req_{number}", now_ms=NOW)
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(spend, range(40)))
    assert sum(done) == 14
    now = spending.standing(key.id, now_ms=NOW)
    assert (now.balance, now.held, now.spent) == (2, 0, 98)
    assert not Holds(database).pending()
    spending.check()


def test_another_node_sees_a_revoked_key_at_once(where, keys):
    key, text = keys.create("shop", KeyLimits(), now_ms=NOW, random_bytes=secrets.token_bytes)
    node = Database.open(where, own=PROVIDER.peer_id)
    there = Keys(node)
    assert there.recognise(text).state(NOW) == "active"
    keys.revoke(key.id, now_ms=NOW)
    assert there.recognise(text).state(NOW) == "revoked"
    node.close()


def test_days_weeks_and_months_are_utc():
    assert (day_of(NOW), week_begins(NOW), month_begins(NOW)) == ("2026-03-31", "2026-03-30", "2026-03-01")
    assert ms_to_next_day(NOW) == ms_to_next_month(NOW) == HOUR
    assert ms_to_next_month(NOW + HOUR) == 30 * DAY


def test_two_nodes_of_one_ledger_share_a_balance(where, keys, spending):
    key = make_key(keys, 100)
    other = Database.open(where, own=PROVIDER.peer_id)
    there = Spending(other)
    with ThreadPoolExecutor(8) as pool:

        def spend(number: int) -> bool:
            try:
                (spending if number % 2 else there).begin(asked(key, f"req_{number}"), Bounds(9, 9))
            except Short:
                return False
            return True

        assert sum(pool.map(spend, range(30))) == 11
    assert there.standing(key.id, now_ms=NOW) == spending.standing(key.id, now_ms=NOW)
    assert there.standing(key.id, now_ms=NOW).balance == 1
    assert {hold.node for hold in Holds(other).pending()} == {PROVIDER.peer_id}
    other.close()


def test_the_nodes_own_share_comes_after_the_provider_from_the_same_hold(database, keys, spending):
    key = make_key(keys, 1000)
    books = Books(database)
    spending.begin(replace(asked(key), fee_ppm=200_000), Bounds(130, 130))
    served(database, "req_1", 99)
    assert (books.balance("fees"), books.balance(f"peer:{PROVIDER.peer_id}:owed")) == (-19, -99)
    assert spending.request("req_1").charged == 118
    # Of the 12 that are left the provider gets 11, and the fee what there is.
    served(database, "req_1", 11, part=1)
    assert (books.balance("fees"), books.balance("spent"), spending.request("req_1").charged) == (-20, 0, 130)
    served(database, "req_1", 5, part=2)
    assert (books.balance("fees"), books.balance("spent")) == (-20, 5)
    assert books.balance("bought") == books.balance("redeemed") == 130
    database.writer.run(rebuild_usage)
    spending.check()
    books.check()
    assert spending.request("req_1").charged == 130


def test_days_that_differ_are_made_anew_from_receipts_and_books(database, keys, spending):
    first, second = make_key(keys, 100), make_key(keys, 100)
    for number, key in enumerate((first, second, first)):
        spending.begin(asked(key, f"req_{number}", NOW + number * HOUR), Bounds(10, 10))
        served(database, f"req_{number}", 4 + number, at_ms=NOW + number * HOUR, part=number)
    served(database, "req_0", 8, at_ms=NOW + HOUR, part=9)  # more than the hold has left
    spending.end("req_0", now_ms=NOW)
    spending.begin(asked(first, "req_9"), Bounds(10, 10))
    spending.end("req_9", now_ms=NOW)
    served(database, "req_9", 5, part=9)  # too late: the operator's

    def state() -> list[object]:
        used = [spending.usage(key.id, first_day="2000-01-01", last_day="2100-01-01") for key in (first, second)]
        return [used, [spending.request(f"req_{number}") for number in (0, 1, 2, 9)]]

    before = state()
    assert spending.request("req_0").charged == 10
    database.writer.run(lambda db: db.execute(update(client_days).values(credits=1, requests=9)))
    with pytest.raises(BooksDiffer):
        spending.check()
    database.writer.run(rebuild_usage)
    spending.check()
    assert state() == before
