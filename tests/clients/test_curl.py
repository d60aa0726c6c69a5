"""``curl -N`` as people type it: what is streamed comes as it is made, and ends with ``[DONE]``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.clients.conftest import CHAT, FRAIL, Place

pytestmark = pytest.mark.real
READ_BYTES = 65536


@pytest.fixture
def curl() -> str:
    """Its path; scripts/test installs it."""
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed")
    return found


def reads(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Each of its writes that reaches us, until it closes its output."""
    assert process.stdout is not None
    while piece := os.read(process.stdout.fileno(), READ_BYTES):
        yield piece.decode()


def contents(said: str) -> list[str]:
    """The pieces of text in the events that are complete."""
    events = [event.removeprefix("data: ") for event in said.split("\n\n")[:-1] if event.startswith("data: {")]
    pieces = [choice["delta"].get("content") for event in events for choice in json.loads(event)["choices"]]
    return [piece for piece in pieces if piece]


def body(**more: object) -> str:
    return json.dumps({"model": CHAT, "messages": [{"role": "user", "content": "Name a colour."}], **more})


def test_events_come_as_they_are_made(curl: str, place: Place) -> None:
    asked = [{"role": "user", "content": "pause until curl: write a long story."}]
    data = body(model=FRAIL, messages=asked, max_tokens=16, temperature=0, stream=True)
    process = subprocess.Popen(
        [curl, "-sSN", f"{place.base}/chat/completions", "-H", "Content-Type: application/json", "-d", data],
        stdout=subprocess.PIPE,
    )
    said, early = "", ""
    for piece in reads(process):
        said += piece
        if not early and contents(said):
            early = said
            place.open("curl")  # only now the provider goes on
    assert process.wait(30) == 0
    assert 0 < len(contents(early)) < len(contents(said))
    assert said.endswith("data: [DONE]\n\n")


def test_a_plain_call_prints_one_object(curl: str, place: Place) -> None:
    done = subprocess.run(
        [curl, "-sS", "--fail-with-body", f"{place.base}/chat/completions", "--json", body(max_tokens=4)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_form_encoding_is_read_as_json(curl: str, place: Place) -> None:
    """``curl -d`` without a Content-Type calls its data a form."""
    done = subprocess.run(
        [curl, "-sS", f"{place.base}/chat/completions", "-d", body(max_tokens=1)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout)["object"] == "chat.completion"
