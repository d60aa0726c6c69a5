"""langchain-openai, as applications use it. Prints what each check saw; see checks.py."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal

import pydantic
from checks import check, raised
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

SETTINGS = json.loads(sys.argv[1])
MODELS, KEYS = SETTINGS["models"], SETTINGS["keys"]
USUAL: dict[str, Any] = {"base_url": SETTINGS["base"], "api_key": KEYS["good"], "max_retries": 0}
ASKED = "Name a colour."


def chat(**more: Any) -> ChatOpenAI:
    return ChatOpenAI(**{**USUAL, "model": MODELS["chat"], "temperature": 0, "max_tokens": 8, **more})


class Colour(pydantic.BaseModel):
    """A colour."""

    model_config = pydantic.ConfigDict(extra="forbid")

    colour: Literal["red", "green", "blue"]


@tool
def paint(colour: Literal["red", "green", "blue"]) -> str:
    """Paint the wall."""
    return f"It is {colour} now."


@check
def whole() -> Any:
    message = chat().invoke(ASKED)
    return {"text": message.text, "tokens": message.usage_metadata["output_tokens"]}


@check
def streamed() -> Any:
    chunks = list(chat(stream_usage=True).stream(ASKED))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {"text": whole.text, "tokens": whole.usage_metadata["output_tokens"], "chunks": len(chunks)}


@check
async def awaited() -> Any:
    return "".join([chunk.text async for chunk in chat().astream(ASKED)])


@check
def tools() -> Any:
    model = chat(max_tokens=60)
    able = model.bind_tools([paint], tool_choice="required", parallel_tool_calls=False)
    message = able.invoke(ASKED)
    (call,) = message.tool_calls
    streamed = AIMessageChunk("")
    for chunk in able.stream(ASKED):
        streamed += chunk
    (same,) = streamed.tool_calls
    told = ToolMessage(paint.invoke(call["args"]), tool_call_id=call["id"])
    after = model.bind_tools([paint], tool_choice="none").invoke([HumanMessage(ASKED), message, told])
    return {"name": call["name"], "args": call["args"], "streamed": same["args"], "after": after.text}


@check
def schema() -> Any:
    model = chat(max_tokens=40)
    methods = ("json_schema", "function_calling")
    return [model.with_structured_output(Colour, method=method).invoke(ASKED).colour for method in methods]


@check
def image() -> Any:
    def look(*urls: str) -> int:
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        words = [*parts, {"type": "text", "text": "What is this?"}]
        message = chat(model=MODELS["seeing"], max_tokens=2).invoke([HumanMessage(words)])
        return int(message.usage_metadata["input_tokens"])

    return {"blind": look(), "seeing": look(SETTINGS["images"]["red"])}


@check
def embeddings() -> Any:
    made = OpenAIEmbeddings(**USUAL, model=MODELS["embedder"], check_embedding_ctx_length=False)
    return [sum(value * value for value in each) for each in made.embed_documents(["the cat", "a dog"])]


@check
def responses() -> Any:
    model = chat(use_responses_api=True)
    streamed = "".join(chunk.text for chunk in model.stream(ASKED))
    return {"whole": model.invoke(ASKED).text, "streamed": streamed}


@check
def errors() -> Any:
    return {
        "400": raised(lambda: chat(temperature=3).invoke(ASKED)),
        "long": raised(lambda: chat().invoke("long " * 4000)),
        "401": raised(lambda: chat(api_key=KEYS["unknown"]).invoke(ASKED)),
        "404": raised(lambda: chat(model="nobody/has-this").invoke(ASKED)),
        "429": raised(lambda: [chat(api_key=KEYS["slow"], max_tokens=1).invoke(ASKED) for _ in range(3)]),
    }


@check
def broken_stream() -> Any:
    said: list[str] = []
    frail = chat(model=MODELS["frail"], max_tokens=60)

    def read() -> None:
        said.extend(chunk.text for chunk in frail.stream("fail midway: write a long story."))

    error = raised(read)
    chat(model=MODELS["frail"], max_tokens=1).invoke(ASKED)
    return {"text": "".join(said), "error": error}
