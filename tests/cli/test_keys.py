"""``peernode keys`` on a home of its own: what each command does and says, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import typer

from peernode.cli.key_values import read_cap, read_credits, read_dialects, read_expiry, read_models, read_per_minute
from peernode.ledger import Books, Database

# 2026-03-31 23:00 UTC
NOW = 1_774_998_000_000
DAY = 86_400_000


@pytest.fixture
def keys(peernode, tmp_path):
    """``keys(*words)`` runs a command in a home that no node ever had; JSON for those that print it."""

    def run(*words, code=0):
        done = peernode("keys", *words, "--home", tmp_path / "home")
        assert done.code == code, done.err
        if code:
            return done.err
        return json.loads(done.out) if "--json" in words else done.out

    return run


def test_a_key_is_printed_once_and_never_again(keys):
    text = keys("create", "shop", "--credits", "5").strip()
    assert text.startswith("sk-pn-")
    (row,) = keys("list", "--json")
    assert (row["name"], row["state"], row["balance"], row["granted"]) == ("shop", "active", 5, 5)
    secret = text.removeprefix(f"sk-pn-{row['id']}")
    assert secret not in keys("list") + keys("show", "shop") + json.dumps(keys("show", "shop", "--json"))


def test_every_limit_can_be_set_shown_and_taken_away(keys):
    row = keys(
        "create", "shop", "--unlimited", "--day-cap", "1.5", "--month-cap", "20", "--requests-per-minute", "60",
        "--tokens-per-minute", "1000", "--model", "a/*", "--model", "b", "--dialect", "openai", "--expires",
        "2099-12-31", "--json",
    )  # fmt: skip
    assert row["limits"] == {
        "unlimited": True,
        "day_cap": 1.5,
        "month_cap": 20,
        "requests_per_minute": 60,
        "tokens_per_minute": 1000,
        "models": ["a/*", "b"],
        "dialects": ["openai"],
        "expires_at": "2099-12-31T00:00:00.000Z",
    }
    said = keys("list")
    for words in ("unlimited", "1.5 credits a day", "60 requests a minute", "only a/*, b", "until 2099-12-31 00:00"):
        assert words in said
    changed = keys("limit", "shop", "--day-cap", "2", "--json")["limits"]
    assert changed == {**row["limits"], "day_cap": 2}
    bare = keys(
        "limit", "shop", "--not-unlimited", "--day-cap", "none", "--month-cap", "none", "--requests-per-minute", "none",
        "--tokens-per-minute", "none", "--model", "none", "--dialect", "none", "--expires", "none", "--json",
    )["limits"]  # fmt: skip
    assert not any(bare.values())
    assert "no limits" in keys("limit", "shop")


def test_credits_are_given_and_kept_in_the_books(keys, tmp_path):
    row = keys("create", "shop", "--credits", "0.000001", "--json")
    assert "2.500001 credits left" in keys("topup", "shop", "2.5", "--note", "invoice 7")
    keys("topup", row["id"], "2.5")  # the same amount again is another grant
    database = Database.open_readonly(tmp_path / "home" / "ledger.db")
    history = Books(database).history(f"client:{row['id']}")
    database.close()
    assert [entry.amount for entry in history] == [2_500_000, 2_500_000, 1]
    assert history[1].note == "invoice 7"


def test_a_revoked_key_stays_in_the_list(keys):
    keys("create", "shop", "--credits", "5")
    assert "is revoked" in keys("revoke", "shop")
    assert keys("revoke", "shop", "--json")["state"] == "revoked"
    assert keys("list", "--json")[0]["balance"] == 5
    assert "key_is_revoked" in keys("topup", "shop", "1", code=1)
    assert "key_is_revoked" in keys("limit", "shop", "--day-cap", "1", code=1)


def test_what_is_not_there_or_not_clear_is_refused(keys):
    assert keys("list").startswith("No keys yet")
    assert "no_such_key" in keys("show", "shop", code=1)
    for _ in range(2):
        keys("create", "shop")
    assert "Several keys have this name" in keys("revoke", "shop", code=1)
    assert "--credits" in keys("create", "x", "--credits", "much", code=2)
    assert "--dialect" in keys("create", "x", "--dialect", "latin", code=2)


@pytest.mark.parametrize(
    ("text", "micro"), [("5", 5_000_000), ("0.25", 250_000), ("0.000001", 1), ("0", 0), ("1e3", 10**9)]
)
def test_credits_are_read_to_the_micro_credit(text, micro):
    assert read_credits(text, "--credits") == micro


@pytest.mark.parametrize("text", ["", "-1", "abc", "0.0000001", "inf", "nan", "1e40", "1,5"])
def test_other_credits_are_refused(text):
    with pytest.raises(typer.BadParameter):
        read_credits(text, "--credits")


def test_none_takes_a_limit_away():
    assert read_cap("none", "--day-cap") is None
    assert read_per_minute("none", "--tokens-per-minute") is None
    assert read_models(["none"]) == read_dialects(["none"]) == ()
    assert read_expiry("none", NOW) is None


@pytest.mark.parametrize("text", ["0", "-1", "x", "2147483648", "1.5", "²"])
def test_other_counts_are_refused(text):
    with pytest.raises(typer.BadParameter):
        read_per_minute(text, "--requests-per-minute")


def test_an_expiry_is_a_day_a_moment_or_a_number_of_days():
    assert read_expiry("1d", NOW) == NOW + DAY
    assert read_expiry("2026-04-01", NOW) == NOW + 3_600_000
    assert read_expiry("2026-04-01T02:00+02:00", NOW) == NOW + 3_600_000
    assert read_expiry("2030-01-01T12:00", NOW) == int(datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize("text", ["", "soon", "2026-03-31", "-3d", "0d", "xd", "99999999999d"])
def test_other_expiries_are_refused(text):
    with pytest.raises(typer.BadParameter):
        read_expiry(text, NOW)
