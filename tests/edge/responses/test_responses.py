"""The responses API with the stock openai package, and the events of its streams as they stand on the wire."""

from __future__ import annotations

import json

import openai
import pydantic
import pytest
import trio

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage
from peernode.chat.output_format import OutputFormat
from peernode.wire.logprobs import Logprobs, TokenLogprob
from tests.edge.asked import PNG, PNG_BYTES
from tests.edge.conftest import PROVIDER, RECEIPT

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
CALLING = [
    "<think>\nIt asks.\n</think>\n\nWait. ", '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
    '\n<tool_call>{"name": "f", "arguments": {}}</tool_call>',
]  # fmt: skip


class City(pydantic.BaseModel):
    name: str


def play(edge, *texts, reason="stop"):
    edge.runner.play(*texts, end=[Finished(reason, Usage(10, len(texts), 4)), RECEIPT])
    edge.runner.steps[0] = Started(PROVIDER.peer_id, "org/tiny", "hermes+think")


async def ask(edge, **changes):
    return await edge.client.post("/v1/responses", json={"model": "org/tiny", "input": "hi", **changes})


def events_of(answer):
    """(name, data) of each event; both names agree, and the numbers count from zero."""
    found = []
    for number, event in enumerate(filter(None, answer.text.split("\n\n"))):
        name, data = event.split("\n")
        body = json.loads(data.removeprefix("data: "))
        assert (body["type"], body["sequence_number"]) == (name.removeprefix("event: "), number)
        found.append(body)
    return found


async def with_client(edge, use):
    def run():
        with openai.OpenAI(base_url=f"{edge.base}/v1", api_key="none", max_retries=0) as client:
            return use(client.responses)

    return await trio.to_thread.run_sync(run)


async def test_a_whole_response(edge):
    response = await with_client(edge, lambda it: it.create(model="org/tiny", input="hi", instructions="Be brief."))
    assert (response.output_text, response.status, response.object) == ("Hello", "completed", "response")
    assert response.id == f"resp_{response.request_id.removeprefix('req_')}"
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (10, 2, 12)
    assert response.usage.input_tokens_details.cached_tokens == 4
    assert (response.instructions, response.store) == ("Be brief.", False)
    assert response.receipt["id"] == response.request_id
    (job,) = edge.runner.jobs
    assert [(each.role, each.content) for each in job.request.messages] == [("system", "Be brief."), ("user", "hi")]
    assert not job.streamed


async def test_the_events_of_a_stream(edge):
    events = events_of(await ask(edge, stream=True))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    first, last = events[0]["response"], events[-1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    assert last["output"] == [events[-2]["item"]]
    assert (last["status"], last["usage"]["output_tokens"]) == ("completed", 2)
    assert last["receipt"]["id"] == last["request_id"]
    assert {event["item_id"] for event in events if "item_id" in event} == {last["output"][0]["id"]}
    assert first["id"] == last["id"]


async def test_thoughts_words_and_calls_follow_one_another(edge):
    play(edge, *CALLING)
    body = (await ask(edge, tools=[TOOL])).json()
    kinds = [item["type"] for item in body["output"]]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    thought, said, call, other = body["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "It asks."}]
    assert said["content"][0]["text"].strip() == "Wait."
    assert (call["name"], json.loads(call["arguments"])) == ("f", {"a": 1})
    assert call["call_id"] != other["call_id"]
    events = events_of(await ask(edge, tools=[TOOL], stream=True))
    told = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [{**item, "id": "", "call_id": ""} for item in told] == [
        {**item, "id": "", "call_id": ""} for item in body["output"]
    ]
    assert [event["output_index"] for event in events if event["type"].endswith("item.added")] == [0, 1, 2, 3]


async def test_the_packages_own_stream_gathers_the_same(edge):
    play(edge, *CALLING)

    def use(responses):
        with responses.stream(model="org/tiny", input="hi", tools=[TOOL]) as stream:
            for _ in stream:
                pass
            return stream.get_final_response()

    final = await with_client(edge, use)
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert final.output[2].arguments == '{"a": 1}'


async def test_a_schema_is_parsed(edge):
    edge.runner.play('{"name": ', '"Bern"}')
    response = await with_client(edge, lambda it: it.parse(model="org/tiny", input="hi", text_format=City))
    assert response.output_parsed == City(name="Bern")
    assert edge.runner.jobs[0].request.format.kind == "json_schema"


async def test_a_conversation_with_calls_and_their_outputs(edge):
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PNG, "detail": "auto"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Wait.", "annotations": []}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "one"},
        {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "two"}]},
    ]  # fmt: skip
    assert (await ask(edge, input=items, tools=[TOOL], tool_choice="auto")).status_code == 200
    messages = edge.runner.jobs[0].request.messages
    assert [(each.role, each.content) for each in messages] == [
        ("developer", "Be brief."), ("user", "look"), ("assistant", "Wait."), ("tool", "one"), ("tool", "two")
    ]  # fmt: skip
    assert messages[1].images[0].data == PNG_BYTES
    assert [call.id for call in messages[2].tool_calls] == ["1", "2"]
    assert [each.tool_call_id for each in messages[3:]] == ["1", "2"]


async def test_parameters_under_their_names_here(edge):
    answer = await ask(
        edge,
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low"},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        tools=[TOOL],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        metadata={"a": "b"},
        truncation="auto",
        service_tier="flex",
    )
    assert answer.json()["error"]["param"] == "text.format"  # a required call leaves no room for it
    answer = await ask(
        edge, max_output_tokens=7, temperature=0.5, reasoning={"effort": "low"}, truncation="auto", tools=[TOOL],
        tool_choice={"type": "function", "name": "f"}, metadata={"a": "b"}, service_tier="flex",
    )  # fmt: skip
    body, (job,) = answer.json(), edge.runner.jobs
    assert (job.request.max_tokens, job.request.reasoning, job.request.tool_choice) == (7, "on", "function:f")
    assert (job.request.background, job.may_be_shortened) == (True, True)
    assert (body["metadata"], body["max_output_tokens"], body["reasoning"]["effort"]) == ({"a": "b"}, 7, "low")
    await ask(edge, text={"format": {"type": "json_object"}}, truncation="disabled")
    assert edge.runner.jobs[1].request.format == OutputFormat("json_object")
    assert not edge.runner.jobs[1].may_be_shortened
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    await ask(edge, tools=[{**TOOL, "name": "g"}, TOOL], tool_choice=allowed)
    assert [tool.name for tool in edge.runner.jobs[2].request.tools] == ["f"]


async def test_an_answer_that_was_too_long_is_incomplete(edge):
    play(edge, "Hel", reason="length")
    body = (await ask(edge)).json()
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert body["output"][0]["status"] == "incomplete"
    last = events_of(await ask(edge, stream=True))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")


async def test_an_empty_answer_is_an_empty_message(edge):
    edge.runner.play(end=[Finished("stop", Usage(10, 0)), RECEIPT])
    (item,) = (await ask(edge)).json()["output"]
    assert item["content"][0]["text"] == ""
    assert events_of(await ask(edge, stream=True))[-1]["type"] == "response.completed"


async def test_log_probabilities(edge):
    one = Logprobs(TokenLogprob(1, -500_000, b"Hel"), (TokenLogprob(2, -600_000, b"x"),))
    tokens = [Tokens("", (1,), (one,)), Tokens("Hel", (2,), (one,))]
    edge.runner.steps = [Started(PROVIDER.peer_id, "org/tiny"), *tokens, Finished("stop", Usage(10, 2)), RECEIPT]
    body = (await ask(edge, include=["message.output_text.logprobs"], top_logprobs=1)).json()
    entries = body["output"][0]["content"][0]["logprobs"]
    assert [entry["token"] for entry in entries] == ["Hel", "Hel"]
    assert entries[0]["top_logprobs"][0]["logprob"] == -0.6
    assert edge.runner.jobs[0].request.top_logprobs == 1
    assert (await ask(edge, include=[])).status_code == 200


async def test_a_failure_before_the_first_event_has_its_status(edge):
    edge.runner.steps = [Failed(errors.NoProvider("Nobody has it."))]
    answer = await ask(edge, stream=True)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Nobody has it.")


async def test_a_failure_in_the_middle_is_the_last_event(edge):
    edge.runner.play("Hel", end=[Failed(errors.ProviderFailed("It failed."))])
    *_, done, failed = events_of(await ask(edge, stream=True))
    assert (done["type"], done["item"]["status"]) == ("response.output_item.done", "incomplete")
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    error = failed["response"]["error"]
    assert (error["code"], error["status"], error["message"]) == ("server_error", 502, "It failed.")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "c"}}, "conversation"),
        ({"background": True}, "background"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": "f"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": []}, "text"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"truncation": "some"}, "truncation"),
        ({"truncation": []}, "truncation"),
        ({"instructions": 3}, "instructions"),
        ({"include": "all"}, "include"),
        ({"metadata": []}, "metadata"),
        ({"model": None}, "model"),
        ({"temperature": 3}, "temperature"),
    ],
)
async def test_what_is_wrong_is_named(edge, changes, param):
    answer = await ask(edge, **changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert edge.runner.jobs == []
