"""When a job's turn comes at a provider: prompts before it, and slots."""

from __future__ import annotations

import pytest

from peernode.market.waiting_line import LEFT, MOST_AWAY_S, TYPICAL_ANSWER_S, WaitingLine

TOKEN_S = 0.01


def turn(line: WaitingLine, job: str) -> float:
    return line.turn_in(job, token_s=TOKEN_S)


def test_the_first_has_its_turn_and_the_others_wait_for_the_prompts_before_them() -> None:
    line = WaitingLine(8)
    for job in "abc":
        line.joined(job, 1000)
    assert turn(line, "a") == 0.0
    assert turn(line, "b") == pytest.approx(LEFT * 10)
    assert turn(line, "c") == pytest.approx(LEFT * 10 + 10)


def test_who_has_begun_or_left_is_waited_for_no_more() -> None:
    line = WaitingLine(8)
    for job in "abc":
        line.joined(job, 1000)
    line.begun("a", 1.0)
    line.left("b", 2.0)
    assert turn(line, "c") == turn(line, "a") == turn(line, "stranger") == 0.0
    assert line.waiting == 1


def test_where_all_slots_are_taken_an_answer_has_to_end_first() -> None:
    line = WaitingLine(2)
    for job in "abcd":
        line.joined(job, 0)
    line.begun("a", 0.0)
    line.begun("b", 0.0)
    assert turn(line, "c") == pytest.approx(TYPICAL_ANSWER_S / 2)
    assert turn(line, "d") == pytest.approx(TYPICAL_ANSWER_S)
    for job, ended in (("a", 1.0), ("b", 1.0)):  # answers are shorter than was assumed
        line.left(job, ended)
    assert turn(line, "d") == 0.0
    line.begun("c", 1.0)
    line.begun("d", 1.0)
    line.joined("e", 0)
    assert 0.0 < turn(line, "e") < TYPICAL_ANSWER_S / 2


def test_whoever_finds_no_room_is_asked_to_come_again_later_the_longer_the_line() -> None:
    short, long = WaitingLine(8), WaitingLine(8)
    for number in range(200):
        if number < 8:
            short.joined(number, 10)
        long.joined(number, 10)
    assert 0 < short.room_in() < long.room_in() <= MOST_AWAY_S
