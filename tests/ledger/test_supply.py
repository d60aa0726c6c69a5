"""What may be granted: in all, and to one key; also by many at once."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from peernode.ledger import Books, Database
from peernode.ledger.client_key import KeyLimits
from peernode.ledger.events import GRANTED
from peernode.ledger.keys import Keys
from peernode.ledger.supply import EACH, TOTAL, BadSupply, Supply, SupplyExhausted, SupplyLimits

NOW = 1_774_998_000_000


@pytest.fixture
def database(where):
    database = Database.open(where, own="12D3KooWx")
    yield database
    database.close()


@pytest.fixture
def keys(database):
    return Keys(database)


@pytest.fixture
def supply(database):
    return Supply(database)


def make_key(keys: Keys) -> str:
    return keys.create("shop", KeyLimits(), now_ms=NOW, random_bytes=secrets.token_bytes)[0].id


def grant(keys: Keys, key_id: str, amount: int, name: str) -> bool:
    return keys.grant(key_id, amount, key=f"grant:{name}", at_ms=NOW)


def test_there_is_no_limit_until_one_is_set(keys, supply):
    assert supply.limits() == SupplyLimits(0, None, None)
    assert supply.limits().left is None
    grant(keys, make_key(keys), 10**15, "much")
    assert supply.limits().granted == 10**15


def test_all_keys_together_get_no_more_than_there_is(database, keys, supply):
    first, second = make_key(keys), make_key(keys)
    supply.limit(TOTAL, 100)
    grant(keys, first, 60, "a")
    with pytest.raises(SupplyExhausted, match="all keys together") as found:
        grant(keys, second, 41, "b")
    assert (found.value.scope, found.value.left) == (TOTAL, 40)
    assert Books(database).balance(GRANTED) == -60
    grant(keys, second, 40, "b")
    assert supply.limits() == SupplyLimits(100, 100, None)
    assert grant(keys, first, 60, "a") is False  # the same one twice gives once, and is no news
    Books(database).check()


def test_one_key_gets_no_more_than_its_share_and_others_theirs(keys, supply):
    first, second = make_key(keys), make_key(keys)
    supply.limit(EACH, 50)
    grant(keys, first, 30, "a")
    with pytest.raises(SupplyExhausted, match="this key") as found:
        grant(keys, first, 30, "b")
    assert found.value.left == 20
    grant(keys, second, 50, "c")
    grant(keys, first, 20, "d")


def test_a_limit_below_what_was_granted_takes_nothing_back(database, keys, supply):
    key = make_key(keys)
    grant(keys, key, 100, "a")
    supply.limit(TOTAL, 10)
    with pytest.raises(SupplyExhausted) as found:
        grant(keys, key, 1, "b")
    assert found.value.left == -90
    assert "0 are left" in found.value.cause
    assert supply.limits().left == 0
    supply.limit(TOTAL, None)
    grant(keys, key, 1, "b")


def test_grants_at_once_stay_within_the_limit(database, keys, supply):
    key = make_key(keys)
    supply.limit(TOTAL, 100)

    def try_one(number: int) -> int:
        try:
            return int(grant(keys, key, 7, f"{number}"))
        except SupplyExhausted:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_one, range(40))) == 14
    assert Books(database).balance(GRANTED) == -98
    Books(database).check()


@pytest.mark.parametrize("most", [-1, 10**18 + 1])
def test_what_is_no_limit_is_refused(supply, most):
    with pytest.raises(BadSupply):
        supply.limit(TOTAL, most)
