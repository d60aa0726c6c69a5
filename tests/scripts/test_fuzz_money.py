"""Thousands of forgeries of what is signed about money: none taken in. ``scripts/fuzz money`` makes a million."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from money_mutations import SIGNED, UNSIGNED, forge, judge, run
from money_objects import exhibits
from money_replays import _PLAYS, Ledgers
from mutations import Broken

EXHIBITS = {exhibit.kind: exhibit for exhibit in exhibits()}


@pytest.mark.parametrize("kind", EXHIBITS)
def test_the_genuine_one_is_taken_and_what_is_genuine_elsewhere_is_not(kind):
    exhibit = EXHIBITS[kind]
    exhibit.take(exhibit.raw)
    for other in exhibit.others:
        assert judge("replayed elsewhere", exhibit, other)


def test_the_judge_notices_what_is_taken_in():
    exhibit = EXHIBITS["receipt"]
    with pytest.raises(Broken):
        judge("nothing", exhibit, exhibit.raw)
    with pytest.raises(Broken):
        run([replace(exhibit, take=lambda raw: None)], 1, seed=1)


def test_twenty_thousand_forgeries_are_refused_in_every_way_they_are_made():
    ends = run(list(EXHIBITS.values()), 20_000, seed=7)
    assert ends.total() == 20_000
    for kind, exhibit in EXHIBITS.items():
        for name in SIGNED if exhibit.signer else UNSIGNED:
            assert any((one, way) == (kind, name) for one, way, _ in ends), (kind, name)


def test_the_same_seed_makes_the_same_forgeries():
    exhibit = EXHIBITS["inclusion proof"]
    assert forge(random.Random(5), exhibit) == forge(random.Random(5), exhibit)


def test_replays_change_no_ledger(tmp_path):
    ledgers = Ledgers(tmp_path)
    ends = ledgers.play(150, random.Random(3))
    ledgers.close()
    assert {way for _, way, _ in ends} == set(_PLAYS)
