"""Kept conversations over a real server: what is remembered, for whom, and that the disk alone tells nothing."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from dataclasses import replace

import pytest
import trio

from peernode.chat.errors import ProviderFailed
from peernode.chat.events import Failed, Started, Tokens
from peernode.edge.sessions.session import MAX_SAID_BYTES, Sessions
from peernode.ledger.client_key import new_key_text
from peernode.node.session_files import DAY_S, SWEEP_S, SessionFiles
from tests.edge.known_keys import KnownKeys

ALICE, BOB = new_key_text(secrets.token_bytes), new_key_text(secrets.token_bytes)
SECRET, OTHER = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
PER_KEY, DAYS = 3, 10
CHAT = "/v1/chat/completions"


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def services(services, tmp_path, clock):
    made, runner, shelf = services
    files = SessionFiles(tmp_path / "sessions", per_key=PER_KEY, days=DAYS, clock=clock)
    return replace(made, accounts=KnownKeys(ALICE, BOB), sessions=Sessions(files, busy_s=600)), runner, shelf


def words(text):
    return [{"role": "user", "content": text}]


async def say(edge, text, *, key=ALICE, path=CHAT, status=200, **changes):
    body = {"model": "org/tiny", "messages": words(text), "session_key": SECRET, **changes}
    headers = {"authorization": f"Bearer {key.text}"} if key else {}
    answer = await edge.client.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert SECRET not in answer.text
    return answer


async def refused(edge, status, **changes):
    return (await say(edge, "hi", status=status, **changes)).json()["error"]["metadata"].get("reason")


def asked(edge, number=-1):
    return [(message.role, message.content) for message in edge.runner.jobs[number].request.messages]


async def test_what_was_said_is_in_front_of_the_next_question(edge):
    session = (await say(edge, "I am Ada.")).json()["session_id"]
    edge.runner.play("Ada", "!")
    again = await say(edge, "Who am I?", session_id=session)
    assert (again.json()["session_id"], again.headers["x-session-id"]) == (session, session)
    before = [("user", "I am Ada."), ("assistant", "Hello"), ("user", "Who am I?")]
    assert asked(edge) == before
    await say(edge, "Sure?", session_id=session.upper(), path="/api/v1/chat/completions")
    assert asked(edge) == [*before, ("assistant", "Ada!"), ("user", "Sure?")]


@pytest.mark.parametrize("path", [CHAT, "/api/chat/stream"])
async def test_a_stream_is_remembered_before_its_end_is_told(edge, path):
    first = await say(edge, "one", stream=True, path=path)
    session = first.headers["x-session-id"]
    if path == CHAT:
        chunks = [json.loads(line[6:]) for line in first.text.split("\n\n") if line.startswith("data: {")]
        assert {chunk["session_id"] for chunk in chunks} == {session}
    await say(edge, "two", session_id=session, path=path)
    assert asked(edge) == [("user", "one"), ("assistant", "Hello"), ("user", "two")]


async def test_calls_and_their_results_are_remembered(edge):
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    edge.runner.play('<tool_call>{"name": "look", "arguments": {}}</tool_call>')
    answer = (await say(edge, "look", tools=tools)).json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    result = [{"role": "tool", "tool_call_id": call["id"], "content": "dark"}]
    edge.runner.play("It is dark.")
    await say(edge, "", session_id=answer["session_id"], messages=result, tools=tools)
    sent = edge.runner.jobs[-1].request.messages
    assert [message.role for message in sent] == ["user", "assistant", "tool"]
    assert sent[1].tool_calls[0].name == "look"
    assert sent[2].tool_call_id == call["id"]


async def test_without_its_fields_a_request_has_no_memory(edge, tmp_path):
    await say(edge, "hi", session_key=None)
    answer = await say(edge, "hi", session_key=None, session_id="any label of another API")
    assert "x-session-id" not in answer.headers
    assert "session_id" not in answer.json()
    assert asked(edge) == [("user", "hi")]
    assert not (tmp_path / "sessions").exists()


async def test_the_disk_tells_nothing_without_the_clients_key(edge, tmp_path):
    session = (await say(edge, "a secret that nobody else reads")).json()["session_id"]
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    kept = file.read_bytes()
    for plain in (b"secret", b"Hello", b"assistant", base64.b64decode(SECRET), SECRET.encode()):
        assert plain not in kept
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert await refused(edge, 403, session_id=session, session_key=OTHER) == "session_key_refused"
    file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert await refused(edge, 403, session_id=session) == "session_key_refused"


async def test_one_session_does_not_open_in_the_place_of_another(edge, tmp_path):
    first, second = [(await say(edge, text)).json()["session_id"] for text in ("one", "two")]
    folder = tmp_path / "sessions" / ALICE.id
    (folder / second).write_bytes((folder / first).read_bytes())
    assert await refused(edge, 403, session_id=second) == "session_key_refused"


async def test_it_belongs_to_the_api_key_alone(edge):
    session = (await say(edge, "mine")).json()["session_id"]
    assert await refused(edge, 404, session_id=session, key=BOB) == "unknown_session"
    assert await refused(edge, 401, session_id=session, key=None) == "missing_key"
    assert await refused(edge, 404, session_id=str(uuid.uuid4())) == "unknown_session"
    assert await refused(edge, 400, session_id="../../node.key") == "bad_request"
    for bad in ("short", SECRET[:-4], 7, "é" * 44):
        assert await refused(edge, 400, session_key=bad) == "bad_request"
    assert await refused(edge, 400, n=2) == "bad_request"


async def test_what_failed_or_was_broken_off_is_not_remembered(edge):
    session = (await say(edge, "one")).json()["session_id"]
    start = [Started("p", "org/tiny"), Tokens("half", (1,))]
    edge.runner.steps = [*start, Failed(ProviderFailed("It broke."))]
    await say(edge, "two", session_id=session, status=502)
    edge.runner.steps = [*start, trio.Event()]
    jobs = len(edge.runner.jobs)
    await edge.hang_up(lambda: say(edge, "three", session_id=session, stream=True), jobs=jobs + 1)
    await edge.runner.cancelled.wait()
    edge.runner.play("fine")
    await say(edge, "four", session_id=session)
    assert asked(edge) == [("user", "one"), ("assistant", "Hello"), ("user", "four")]


async def test_questions_of_one_session_do_not_run_side_by_side(edge):
    session = (await say(edge, "one")).json()["session_id"]
    go_on = trio.Event()
    edge.runner.play("slow")
    edge.runner.steps.insert(2, go_on)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: say(edge, "two", session_id=session))
        while len(edge.runner.jobs) < 2:
            await trio.lowlevel.checkpoint()
        assert await refused(edge, 409, session_id=session) == "session_busy"
        go_on.set()
    edge.runner.play("done")
    await say(edge, "three", session_id=session)
    assert asked(edge)[-2:] == [("assistant", "slow"), ("user", "three")]


async def test_a_refused_question_leaves_the_session_free(edge):
    session = (await say(edge, "one")).json()["session_id"]
    await say(edge, "two", session_id=session, temperature=9, status=400)
    await say(edge, "two", session_id=session)


async def test_a_session_is_bounded_in_size(edge):
    session = (await say(edge, "one")).json()["session_id"]
    assert await refused(edge, 400, session_id=session, messages=words("x" * MAX_SAID_BYTES)) == "session_full"
    await say(edge, "two", session_id=session)


async def test_sessions_are_bounded_in_number_listed_and_deleted(edge, clock):
    made = []
    for number in range(PER_KEY):
        clock.now += 1
        made.append((await say(edge, f"{number}")).json()["session_id"])
    jobs = len(edge.runner.jobs)
    assert await refused(edge, 403) == "too_many_sessions"
    assert len(edge.runner.jobs) == jobs  # refused before it costs
    headers = {"authorization": f"Bearer {ALICE.text}"}
    listed = (await edge.client.get("/v1/sessions", headers=headers)).json()["data"]
    assert [row["session_id"] for row in listed] == made[::-1]
    assert listed[0]["last_used"] == "2023-11-14T22:13:23Z"
    stranger = {"authorization": f"Bearer {BOB.text}"}
    assert (await edge.client.get("/v1/sessions", headers=stranger)).json()["data"] == []
    assert (await edge.client.delete(f"/v1/sessions/{made[0]}", headers=stranger)).status_code == 404
    gone = await edge.client.delete(f"/v1/sessions/{made[0]}", headers=headers)
    assert gone.json() == {"object": "session", "session_id": made[0], "deleted": True}
    assert await refused(edge, 404, session_id=made[0]) == "unknown_session"
    await say(edge, "room again")


async def test_what_nobody_used_for_long_is_gone_from_the_disk(edge, tmp_path, clock):
    session = (await say(edge, "one")).json()["session_id"]
    clock.now += DAYS * DAY_S - 1
    await say(edge, "two", session_id=session)  # used: it stays
    clock.now += DAYS * DAY_S - 1
    assert asked(edge)[0] == ("user", "one")
    clock.now += 2 + SWEEP_S
    assert await refused(edge, 404, session_id=session) == "unknown_session"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_node_may_keep_none(edge):
    object.__setattr__(edge.services, "sessions", None)
    assert await refused(edge, 400) == "bad_request"


def test_names_never_become_paths(tmp_path, clock):
    from peernode.edge.sessions.memory import SessionName

    files = SessionFiles(tmp_path, per_key=1, days=1, clock=clock)
    for name in (SessionName("..", str(uuid.uuid4())), SessionName("a", "../x"), SessionName("a/b", "x")):
        with pytest.raises(ValueError, match="a session's"):
            files.load(name)
