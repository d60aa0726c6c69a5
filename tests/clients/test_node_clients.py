"""Stock clients for Node.js, and the loop of web pages written for Peerwave, each as a program of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import CHAT, Place
from tests.clients.programs import Seen, run_program
from tests.npm_packages import NODE, prepare

pytestmark = pytest.mark.real
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(Path(__file__).parent / "js", tmp_path_factory.mktemp("clients") / "js")


class TestOpenAI:
    @pytest.fixture(scope="class")
    @staticmethod
    def seen(sources: Path, place: Place) -> Seen:
        return run_program([NODE, "openai_client.mjs"], place.settings(), cwd=sources)

    def test_an_answer_whole_and_streamed_say_the_same(self, seen: Seen) -> None:
        whole, streamed = seen["answer"], seen["stream"]
        assert whole["text"] == streamed["text"] != ""
        assert whole["usage"]["completion_tokens"] == streamed["usage"]["completion_tokens"] > 0
        assert whole["id"].startswith("req_")
        assert streamed["role"] == "assistant"

    def test_tools_are_called_whole_and_in_streams(self, seen: Seen) -> None:
        whole, streamed = seen["tools"], seen["streamed_tools"]
        assert whole["reason"] == streamed["reason"] == "tool_calls"
        assert whole["call"]["function"]["name"] == "paint"
        assert len(streamed["deltas"]) > 1
        assert "".join(streamed["deltas"]) == whole["call"]["function"]["arguments"]
        assert whole["after"]

    def test_parse_gives_an_object_of_the_schema(self, seen: Seen) -> None:
        assert all(parsed["colour"] in COLOURS for parsed in seen["parse"].values())

    def test_an_image_reaches_the_model(self, seen: Seen) -> None:
        assert seen["image"]["seeing"] > seen["image"]["blind"]

    def test_embeddings(self, seen: Seen) -> None:
        assert seen["embeddings"]["squares"] == pytest.approx([1, 1], abs=1e-4)

    def test_responses_whole_and_as_events_say_the_same(self, seen: Seen) -> None:
        saw = seen["responses"]
        assert saw["whole"] == saw["text"] != ""
        assert saw["usage"]["output_tokens"] <= 8
        assert saw["first"] == "response.created"
        assert saw["last"] in ("response.completed", "response.incomplete")

    def test_completions_of_the_older_kind(self, seen: Seen) -> None:
        assert seen["completions"]["whole"] == seen["completions"]["text"] != ""

    def test_models(self, seen: Seen) -> None:
        assert CHAT in seen["models"]["ids"]
        assert seen["models"]["one"] == CHAT

    def test_every_error_is_of_its_own_kind(self, seen: Seen) -> None:
        saw = seen["errors"]
        assert {cause: (error["kind"], error.get("status")) for cause, error in saw.items()} == {
            "400": ("BadRequestError", 400),
            "401": ("AuthenticationError", 401),
            "402": ("APIError", 402),
            "403": ("PermissionDeniedError", 403),
            "404": ("NotFoundError", 404),
            "429": ("RateLimitError", 429),
            "502": ("InternalServerError", 502),
            "503": ("InternalServerError", 503),
            "504": ("InternalServerError", 504),
            "timeout": ("APIConnectionTimeoutError", None),
        }
        assert all(error["requestID"].startswith("req_") for cause, error in saw.items() if cause != "timeout")

    def test_a_stream_that_breaks_off_throws_behind_what_it_said(self, seen: Seen) -> None:
        assert seen["broken_stream"]["text"]
        assert seen["broken_stream"]["error"]["kind"] == "APIError"
        assert "broke off" in seen["broken_stream"]["error"]["text"]


class TestVercelAISDK:
    @pytest.fixture(scope="class")
    @staticmethod
    def seen(sources: Path, place: Place) -> Seen:
        return run_program([NODE, "ai_sdk_client.mjs"], place.settings(), cwd=sources)

    def test_text_whole_and_streamed(self, seen: Seen) -> None:
        whole, streamed = seen["generate_text"], seen["stream_text"]
        assert whole["text"] == streamed["text"] != ""
        assert whole["finishReason"] == streamed["finishReason"] in ("stop", "length")
        assert whole["usage"]["outputTokens"] == streamed["usage"]["outputTokens"] > 0
        assert whole["usage"]["inputTokens"] == streamed["usage"]["inputTokens"] > 0

    def test_objects_of_a_schema(self, seen: Seen) -> None:
        assert all(made["colour"] in COLOURS for made in seen["generate_object"].values())

    def test_tools_are_called_and_run(self, seen: Seen) -> None:
        (call,), (result,) = seen["tools"]["calls"], seen["tools"]["results"]
        assert seen["tools"]["finishReason"] == "tool-calls"
        assert call["toolName"] == "paint"
        assert result["output"] == f"It is {call['input']['colour']} now."
        assert seen["streamed_tools"]["input"] == call["input"]
        assert seen["streamed_tools"]["types"].count("tool-input-delta") > 1

    def test_a_tool_s_result_leads_to_an_answer(self, seen: Seen) -> None:
        assert seen["tool_loop"]["steps"] == 2
        assert seen["tool_loop"]["text"]

    def test_an_image_reaches_the_model(self, seen: Seen) -> None:
        assert seen["image"]["seeing"] > seen["image"]["blind"]

    def test_embeddings(self, seen: Seen) -> None:
        assert seen["embed"] == pytest.approx([1, 1], abs=1e-4)

    def test_errors_have_their_status_and_our_words(self, seen: Seen) -> None:
        for status, error in seen["errors"].items():
            assert (error["kind"], error["status"]) == ("APICallError", int(status))
        assert "temperature" in seen["errors"]["400"]["text"]

    def test_a_stream_that_breaks_off_says_so(self, seen: Seen) -> None:
        assert seen["broken_stream"]["text"]
        assert any("broke off" in error for error in seen["broken_stream"]["errors"])


class TestPeerwave:
    @pytest.fixture(scope="class")
    @staticmethod
    def seen(sources: Path, place: Place) -> Seen:
        return run_program([NODE, "peerwave_loop.mjs"], place.settings(), cwd=sources)

    def test_every_read_holds_whole_lines(self, seen: Seen) -> None:
        assert seen["lines"]["text"]
        assert seen["lines"]["credits"] > 0

    def test_the_first_words_come_before_the_last_are_made(self, seen: Seen) -> None:
        saw = seen["first_words_before_the_last"]
        assert saw["before"]
        assert len(saw["text"]) > len(saw["before"])
        assert saw["credits"] > 0
