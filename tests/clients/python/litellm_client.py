"""litellm, as applications use it. Prints what each check saw; see checks.py."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal

import litellm
import pydantic
from checks import check, raised

SETTINGS = json.loads(sys.argv[1])
MODELS, KEYS = SETTINGS["models"], SETTINGS["keys"]
USUAL: dict[str, Any] = {"api_base": SETTINGS["base"], "api_key": KEYS["good"], "num_retries": 0, "timeout": 120}
USER = [{"role": "user", "content": "Name a colour."}]
SHORT: dict[str, Any] = {
    **USUAL,
    "model": f"openai/{MODELS['chat']}",
    "messages": USER,
    "max_tokens": 8,
    "temperature": 0,
}
FRAIL = f"openai/{MODELS['frail']}"


class Colour(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    colour: Literal["red", "green", "blue"]


TOOL = {"type": "function", "function": {"name": "paint", "parameters": Colour.model_json_schema()}}


def well() -> None:
    litellm.completion(**{**SHORT, "model": FRAIL, "max_tokens": 1})


@check
def whole() -> Any:
    answer = litellm.completion(**SHORT)
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.completion_tokens}


@check
def streamed() -> Any:
    chunks = list(litellm.completion(**SHORT, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return {"text": text, "tokens": chunks[-1].usage.completion_tokens}


@check
async def awaited() -> Any:
    stream = await litellm.acompletion(**SHORT, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


@check
def tools() -> Any:
    asked = {**SHORT, "max_tokens": 60, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    choice = litellm.completion(**asked).choices[0]
    (call,) = choice.message.tool_calls
    rebuilt = litellm.stream_chunk_builder(list(litellm.completion(**asked, stream=True)))
    (same,) = rebuilt.choices[0].message.tool_calls
    return {
        "reason": choice.finish_reason,
        "name": call.function.name,
        "arguments": call.function.arguments,
        "streamed": same.function.arguments,
    }


@check
def schema() -> Any:
    answer = litellm.completion(**{**SHORT, "max_tokens": 40}, response_format=Colour)
    return Colour.model_validate_json(answer.choices[0].message.content).colour


@check
def image() -> Any:
    def look(*urls: str) -> int:
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
        asked = {**SHORT, "model": f"openai/{MODELS['seeing']}", "messages": messages, "max_tokens": 2}
        return int(litellm.completion(**asked).usage.prompt_tokens)

    return {"blind": look(), "seeing": look(SETTINGS["images"]["red"])}


@check
def embeddings() -> Any:
    answer = litellm.embedding(**USUAL, model=f"openai/{MODELS['embedder']}", input=["the cat", "a dog"])
    return [sum(value * value for value in each["embedding"]) for each in answer.data]


@check
def responses() -> Any:
    asked = {**USUAL, "model": SHORT["model"], "input": "Name a colour.", "max_output_tokens": 8, "temperature": 0}
    asked.pop("num_retries")
    answer = litellm.responses(**asked)
    return "".join(part.text for item in answer.output if item.type == "message" for part in item.content)


@check
def errors() -> Any:
    def ask(**more: Any) -> Any:
        return litellm.completion(**{**SHORT, "max_tokens": 1, **more})

    def frail(words: str) -> dict[str, Any]:
        return {"model": FRAIL, "messages": [{"role": "user", "content": words}]}

    seen = {
        "400": raised(lambda: ask(temperature=3)),
        "long": raised(lambda: ask(messages=[{"role": "user", "content": "long " * 4000}])),
        "401": raised(lambda: ask(api_key=KEYS["unknown"])),
        "403": raised(lambda: ask(api_key=KEYS["narrow"])),
        "404": raised(lambda: ask(model="openai/nobody/has-this")),
        "429": raised(lambda: [ask(api_key=KEYS["slow"]) for _ in range(3)]),
        "502": raised(lambda: ask(**frail("fail at once"))),
        "503": raised(lambda: ask(extra_body={"provider": {"max_price": {"completion": 0.0001}}})),
        "timeout": raised(lambda: ask(**frail("say nothing"), timeout=0.5)),
    }
    well()
    return seen


@check
def broken_stream() -> Any:
    said: list[str] = []
    words = [{"role": "user", "content": "fail midway: write a long story."}]

    def read() -> None:
        asked = {**SHORT, "model": FRAIL, "messages": words, "max_tokens": 60}
        said.extend(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**asked, stream=True))

    error = raised(read)
    well()
    return {"text": "".join(said), "error": error}
