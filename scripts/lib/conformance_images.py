"""Rows 19 and 20: images, in both forms that there are, for the one model that sees."""

from __future__ import annotations

import base64
import io
from typing import Any

from conformance_asking import SEES, Asker, Rows
from PIL import Image

ROWS = Rows()
WORDS = "What is this?"
SIDE = 32


def picture(colour: str) -> str:
    """A PNG of one colour, in base64."""
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), colour).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def as_part(colour: str) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture(colour)}"}}
    return [{"role": "user", "content": [image, {"type": "text", "text": WORDS}]}]


def as_list(colour: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": WORDS, "images": [picture(colour)]}]


def seen(it: Asker, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer with its log-probabilities: they tell apart what the words may not."""
    return it.chat(model=SEES, messages=messages, logprobs=True, max_tokens=8)


def looks(it: Asker, form: Any) -> str:
    """Images take their part of the prompt, and another one is another answer; who does not see is not asked."""
    red, again, blue = (seen(it, form(colour)) for colour in ("red", "red", "blue"))
    blind = seen(it, [{"role": "user", "content": WORDS}])
    assert again["choices"][0]["logprobs"] == red["choices"][0]["logprobs"]
    assert blue["choices"][0]["logprobs"] != red["choices"][0]["logprobs"]
    more = red["usage"]["prompt_tokens"] - blind["usage"]["prompt_tokens"]
    assert more >= 16
    assert it.chat(model="auto", messages=form("red"))["model"] == SEES
    assert it.refused(400, messages=form("red"))["metadata"]["filter"] == "features"
    return f"{more} tokens an image"


@ROWS.row(19, "content parts text and image_url", "two images, two answers; a model that does not see is refused")
def _(it: Asker) -> str:
    return looks(it, as_part)


@ROWS.row(20, "messages[].images, base64", "two images, two answers; also at /api/chat")
def _(it: Asker) -> str:
    more = looks(it, as_list)
    said = [it.send("/api/chat", it.body(model=SEES, messages=as_list(colour))).json() for colour in ("red", "red")]
    assert said[0]["message"] == said[1]["message"]
    assert said[0]["message"]["content"] == seen(it, as_list("red"))["choices"][0]["message"]["content"]
    return more
