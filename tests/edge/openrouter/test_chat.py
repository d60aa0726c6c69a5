"""OpenRouter's, 4EVERLAND's and Qolaba's paths: their ids, usage, prompts, default model and transforms."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Usage, Waiting
from peernode.edge import job_response
from tests.edge.conftest import MODEL, RECEIPT

MESSAGES = [{"role": "user", "content": "hi"}]
PATHS = ["/api/v1/chat/completions", "/ai/v1/chat/completions"]


async def ask(edge, path=PATHS[0], **changes):
    return await edge.client.post(path, json={"model": "org/tiny", "messages": MESSAGES, **changes})


def chunks_of(answer):
    lines = [line for line in answer.text.split("\n\n") if line and not line.startswith(":")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_in_one_piece(edge, path):
    answer = await ask(edge, path)
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == "Hello"
    assert body["choices"][0]["native_finish_reason"] == "stop"
    assert body["id"] == answer.headers["x-generation-id"] == f"gen-{body['request_id'].removeprefix('req_')}"
    assert body["usage"]["cost"] > 0
    assert body["provider"].startswith("12D3Koo")
    assert edge.runner.jobs[0].dialect == "openrouter"


@pytest.mark.parametrize("path", PATHS)
async def test_usage_ends_every_stream(edge, path):
    *chunks, usage = chunks_of(await ask(edge, path, stream=True))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hello"
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 12)
    assert {chunk["id"][:4] for chunk in (*chunks, usage)} == {"gen-"}


async def test_a_prompt_is_answered_with_text(edge):
    body = (await ask(edge, messages=None, prompt="Say hello.")).json()
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "Hello")
    (job,) = edge.runner.jobs
    assert [(message.role, message.content) for message in job.request.messages] == [("user", "Say hello.")]
    assert job.request.max_tokens is None
    *chunks, usage = chunks_of(await ask(edge, messages=None, prompt="Say hello.", stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Hello"
    assert usage["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("changes", "param"),
    [({"prompt": "x"}, "prompt"), ({"messages": None}, "messages"), ({"transforms": ["other"]}, "transforms"),
     ({"transforms": "middle-out"}, "transforms"), ({"temperature": 2.5}, "temperature")],
)  # fmt: skip
async def test_what_is_wrong_is_named(edge, changes, param):
    answer = await ask(edge, **changes)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, 400, param)


@pytest.mark.parametrize(
    ("changes", "models"),
    [
        ({"model": None}, ["auto"]),
        ({"model": "openrouter/auto"}, ["auto"]),
        ({"model": "4ever/auto"}, ["auto"]),
        ({"model": None, "models": ["a/b", "4ever/auto"]}, ["a/b", "auto"]),
        ({"models": ["a/b"], "route": "fallback"}, ["org/tiny", "a/b"]),
    ],
)
async def test_models_by_the_names_and_omissions_of_its_clients(edge, changes, models):
    assert (await ask(edge, **changes)).status_code == 200
    (job,) = edge.runner.jobs
    assert [job.model, *job.wishes.models] == models


@pytest.mark.parametrize(
    ("path", "changes", "shortened"),
    [
        (PATHS[0], {}, True),
        (PATHS[0], {"transforms": []}, False),
        (PATHS[0], {"transforms": ["middle-out"]}, True),
        (PATHS[0], {"plugins": [{"id": "context-compression", "enabled": False}]}, False),
        (PATHS[0], {"model": "org/unheard-of"}, False),
        ("/v1/chat/completions", {}, False),
        ("/v1/chat/completions", {"transforms": ["middle-out"]}, True),
        ("/v1/chat/completions", {"plugins": [{"id": "context-compression"}]}, True),
    ],
)
async def test_what_may_be_shortened(edge, path, changes, shortened):
    await ask(edge, path, **changes)
    assert edge.runner.jobs[0].may_be_shortened is shortened


async def test_a_large_context_is_not_shortened_unasked(edge, monkeypatch):
    monkeypatch.setattr(edge.shelf, "find", lambda _: replace(MODEL, context_length=8193))
    await ask(edge)
    await ask(edge, transforms=["middle-out"])
    assert [job.may_be_shortened for job in edge.runner.jobs] == [False, True]


async def test_a_wait_is_a_comment(edge, monkeypatch):
    monkeypatch.setattr(job_response, "SILENCE_S", 0.0)
    edge.runner.steps.insert(0, Waiting("queued", 3.2))
    text = (await ask(edge, stream=True)).text
    assert text.startswith(": queued")
    assert text.endswith("data: [DONE]\n\n")


async def test_a_failure_in_the_middle_is_said_beside_the_choices(edge):
    edge.runner.play("Hel", end=[Failed(errors.ProviderFailed("It failed."))])
    *_, broken = chunks_of(await ask(edge, stream=True))
    assert broken["error"]["code"] == 502
    assert broken["choices"][0]["finish_reason"] == "error"


async def test_a_prompt_that_fails_in_the_middle_too(edge):
    edge.runner.play("Hel", end=[Failed(errors.ProviderFailed("It failed."))])
    *_, broken = chunks_of(await ask(edge, messages=None, prompt="x", stream=True))
    assert (broken["error"]["code"], broken["choices"][0]["finish_reason"]) == (502, "error")


async def test_thoughts_of_no_length_are_an_answer(edge):
    edge.runner.play(end=[Finished("stop", Usage(10, 0)), RECEIPT])
    assert (await ask(edge)).json()["choices"][0]["message"]["content"] == ""
