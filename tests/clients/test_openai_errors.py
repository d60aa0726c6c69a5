"""Every typed exception of the stock ``openai`` package for Python, each from a real cause on the network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.clients.conftest import CHAT, FRAIL, Place

pytestmark = pytest.mark.real
Ask = Callable[..., Any]


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture
def ask(place: Place) -> Iterator[Ask]:
    """``ask(text, key=…, base=…, timeout=…, …)``: one short answer, by a client that gives up at the first failure."""
    made: list[openai.OpenAI] = []

    def one(text: str = "Hi.", *, key: str = "unused", base: str = "", timeout: float = 120, **more: Any) -> Any:
        made.append(openai.OpenAI(base_url=base or place.base, api_key=key, max_retries=0, timeout=timeout))
        asked: Any = {"model": CHAT, "messages": messages(text), "max_tokens": 8, **more}
        return made[-1].chat.completions.create(**asked)

    yield one
    for client in made:
        client.close()


def refused(kind: type[openai.APIStatusError], ask: Callable[[], object]) -> openai.APIStatusError:
    """What ``ask`` raises, which is exactly of ``kind``, with the body that all our errors have."""
    with pytest.raises(kind) as found:
        ask()
    error = found.value
    assert type(error) is kind
    assert isinstance(error.body, dict)
    assert error.body["code"] == error.status_code
    assert error.body["message"] in error.message
    assert error.request_id is not None
    assert error.request_id.startswith("req_")
    return error


def test_400_for_what_cannot_be_asked(ask: Ask) -> None:
    error = refused(openai.BadRequestError, lambda: ask(temperature=3))
    assert error.param == "temperature"  # type: ignore[attr-defined]
    long = refused(openai.BadRequestError, lambda: ask("long " * 4000))
    assert long.body["metadata"]["reason"] == "context_length_exceeded"  # type: ignore[index]


def test_401_for_a_key_that_is_nobodys(ask: Ask, place: Place) -> None:
    refused(openai.AuthenticationError, lambda: ask(key=place.keys["unknown"]))


def test_402_for_a_key_without_credit(ask: Ask, place: Place) -> None:
    error = refused(openai.APIStatusError, lambda: ask(key=place.keys["poor"]))
    assert error.status_code == 402
    assert error.type == "insufficient_quota"  # type: ignore[attr-defined]


def test_403_for_a_key_for_other_models(ask: Ask, place: Place) -> None:
    refused(openai.PermissionDeniedError, lambda: ask(key=place.keys["narrow"]))


def test_404_for_a_model_that_nobody_has(ask: Ask) -> None:
    refused(openai.NotFoundError, lambda: ask(model="nobody/has-this"))


def test_413_for_a_body_beyond_the_limit(ask: Ask) -> None:
    assert refused(openai.APIStatusError, lambda: ask("x" * 33_000_000)).status_code == 413


def test_429_for_a_key_that_asks_too_often(ask: Ask, place: Place) -> None:
    def hurry() -> None:
        for _ in range(3):
            ask(key=place.keys["slow"], max_tokens=1)

    error = refused(openai.RateLimitError, hurry)
    assert 0 < int(error.response.headers["retry-after"]) <= 60


def test_502_when_every_provider_failed(ask: Ask) -> None:
    error = refused(openai.InternalServerError, lambda: ask("fail at once", model=FRAIL))
    assert error.status_code == 502
    assert [each["code"] for each in error.body["metadata"]["attempts"]] == ["engine_crashed"]  # type: ignore[index]
    assert ask("Be well.", model=FRAIL, max_tokens=1).choices


def test_503_when_no_provider_is_as_wished(ask: Ask) -> None:
    error = refused(
        openai.InternalServerError, lambda: ask(extra_body={"provider": {"max_price": {"completion": 0.0001}}})
    )
    assert error.status_code == 503
    assert "retry-after" in error.response.headers


def test_504_when_no_token_came_in_time(ask: Ask, place: Place) -> None:
    error = refused(openai.InternalServerError, lambda: ask("say nothing", model=FRAIL, base=f"{place.hasty.url}/v1"))
    assert error.status_code == 504


def test_a_stream_that_breaks_off_raises_behind_what_it_said(ask: Ask) -> None:
    said: list[str] = []
    stream = ask("fail midway: write a long story.", model=FRAIL, max_tokens=60, stream=True)
    with pytest.raises(openai.APIError, match="broke off") as found:
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert type(found.value) is openai.APIError
    assert found.value.body["code"] == 504  # type: ignore[index]
    assert "".join(said)
    assert ask("Be well.", model=FRAIL, max_tokens=1).choices


def test_responses_that_break_off_end_with_their_own_event(place: Place, ask: Ask) -> None:
    with openai.OpenAI(base_url=place.base, api_key="unused", max_retries=0) as client:
        asked = "fail midway: write a long story."
        *_, last = client.responses.create(model=FRAIL, input=asked, max_output_tokens=60, stream=True)
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert "broke off" in last.response.error.message
    assert ask("Be well.", model=FRAIL, max_tokens=1).choices


def test_a_client_that_does_not_wait(ask: Ask) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask("say nothing", model=FRAIL, timeout=0.5)


def test_a_node_that_is_not_there(ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(openai.APIConnectionError):
            ask(base=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
