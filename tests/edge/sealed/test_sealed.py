"""Sealed requests over a real server, asked by docs/sealed_client.py, which shares no code with us."""

from __future__ import annotations

import importlib.util
import json
import secrets
import time
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.exceptions import CryptoError

from peernode.chat.errors import ProviderFailed
from peernode.chat.events import Failed, Started
from peernode.edge.errors import NoRoom
from peernode.edge.sealed.seen import WINDOW_S, Seen
from peernode.ledger.client_key import new_key_text
from peernode.wire.identity import Identity
from peernode.wire.sealed import CONTENT_TYPE, AnswerOpener, AnswerSealer, BadSeal
from tests.edge.known_keys import KnownKeys

NODE, OTHER = Identity.from_seed(bytes(range(32))), Identity.from_seed(bytes(range(1, 33)))
KEY = new_key_text(secrets.token_bytes)
CHAT = "/v1/chat/completions"
SECRET = "what nobody on the way may read"


def _reader():
    path = Path(__file__).resolve().parents[3] / "docs" / "sealed_client.py"
    spec = importlib.util.spec_from_file_location("sealed_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reader = _reader()


class Clock:
    ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def services(services, clock):
    made, runner, shelf = services
    changed = replace(made, accounts=KnownKeys(KEY), anonymous="no", sealing=NODE, clock=clock)
    clock.ahead = -1.0  # the node was started a second ago
    return changed, runner, shelf


@pytest.fixture
def started(edge, clock):
    clock.ahead = 0.0
    return edge


def sealed(path=CHAT, *, peer=NODE, key=KEY.text, method="POST", **changes):
    body = {"model": "org/tiny", "messages": [{"role": "user", "content": SECRET}], **changes}
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    return reader.Sealed(peer.peer_id, path, json.dumps(body).encode(), method=method, **headers)


async def post(edge, body, path=CHAT):
    return await edge.client.post(path, content=body, headers={"content-type": CONTENT_TYPE})


async def ask(edge, path=CHAT, **changes):
    """Status, headers and body of what was inside, and the answer as it travelled."""
    asked = sealed(path, **changes)
    answer = await post(edge, asked.body, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    (kind, head), *pieces = asked.read(iter([answer.content]))
    assert kind == 0
    told = json.loads(head)
    return told["status"], dict(told["headers"]), b"".join(piece for _, piece in pieces), (asked.body, answer)


async def refused(edge, body, path=CHAT):
    answer = await post(edge, body, path)
    assert answer.status_code == 400
    return answer.json()["error"]["metadata"]["reason"]


async def test_neither_the_question_nor_the_key_nor_the_answer_is_on_the_wire_or_in_the_log(started, capsys):
    status, headers, body, (request, answer) = await ask(started)
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "Hello")
    assert float(headers["credits"]) > 0
    assert started.runner.jobs[0].payer == KEY.id
    assert started.runner.jobs[0].request.messages[0].content == SECRET
    travelled = request + answer.content + repr(answer.headers).encode()
    for word in (SECRET, KEY.text, KEY.id, "Hello", "org/tiny", "messages", "credits"):
        assert word.encode() not in travelled
    await refused(started, request)
    logged = "".join(capsys.readouterr())
    assert "seal_repeated" in logged
    assert not any(word in logged for word in (SECRET, KEY.text, "Hello"))


async def test_a_stream_is_sealed_piece_by_piece(started):
    status, headers, body, _ = await ask(started, stream=True)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert body.endswith(b"data: [DONE]\n\n")
    assert b'"content":"Hel"' in body.replace(b": ", b":")


async def test_refusals_of_what_is_inside_are_sealed_too(started):
    status, _, body, _ = await ask(started, key="")
    assert (status, json.loads(body)["error"]["metadata"]["reason"]) == (401, "missing_key")
    status, _, body, _ = await ask(started, temperature=9)
    assert (status, json.loads(body)["error"]["param"]) == (400, "temperature")
    started.runner.steps = [Started("p", "org/tiny"), Failed(ProviderFailed("It broke."))]
    assert (await ask(started))[0] == 502


async def test_what_is_only_read_can_be_asked_for_inside(started):
    status, _, body, _ = await ask(started, "/v1/models?x=1", method="GET")
    assert (status, json.loads(body)["data"][0]["id"]) == (200, "org/tiny")


async def test_a_request_counts_once_and_in_its_minute(started, clock):
    asked = sealed()
    assert (await post(started, asked.body)).headers["content-type"] == CONTENT_TYPE
    assert await refused(started, asked.body) == "seal_repeated"
    late = sealed()
    clock.ahead = WINDOW_S + 5
    assert await refused(started, late.body) == "seal_stale"
    clock.ahead = -WINDOW_S - 5
    assert await refused(started, sealed().body) == "seal_stale"
    assert len(started.runner.jobs) == 1


async def test_what_was_made_before_the_node_started_is_not_taken(edge, clock):
    early = sealed()
    clock.ahead = 0.0
    seen = Seen(time.time() + 1)
    with pytest.raises(Exception, match="not of this minute"):
        seen.take(b"k", time.time(), time.time())
    assert (await post(edge, early.body)).headers["content-type"] == CONTENT_TYPE


async def test_it_opens_at_its_own_node_and_path_only(started):
    assert await refused(started, sealed(peer=OTHER).body) == "seal_refused"
    assert await refused(started, sealed().body, "/api/v1/chat/completions") == "seal_refused"
    assert await refused(started, sealed().body, f"{CHAT}?x=1") == "seal_refused"
    assert await refused(started, b"") == "seal_refused"
    assert await refused(started, b"PNS1" + bytes(100)) == "seal_refused"
    assert started.runner.jobs == []


async def test_a_changed_request_is_refused_wherever_it_was_changed(started):
    body = sealed().body
    for at in [*range(0, 80, 7), len(body) - 1]:
        assert await refused(started, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]) == "seal_refused"


async def test_headers_of_the_connection_cannot_be_set_from_inside(started):
    asked = reader.Sealed(NODE.peer_id, CHAT, b"{}", **{"x-forwarded-for": "127.0.0.1"})
    assert await refused(started, asked.body) == "seal_refused"
    asked = reader.Sealed(NODE.peer_id, CHAT, b"{}", method="PATCH")
    assert await refused(started, asked.body) == "seal_refused"


async def test_the_client_notices_an_answer_that_was_cut_off_or_changed(started):
    asked = sealed(stream=True)
    content = (await post(started, asked.body)).content
    sizes, at = [], 0
    while at < len(content):
        sizes.append(4 + int.from_bytes(content[at : at + 4], "big"))
        at += sizes[-1]
    frames = [content[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(len(sizes))]
    assert list(asked.read(iter(frames)))
    for broken in (frames[:-1], frames[:1], []):
        with pytest.raises(reader.Truncated):
            list(asked.read(iter(broken)))
    for wrong in (frames[1:], [frames[1], frames[0]], [frames[0], *frames], [frames[0], *frames[2:]]):
        with pytest.raises(CryptoError):
            list(asked.read(iter(wrong)))
    with pytest.raises(CryptoError):
        list(sealed().read(iter(frames)))  # another request's answer


async def test_what_is_not_sealed_goes_its_usual_way(edge):
    plain = await edge.client.post(CHAT, json={})
    assert plain.status_code == 401


def test_what_was_seen_is_bounded():
    seen = Seen(0.0, most=2)
    seen.take(b"a", 100.0, 100.0)
    seen.take(b"b", 100.0, 100.0)
    with pytest.raises(NoRoom):
        seen.take(b"c", 100.0, 100.0)
    late = 101.0 + 2 * WINDOW_S
    seen.take(b"c", late, late)


def test_pieces_of_any_size_come_back_as_they_were():
    sealer, opener = AnswerSealer(b"k" * 32), AnswerOpener(b"k" * 32)
    sent = bytes(range(256)) * 3000
    raw = sealer.head({"status": 200}) + sealer.body(sent) + sealer.end()
    found = [frame for at in range(0, len(raw), 1000) for frame in opener.push(raw[at : at + 1000])]
    assert (found[0][1], b"".join(data for _, data in found[1:]), opener.ended) == (b'{"status": 200}', sent, True)
    with pytest.raises(BadSeal):
        AnswerOpener(b"k" * 32).push(b"\xff\xff\xff\xff")
