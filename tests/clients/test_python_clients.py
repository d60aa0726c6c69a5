"""litellm, langchain-openai and llm, each in an environment of its own as its users have it."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import CHAT, SEEING, Place, image_url
from tests.clients.programs import RUN_S, Seen, clean_environment, run_program
from tests.python_packages import python_with

pytestmark = pytest.mark.real
PROGRAMS = Path(__file__).parent / "python"
COLOURS = ("red", "green", "blue")


class TestLiteLLM:
    @pytest.fixture(scope="class")
    @staticmethod
    def seen(place: Place) -> Seen:
        python = python_with(PROGRAMS / "litellm.txt")
        # Otherwise it fetches a list of prices from the Internet when it is imported.
        here = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return run_program([python, "litellm_client.py"], place.settings(), cwd=PROGRAMS, more=here)

    def test_an_answer_whole_streamed_and_awaited(self, seen: Seen) -> None:
        assert seen["whole"] == seen["streamed"]
        assert seen["whole"]["text"] == seen["awaited"] != ""

    def test_tools_are_called_whole_and_in_streams(self, seen: Seen) -> None:
        saw = seen["tools"]
        assert (saw["reason"], saw["name"]) == ("tool_calls", "paint")
        assert json.loads(saw["arguments"])["colour"] in COLOURS
        assert saw["streamed"] == saw["arguments"]

    def test_a_schema_is_kept(self, seen: Seen) -> None:
        assert seen["schema"] in COLOURS

    def test_an_image_reaches_the_model(self, seen: Seen) -> None:
        assert seen["image"]["seeing"] > seen["image"]["blind"]

    def test_embeddings_and_responses(self, seen: Seen) -> None:
        assert seen["embeddings"] == pytest.approx([1, 1], abs=1e-4)
        assert seen["responses"].startswith(seen["whole"]["text"])  # it asks for sixteen tokens at least

    def test_every_error_is_of_its_own_kind(self, seen: Seen) -> None:
        assert {cause: (error["kinds"][0], error["status"]) for cause, error in seen["errors"].items()} == {
            "400": ("BadRequestError", 400),
            "long": ("ContextWindowExceededError", 400),
            "401": ("AuthenticationError", 401),
            "403": ("APIError", 403),
            "404": ("NotFoundError", 404),
            "429": ("RateLimitError", 429),
            "502": ("BadGatewayError", 502),
            "503": ("ServiceUnavailableError", 503),
            "timeout": ("Timeout", 408),
        }

    def test_a_stream_that_breaks_off_raises_behind_what_it_said(self, seen: Seen) -> None:
        assert seen["broken_stream"]["text"]
        assert "broke off" in seen["broken_stream"]["error"]["text"]


class TestLangChain:
    @pytest.fixture(scope="class")
    @staticmethod
    def seen(place: Place) -> Seen:
        python = python_with(PROGRAMS / "usual.txt")
        return run_program([python, "langchain_client.py"], place.settings(), cwd=PROGRAMS)

    def test_an_answer_whole_streamed_and_awaited(self, seen: Seen) -> None:
        whole, streamed = seen["whole"], seen["streamed"]
        assert whole["text"] == streamed["text"] == seen["awaited"] != ""
        assert whole["tokens"] == streamed["tokens"] > 0
        assert streamed["chunks"] > 2

    def test_tools_are_called_whole_and_in_streams_and_their_results_understood(self, seen: Seen) -> None:
        saw = seen["tools"]
        assert saw["name"] == "paint"
        assert saw["args"] == saw["streamed"]
        assert saw["args"]["colour"] in COLOURS
        assert saw["after"]

    def test_objects_of_a_schema_by_both_methods(self, seen: Seen) -> None:
        assert [colour in COLOURS for colour in seen["schema"]] == [True, True]

    def test_an_image_reaches_the_model(self, seen: Seen) -> None:
        assert seen["image"]["seeing"] > seen["image"]["blind"]

    def test_embeddings(self, seen: Seen) -> None:
        assert seen["embeddings"] == pytest.approx([1, 1], abs=1e-4)

    def test_responses_whole_and_streamed(self, seen: Seen) -> None:
        assert seen["responses"]["whole"] == seen["responses"]["streamed"] == seen["whole"]["text"]

    def test_errors_are_openai_s_own(self, seen: Seen) -> None:
        for cause, error in seen["errors"].items():
            assert error["status"] == (400 if cause == "long" else int(cause))
        assert "ContextOverflowError" in seen["errors"]["long"]["kinds"]

    def test_a_stream_that_breaks_off_raises_behind_what_it_said(self, seen: Seen) -> None:
        assert seen["broken_stream"]["text"]
        assert "APIError" in seen["broken_stream"]["error"]["kinds"]
        assert "broke off" in seen["broken_stream"]["error"]["text"]


class TestLLM:
    @pytest.fixture(scope="class")
    @staticmethod
    def home(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("llm")
        known = [
            {"model_id": "peernode", "model_name": CHAT, "api_base": place.base, "supports_schema": True},
            {"model_id": "seeing", "model_name": SEEING, "api_base": place.base, "vision": True},
        ]
        (folder / "extra-openai-models.yaml").write_text(json.dumps(known))  # JSON is YAML
        return folder

    def ask(self, home: Path, *words: str) -> str:
        done = subprocess.run(
            [python_with(PROGRAMS / "usual.txt"), "-m", "llm", *words],
            env=clean_environment() | {"LLM_USER_PATH": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def test_an_answer_whole_and_streamed_and_its_log(self, home: Path) -> None:
        asked = ("-m", "peernode", "Name a colour.", "-o", "max_tokens", "8", "-o", "temperature", "0")
        streamed = self.ask(home, *asked)
        assert self.ask(home, *asked, "--no-stream") == streamed != ""
        (log,) = json.loads(self.ask(home, "logs", "--json", "-n", "1"))
        assert log["response"].strip() == streamed
        assert log["output_tokens"] > 0

    def test_a_schema_is_kept(self, home: Path) -> None:
        schema = {"type": "object", "properties": {"colour": {"enum": COLOURS}}, "required": ["colour"]}
        said = self.ask(
            home, "-m", "peernode", "Name a colour.", "-o", "max_tokens", "40", "--schema", json.dumps(schema)
        )
        assert json.loads(said)["colour"] in COLOURS

    def test_an_image_reaches_the_model(self, home: Path) -> None:
        picture = home / "red.png"
        picture.write_bytes(base64.b64decode(image_url("red").partition(",")[2]))
        asked = ("-m", "seeing", "What is this?", "-o", "max_tokens", "2")
        self.ask(home, *asked)
        self.ask(home, *asked, "-a", str(picture))
        blind, seeing = json.loads(self.ask(home, "logs", "--json", "-n", "2"))
        assert seeing["input_tokens"] > blind["input_tokens"]
