"""Log-probabilities on the wire: OpenAI's shape, whole and streamed, and as its own client reads them."""

from __future__ import annotations

import json

import openai
import trio

from peernode.chat.events import Finished, Started, Tokens, Usage
from peernode.wire.logprobs import Logprobs, TokenLogprob
from tests.edge.conftest import BODY, PROVIDER, RECEIPT

EURO = "€".encode()
FIRST = TokenLogprob(4, -250_000, EURO[:1])
SECOND = TokenLogprob(5, 0, EURO[1:])
OTHER = TokenLogprob(9, -1_500_000, b" no")
EXPECTED = [
    {
        "token": "\\xe2",
        "logprob": -0.25,
        "bytes": [0xE2],
        "top_logprobs": [
            {"token": "\\xe2", "logprob": -0.25, "bytes": [0xE2]},
            {"token": " no", "logprob": -1.5, "bytes": [32, 110, 111]},
        ],
    },
    {"token": "\\x82\\xac", "logprob": 0.0, "bytes": [0x82, 0xAC], "top_logprobs": []},
]


def play_half_characters(edge):
    """Two tokens that make one character: the first has log-probabilities but no text yet."""
    edge.runner.steps = [
        Started(PROVIDER.peer_id, "org/tiny"),
        Tokens("", (4,), (Logprobs(FIRST, (FIRST, OTHER)),)),
        Tokens("€", (5,), (Logprobs(SECOND),)),
        Finished("stop", Usage(10, 2, 4)),
        RECEIPT,
    ]


async def test_an_answer_in_one_piece_has_one_entry_for_each_token(edge):
    play_half_characters(edge)
    answer = await edge.client.post("/v1/chat/completions", json={**BODY, "logprobs": True, "top_logprobs": 2})
    (choice,) = answer.json()["choices"]
    assert choice["message"]["content"] == "€"
    assert choice["logprobs"] == {"content": EXPECTED, "refusal": None}
    assert edge.runner.jobs[-1].request.top_logprobs == 2


async def test_nobody_who_does_not_ask_sees_any(edge):
    edge.runner.play("Hel", "lo")
    answer = await edge.client.post("/v1/chat/completions", json=BODY)
    assert answer.json()["choices"][0]["logprobs"] is None


async def test_in_a_stream_they_leave_with_their_tokens(edge):
    play_half_characters(edge)
    body = {**BODY, "logprobs": True, "top_logprobs": 2, "stream": True}
    answer = await edge.client.post("/v1/chat/completions", json=body)
    chunks = [json.loads(event[6:]) for event in answer.text.split("\n\n") if event[6:].startswith("{")]
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["delta"].get("content") for choice in choices] == ["", "", "€", None]
    assert [choice["logprobs"] and choice["logprobs"]["content"] for choice in choices] == [
        None, EXPECTED[:1], EXPECTED[1:], None
    ]  # fmt: skip


async def test_openais_client_reads_them(edge):
    play_half_characters(edge)

    def use():
        with openai.OpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0) as client:
            asked = {"model": "org/tiny", "messages": BODY["messages"], "logprobs": True, "top_logprobs": 2}
            whole = client.chat.completions.create(**asked).choices[0].logprobs.content
            stream = client.chat.completions.create(**asked, stream=True)
            pieces = [
                entry for chunk in stream if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content
            ]
        assert whole == pieces
        assert bytes(byte for entry in whole for byte in entry.bytes) == EURO
        assert [entry.logprob for entry in whole[0].top_logprobs] == [-0.25, -1.5]

    await trio.to_thread.run_sync(use)


async def test_a_model_lists_what_is_supported(edge):
    (model,) = (await edge.client.get("/v1/models")).json()["data"]
    supported = set(model["supported_parameters"])
    assert supported >= {"logit_bias", "top_k", "min_p", "top_a", "logprobs", "top_logprobs", "repetition_penalty"}
    assert supported >= {"n", "tools", "tool_choice", "response_format"}
    assert not supported & {"functions", "audio"}
