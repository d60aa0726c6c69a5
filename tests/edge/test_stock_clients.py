"""The openai package as users install it, sync and async, against the real server."""

from __future__ import annotations

import asyncio

import openai
import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed

MESSAGES = [{"role": "user", "content": "hi"}]


def client_of(edge):
    return openai.OpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0)


async def test_a_sync_client_gets_answer_stream_and_models(edge):
    def use():
        with client_of(edge) as client:
            answer = client.chat.completions.create(model="org/tiny", messages=MESSAGES)
            assert answer.choices[0].message.content == "Hello"
            assert answer.usage.total_tokens == 12
            assert answer._request_id == answer.request_id
            assert answer.receipt["id"] == answer.request_id
            chunks = list(
                client.chat.completions.create(
                    model="org/tiny", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
                )
            )
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello"
            assert chunks[-1].usage.completion_tokens == 2
            assert chunks[-1].receipt["id"] == chunks[0].request_id
            assert [model.id for model in client.models.list()] == ["org/tiny"]
            assert client.models.retrieve("org/tiny").context_length == 2048

    await trio.to_thread.run_sync(use)


async def test_an_async_client_streams(edge):
    async def use():
        async with openai.AsyncOpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(model="org/tiny", messages=MESSAGES, stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(await trio.to_thread.run_sync(asyncio.run, use())) == "Hello"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.BadRequest("No."), openai.BadRequestError),
        (errors.UnknownModel("No."), openai.NotFoundError),
        (errors.NoProvider("No."), openai.InternalServerError),
    ],
)
async def test_errors_arrive_as_the_clients_own_types(edge, error, kind):
    edge.runner.steps = [Failed(error)]

    def use():
        with client_of(edge) as client, pytest.raises(kind) as found:
            client.chat.completions.create(model="org/tiny", messages=MESSAGES)
        return found.value.request_id

    assert (await trio.to_thread.run_sync(use)).startswith("req_")


async def test_a_failure_in_the_middle_raises_in_the_client(edge):
    edge.runner.play("Hel", end=[Failed(errors.ProviderFailed("It failed."))])

    def use():
        with client_of(edge) as client, pytest.raises(openai.APIError, match="It failed"):
            list(client.chat.completions.create(model="org/tiny", messages=MESSAGES, stream=True))

    await trio.to_thread.run_sync(use)
