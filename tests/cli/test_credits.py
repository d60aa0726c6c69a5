"""What ``peernode credits`` shows of lines and balances, and how it settles."""

from __future__ import annotations

import json

import pytest

from tests.cli.lender import FOE, FRIEND


def test_peers_are_read_at_a_glance(peernode, node):
    head, friend, foe, *notes = peernode("credits", "peers").out.splitlines()
    assert head.split()[:5] == ["peer", "owes", "us", "held", "line"]
    # owes us, held, line, left, served, taken, settled, last service
    assert friend.split() == [
        FRIEND, "0.9", "0.0015", "1", "0.0985", "1.25", "0", "0.35", "2027-01-15", "08:00:00", "-",
    ]  # fmt: skip
    assert foe.startswith(FOE)
    assert foe.split()[1:] == ["-0.000005", "-", "1", "0", "0", "0.000005", "-", "-", "3"]
    assert notes == [
        f"{FOE}: gets nothing more: the receipt was refused (req_7)",
        f"{FOE}: 0.00003 never signed for",
        f"{FOE}: 3 × marked, last withheld: the receipt was refused",
    ]


def test_balance_is_in_credits_and_json_in_micro_credits(peernode, node):
    lines = dict(
        line.rsplit("  ", 1) for line in peernode("credits", "balance").out.splitlines() if "of at" not in line
    )
    shown = {title.strip(): amount for title, amount in lines.items()}
    assert shown["owed by peers"] == "0.9"
    assert shown["earned by service, in all"] == "1.25"
    assert "of at most 20" in peernode("credits", "balance").out
    assert json.loads(peernode("credits", "balance", "--json").out)["owed_by_peers"] == 900_000


def test_settling_says_what_is_left_and_who_could_not_be_told(peernode, node):
    answer = peernode("credits", "settle", FRIEND[:12], "0.75", "--reference", "invoice 7")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        f"{FRIEND} settled 0.75 credits; it owes 0.15 now.",
        "It could not be told yet, and will be when it is back.",
    ]


@pytest.mark.parametrize("amount", ["0", "-1", "1e400", "nan", "0.0000001", "two", "Infinity", "1000000000000"])
def test_what_is_no_amount_is_not_settled(peernode, node, amount):
    answer = peernode("credits", "settle", FRIEND[:12], "--reference", "x", "--", amount)
    assert answer.code != 0
    assert "no amount of credits" in answer.err


def test_an_unknown_peer_is_not_settled_with(peernode, node):
    answer = peernode("credits", "settle", "nobody", "1")
    assert (answer.code, "knows no such peer" in answer.err) == (1, True)


def test_history_is_of_everything_or_of_one_account(peernode, node):
    assert json.loads(peernode("credits", "history", "--json").out)[0]["account"] == "income"
    out = peernode("credits", "history", "spent", "--limit", "1").out.splitlines()
    assert len(out) == 2
    assert out[1].split() == ["1970-01-01", "00:00:00", "given", "spent", "0.0015", "req_1"]


def test_no_node_no_credits(peernode, tmp_path):
    answer = peernode("credits", "peers", "--home", str(tmp_path))
    assert answer.code == 1
    assert "No node is running" in answer.err
