"""``peernode route``: whom the node would ask, and with ``--explain`` the terms and the reasons."""

from __future__ import annotations

import json

from tests.cli.conftest import COORDINATOR, PROVIDER


def test_the_table_has_a_row_for_each_candidate_and_for_each_that_was_left_out(peernode, node):
    answer = peernode("route", "--explain", "org/tiny", "--provider", '{"sort": "price"}')
    assert answer.code == 0
    head, first, out = answer.out.splitlines()
    assert head.split()[:3] == ["peer", "model", "expected"]
    assert first.split() == ["1", PROVIDER.peer_id, "org/tiny", *["12.5", "ms"] * 8, "6", "7", "50%", "-"]
    assert out.split() == ["-", COORDINATOR.peer_id, "org/tiny", *["-"] * 11, "sort", "price"]


def test_the_prompt_comes_from_a_file_and_json_goes_out_as_it_came(peernode, node, tmp_path):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("x" * 300)
    found = json.loads(peernode("route", "--explain", "org/tiny", "--prompt-file", str(prompt), "--json").out)
    assert found["candidates"][0]["hit_tokens"] == 300
    assert found["excluded"][0]["provider"] == COORDINATOR.peer_id


def test_without_explain_only_the_choice_is_said(peernode, node):
    assert peernode("route", "auto").out == f"{PROVIDER.peer_id} with org/tiny\n"


def test_when_nobody_can_be_asked_the_exit_code_says_so(peernode, node):
    assert (peernode("route", "nobody").code, peernode("route", "nobody").out) == (1, "Nobody can be asked.\n")
    explained = peernode("route", "nobody", "--explain")
    assert (explained.code, explained.out) == (1, "Nobody offers this model now.\n")


def test_what_cannot_be_read_is_refused_by_name(peernode, node, tmp_path):
    for option, value in (("--provider", "{"), ("--prompt-file", str(tmp_path / "none"))):
        answer = peernode("route", "org/tiny", option, value)
        assert answer.code == 2
        assert option in answer.err
    assert "provider.sort" not in peernode("route", "org/tiny", "--provider", '{"order": []}').err
    refused = peernode("route", "org/tiny", "--provider", '{"sort": 1}')
    assert refused.code == 1
    assert "provider.sort must be one of price, throughput, latency" in refused.err
