"""Completions of plain text: several prompts, echoes, log-probabilities in their older form, and the openai package."""

from __future__ import annotations

import json

import openai
import pytest
import trio

from peernode.chat.events import Finished, Started, Tokens, Usage
from peernode.chat.request import ChatRequest
from peernode.wire.logprobs import Logprobs, TokenLogprob
from tests.edge.conftest import PROVIDER, RECEIPT


def entry(piece, logprob):
    micro = round(logprob * 1_000_000)
    return Logprobs(TokenLogprob(1, micro, piece), (TokenLogprob(9, micro - 1_000_000, b"?"),))


async def ask(edge, **changes):
    return await edge.client.post("/v1/completions", json={"model": "org/tiny", "prompt": "Say it.", **changes})


def play_logprobs(edge):
    texts = [b"Hel", b"lo"]
    tokens = [Tokens(text.decode(), (1,), (entry(text, -0.5),)) for text in texts]
    edge.runner.steps = [Started(PROVIDER.peer_id, "org/tiny"), *tokens, Finished("stop", Usage(10, 2)), RECEIPT]


def chunks_of(answer):
    *lines, done = [line for line in answer.text.split("\n\n") if line]
    assert done == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_an_answer_in_one_piece(edge):
    body = (await ask(edge)).json()
    assert body["object"] == "text_completion"
    assert body["id"] == f"cmpl-{body['request_id'].removeprefix('req_')}"
    (choice,) = body["choices"]
    assert (choice["text"], choice["finish_reason"], choice["logprobs"]) == ("Hello", "stop", None)
    assert body["usage"]["total_tokens"] == 12
    assert edge.runner.jobs[0].request.max_tokens == 16


async def test_prompts_are_answered_in_their_order(edge):
    body = (await ask(edge, prompt=["one", "two"], n=2, max_tokens=5)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    prompts = sorted((job.request_id, job.request.messages[0].content) for job in edge.runner.jobs)
    by_id = dict(prompts)
    assert [by_id[choice["request_id"]] for choice in body["choices"]] == ["one", "one", "two", "two"]
    assert len({job.seed for job in edge.runner.jobs}) == 4
    assert body["usage"]["prompt_tokens"] == 20
    assert body["usage"]["completion_tokens"] == 8


async def test_an_echo_begins_each_text(edge):
    body = (await ask(edge, prompt=["one ", "two "], echo=True)).json()
    assert [choice["text"] for choice in body["choices"]] == ["one Hello", "two Hello"]
    chunks = chunks_of(await ask(edge, echo=True, stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Say it.Hello"


async def test_a_stream(edge):
    *texts, end, usage = chunks_of(await ask(edge, stream=True, stream_options={"include_usage": True}))
    assert [chunk["choices"][0]["text"] for chunk in texts] == ["Hel", "lo"]
    assert end["choices"][0]["finish_reason"] == "stop"
    assert end["receipt"]["id"] == end["request_id"]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)
    assert "usage" not in chunks_of(await ask(edge, stream=True))[-1]


async def test_log_probabilities_in_their_older_form(edge):
    play_logprobs(edge)
    expected = {
        "tokens": ["Hel", "lo"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"?": -1.5, "Hel": -0.5}, {"?": -1.5, "lo": -0.5}],
        "text_offset": [0, 3],
    }
    assert (await ask(edge, logprobs=1)).json()["choices"][0]["logprobs"] == expected
    assert edge.runner.jobs[0].request.top_logprobs == 1
    play_logprobs(edge)
    first, second, _ = chunks_of(await ask(edge, logprobs=1, stream=True))
    offsets = [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in (first, second)]
    assert offsets == [[0], [3]]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, -2]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": [[1], [True, "x"]]}, "prompt[1]"),
        ({"prompt": [1, 2], "suffix": "end"}, "suffix"),
        ({"prompt": [1, 2], "echo": True}, "echo"),
        ({"prompt": ["a"] * 9}, "prompt"),
        ({"prompt": ["a"] * 3, "n": 3}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ({"suffix": 5}, "suffix"),
        ({"best_of": 9}, "best_of"),
        ({"best_of": 3, "stream": True}, "best_of"),
        ({"best_of": 4, "prompt": ["a", "b", "c"]}, "prompt"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"tools": [{}]}, "tools"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
async def test_what_cannot_be_done_is_named(edge, changes, param):
    answer = await ask(edge, **changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_what_asks_for_nothing_passes(edge):
    assert (await ask(edge, suffix="", best_of=2, n=2, logprobs=None, echo=False)).status_code == 200


async def test_token_ids_are_the_prompt_as_it_is(edge):
    await ask(edge, prompt=[5, 6, 7])
    await ask(edge, prompt=[[5, 6], [7], "Say it."])
    said = [[(message.role, message.content) for message in job.request.messages] for job in edge.runner.jobs]
    assert said[0] == [("tokens", "5 6 7")]
    assert sorted(said[1:]) == [[("tokens", "5 6")], [("tokens", "7")], [("user", "Say it.")]]
    assert all(ChatRequest.from_fields(job.request.to_fields()) == job.request for job in edge.runner.jobs)


async def test_a_suffix_leaves_a_gap(edge):
    assert (await ask(edge, prompt="def f(", suffix="return x")).json()["choices"][0]["text"] == "Hello"
    (job,) = edge.runner.jobs
    said = [(message.role, message.content) for message in job.request.messages]
    assert said == [("prefix", "def f("), ("suffix", "return x")]
    assert ChatRequest.from_fields(job.request.to_fields()) == job.request


async def test_the_best_of_several_are_returned_and_all_are_paid(edge):
    chances = iter([-3.0, -1.0, -2.0, -9.0, -8.0, -7.0])
    made = {}

    def tokens(job):
        made[job.request_id] = chance = next(chances)
        return Tokens(str(chance), (1,), (entry(str(chance).encode(), chance),))

    edge.runner.steps = [Started(PROVIDER.peer_id, "org/tiny"), tokens, Finished("stop", Usage(10, 2)), RECEIPT]
    body = (await ask(edge, prompt=["one", "two"], n=2, best_of=3)).json()
    assert [(choice["index"], choice["logprobs"]) for choice in body["choices"]] == [(at, None) for at in range(4)]
    texts = [float(choice["text"]) for choice in body["choices"]]
    for group in (texts[:2], texts[2:]):
        assert group == sorted(group, reverse=True)
    by_prompt = {}
    for job in edge.runner.jobs:
        by_prompt.setdefault(job.request.messages[0].content, []).append(made[job.request_id])
    assert texts == [chance for prompt in ("one", "two") for chance in sorted(by_prompt[prompt], reverse=True)[:2]]
    assert body["usage"]["completion_tokens"] == 12
    assert body["usage"]["prompt_tokens"] == 20
    assert all(choice["receipt"]["id"] == choice["request_id"] for choice in body["choices"])
    assert body["receipt"] == body["choices"][0]["receipt"]
    assert {job.request.top_logprobs for job in edge.runner.jobs} == {0}


async def test_the_openai_package(edge):
    def use():
        with openai.OpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0) as client:
            whole = client.completions.create(model="org/tiny", prompt="Say it.")
            streamed = list(client.completions.create(model="org/tiny", prompt="Say it.", stream=True))
        assert whole.choices[0].text == "".join(chunk.choices[0].text for chunk in streamed) == "Hello"

    await trio.to_thread.run_sync(use)
