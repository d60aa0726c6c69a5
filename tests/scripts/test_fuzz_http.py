"""What ``scripts/fuzz http`` sends is made by its seed, and what it must not hear it notices."""

from __future__ import annotations

import h2.config
import h2.connection
import pytest
from fuzz_http import Broken, judge, statuses_of_frames
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


def test_answers_in_frames_are_read_too():
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client = h2.connection.H2Connection()
    client.initiate_connection()
    server.initiate_connection()
    for number in (1, 3):
        client.send_headers(number, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")])
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200")], end_stream=True)
    server.send_headers(3, [(":status", "500")], end_stream=True)
    said = server.data_to_send()
    assert statuses_of_frames(said) == [200, 500]
    assert statuses_of_frames(said[:-1] + b"x" * 50)[:1] == [200]
    with pytest.raises(Broken, match="500"):
        judge(case_of("http2"), said)
