"""What ``scripts/fuzz http`` sends is made by its seed, and what it must not hear it notices."""

from __future__ import annotations

import pytest
from fuzz_http import Broken, judge
from http_cases import KINDS, make_case

ANSWER = b"HTTP/1.1 %d Something\r\ncontent-length: 0\r\n\r\n"


def case_of(kind: str):
    return make_case(1, sorted(KINDS).index(kind))


def test_a_seed_and_a_number_make_one_case():
    made = [make_case(7, number) for number in range(200)]
    assert made == [make_case(7, number) for number in range(200)]
    assert made != [make_case(8, number) for number in range(200)]
    assert {case.kind for case in made} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_nodes_own_is_noticed(kind):
    with pytest.raises(Broken, match="500"):
        judge(case_of(kind), ANSWER % 200 + ANSWER % 500)


def test_a_smuggled_request_is_noticed_and_its_refusal_is_not():
    smuggled = case_of("smuggling")
    assert judge(smuggled, ANSWER % 400) == "400"
    for said in (ANSWER % 200, ANSWER % 400 + ANSWER % 200, ANSWER % 400 + ANSWER % 401):
        with pytest.raises(Broken, match="smuggled"):
            judge(smuggled, said)


def test_an_unknown_coding_may_be_called_not_implemented_and_nothing_else_may():
    assert judge(case_of("codings"), ANSWER % 501) == "501"
    with pytest.raises(Broken):
        judge(case_of("bodies"), ANSWER % 501)
