"""The stock ``openai`` package, unchanged, against an edge that has no model."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

from tests.network.conftest import MODEL_ID, Network

pytestmark = pytest.mark.real
MESSAGES = [{"role": "user", "content": "Name a colour."}]


def receipt_of(network: Network, request_id: str) -> dict[str, object]:
    answer = httpx.get(f"{network.edge.url}/v1/receipts/{request_id}")
    assert answer.status_code == 200
    return answer.json()


def test_sync_answer_leads_to_its_receipt(network: Network) -> None:
    with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused") as client:
        answer = client.chat.completions.create(model=MODEL_ID, messages=MESSAGES, max_tokens=12, temperature=0)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 12
    request_id = answer.request_id  # type: ignore[attr-defined]
    assert answer._request_id == request_id
    receipt = receipt_of(network, request_id)
    assert receipt["request_id"] == request_id
    assert receipt["node_id"] in {provider.peer_id for provider in network.providers}
    assert receipt["verified"]["ok"] is True  # type: ignore[index]


def test_sync_stream(network: Network) -> None:
    with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused") as client:
        stream = client.chat.completions.create(
            model=MODEL_ID,
            messages=MESSAGES,
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert chunks[-1].usage is not None
    assert receipt_of(network, chunks[0].request_id)  # type: ignore[attr-defined]


def test_async_stream_and_answer_agree_at_temperature_zero(network: Network) -> None:
    async def both() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{network.edge.url}/v1", api_key="unused") as client:
            whole = await client.chat.completions.create(
                model=MODEL_ID, messages=MESSAGES, max_tokens=12, temperature=0
            )
            stream = await client.chat.completions.create(
                model=MODEL_ID, messages=MESSAGES, max_tokens=12, temperature=0, stream=True
            )
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            return whole.choices[0].message.content or "", "".join(pieces)

    whole, streamed = asyncio.run(both())
    assert whole == streamed != ""


def test_typed_errors(network: Network) -> None:
    with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody-has-this", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model=MODEL_ID, messages=MESSAGES, temperature=3)
        with pytest.raises(openai.BadRequestError, match="context"):
            client.chat.completions.create(
                model=MODEL_ID, messages=[{"role": "user", "content": "long " * 6000}], max_tokens=5
            )


def test_models_and_health(network: Network) -> None:
    with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused") as client:
        assert [model.id for model in client.models.list()] == [MODEL_ID, "cheapest", "fastest", "auto"]
        assert client.models.retrieve(MODEL_ID).id == MODEL_ID
    assert httpx.get(f"{network.edge.url}/healthz").status_code == 200
    assert httpx.get(f"{network.edge.url}/readyz").status_code == 200


def test_the_same_seed_gives_the_same_answer(network: Network) -> None:
    body = {"model": MODEL_ID, "messages": MESSAGES, "max_tokens": 16, "temperature": 0.9, "seed": 7}
    answers = {
        httpx.post(f"{network.edge.url}/v1/chat/completions", json=body, timeout=60).json()["choices"][0]["message"][
            "content"
        ]
        for _ in range(3)
    }
    assert len(answers) == 1


def test_log_probabilities_and_penalties_reach_the_provider_and_come_back(network: Network) -> None:
    asked = {"model": MODEL_ID, "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
    with openai.OpenAI(base_url=f"{network.edge.url}/v1", api_key="unused") as client:
        answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3)
        entries = answer.choices[0].logprobs.content
        chunks = list(client.chat.completions.create(**asked, logprobs=True, top_logprobs=3, stream=True))
        other = client.chat.completions.create(
            **asked, presence_penalty=1, extra_body={"repetition_penalty": 1.3, "top_k": 5, "min_p": 0.1}
        )
    assert len(entries) == answer.usage.completion_tokens
    assert all(entry.logprob == entry.top_logprobs[0].logprob for entry in entries)
    assert bytes(byte for entry in entries for byte in entry.bytes).decode() == answer.choices[0].message.content
    streamed = [entry for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert streamed == entries
    assert receipt_of(network, answer.request_id)["verified"]["ok"] is True
    assert receipt_of(network, other.request_id)["verified"]["ok"] is True


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(network: Network) -> None:
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": "Count: 1, 2, 3,"}], "temperature": 0}
    ask = lambda extra: httpx.post(  # noqa: E731
        f"{network.edge.url}/v1/chat/completions", json={**body, "max_tokens": 40, **extra}, timeout=60
    ).json()["choices"][0]
    whole = ask({})["message"]["content"]
    stop = whole[len(whole) // 2 : len(whole) // 2 + 4]
    cut = ask({"stop": [stop]})
    assert cut["message"]["content"] == whole[: whole.index(stop)]
    assert cut["finish_reason"] == "stop"
