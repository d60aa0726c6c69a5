"""An answer in one piece: its shape, its headers, and the status of everything that can go wrong."""

from __future__ import annotations

import json

import pytest
import structlog

from peernode.chat import errors
from peernode.chat.events import Failed, Finished, Started, Tokens, Usage
from peernode.edge.boundary import defect
from peernode.edge.services import Readiness


async def test_answer_has_the_openai_shape_and_names_its_receipt(edge):
    answer = await edge.chat()
    body = answer.json()
    assert answer.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["created"] == 1234
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (10, 2, 12)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 4}
    request_id = body["request_id"]
    assert body["id"] == "chatcmpl-" + request_id.removeprefix("req_")
    assert answer.headers["x-request-id"] == request_id
    assert answer.headers["x-peernode-receipt"] == body["receipt"]["digest"]
    assert body["receipt"]["url"] == f"/v1/receipts/{request_id}"
    assert body["provider"].startswith("12D3Koo")
    assert answer.headers["credits"] == "0.000002"


async def test_the_job_carries_what_the_client_asked(edge):
    await edge.chat(temperature=0.5, top_p=0.25, max_tokens=9, stop="END", seed=-1)
    (job,) = edge.runner.jobs
    assert job.model == "org/tiny"
    assert (job.request.sampling.temperature_micro, job.request.sampling.top_p_micro) == (500_000, 250_000)
    assert (job.request.max_tokens, job.request.stop) == (9, ("END",))
    assert job.seed == (1 << 63) - 1
    assert (job.first_token_s, job.total_s) == (60.0, 600.0)


async def test_a_client_without_a_seed_gets_ours(edge):
    await edge.chat()
    assert edge.runner.jobs[0].seed == 42


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.BadRequest("No.", param="stop"), 400, "invalid_request_error"),
        (errors.ContextTooLong("Too long.", param="messages"), 400, "invalid_request_error"),
        (errors.UnknownModel("Nobody has it."), 404, "not_found_error"),
        (errors.NoProvider("Nobody can."), 503, "overloaded_error"),
        (errors.ProviderBusy("Busy."), 503, "overloaded_error"),
        (errors.ProviderFailed("It failed."), 502, "provider_error"),
        (errors.EngineCrashed("It crashed."), 502, "provider_error"),
        (errors.FirstTokenTimeout("Too slow."), 504, "timeout_error"),
        (errors.DeadlineExceeded("Too long."), 504, "timeout_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_token_has_its_status(edge, error, status, kind, stream):
    edge.runner.steps = [Failed(error)]
    answer = await edge.chat(stream=stream)
    assert answer.status_code == status
    body = answer.json()
    assert body["error"]["code"] == status
    assert body["error"]["type"] == kind
    assert body["error"]["message"] == error.sentence
    assert body["error"]["metadata"]["reason"] == error.code
    assert body["error"]["param"] == getattr(error, "param", None)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_an_answer_in_one_piece_that_fails_late_still_has_its_status(edge):
    edge.runner.play("Hel", end=[Failed(errors.ProviderFailed("It failed."))])
    assert (await edge.chat()).status_code == 502


@pytest.mark.parametrize("stream", [False, True])
async def test_a_defect_of_the_runner_is_a_500_that_tells_nothing(edge, stream):
    edge.runner.steps = [RuntimeError("secret words")]
    answer = await edge.chat(stream=stream)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["metadata"]["reason"] == "internal"


async def test_a_stream_without_an_end_is_a_defect_not_an_answer(edge):
    edge.runner.play("Hel", end=[])
    assert (await edge.chat()).status_code == 500


async def test_a_refused_receipt_does_not_spoil_the_answer(edge):
    edge.runner.play("Hi", end=[Finished("stop", Usage(3, 1)), Failed(errors.ReceiptRefused("Wrong digest."))])
    answer = await edge.chat()
    body = answer.json()
    assert answer.status_code == 200
    assert body["choices"][0]["message"]["content"] == "Hi"
    assert body["receipt"]["error"]["code"] == "receipt_refused"
    assert body["receipt"]["error"]["message"] == "Wrong digest."
    assert "x-peernode-receipt" not in answer.headers
    assert answer.headers["credits"] == "0"


async def test_an_answer_of_two_parts_costs_both(edge, record, receipted):
    def last_part(job):
        edge.shelf.held[job.request_id] = [record(job.request_id, part=0, credits=3)]
        return receipted(job.request_id, part=1, credits=5)

    edge.runner.play("Hi", end=[Finished("stop", Usage(3, 1)), last_part])
    assert (await edge.chat()).headers["credits"] == "0.000008"


async def test_text_of_every_kind_comes_through_unharmed(edge):
    text = 'quote " back \\ line \n sep \u2028 emoji 🦙 nul \0 é'
    edge.runner.play(text)
    assert (await edge.chat()).json()["choices"][0]["message"]["content"] == text


async def test_models_are_listed_and_found_by_a_name_with_a_slash(edge):
    listed = (await edge.client.get("/v1/models")).json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert model["id"] == "org/tiny"
    assert model["pricing"]["completion"] == "0.0000004"
    assert model["context_length"] == 2048
    assert model["digests"] == ["01" * 32]
    assert (await edge.client.get("/v1/models/org/tiny")).json() == model
    missing = await edge.client.get("/v1/models/org/none")
    assert missing.status_code == 404
    assert missing.json()["error"]["metadata"]["reason"] == "unknown_model"


async def test_health_and_readiness(edge):
    assert (await edge.client.get("/healthz")).status_code == 200
    assert (await edge.client.get("/readyz")).status_code == 200
    edge.shelf.readiness = Readiness(False, ("no model is loaded",))
    waiting = await edge.client.get("/readyz")
    assert waiting.status_code == 503
    assert waiting.json()["reasons"] == ["no model is loaded"]


async def test_unknown_paths_and_methods_have_our_error_body(edge):
    nowhere = await edge.client.get("/nowhere")
    assert nowhere.status_code == 404
    assert nowhere.json()["error"]["metadata"]["reason"] == "no_such_route"
    wrong = await edge.client.get("/v1/chat/completions")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert json.loads(wrong.text)["error"]["code"] == 405


async def test_the_started_model_is_what_the_answer_names(edge):
    edge.runner.steps[0] = Started("12D3KooWx", "org/tiny-2")
    edge.runner.steps[1] = Tokens("x", (1,))
    assert (await edge.chat()).json()["model"] == "org/tiny-2"


def test_a_group_of_errors_is_logged_by_what_is_in_it_without_their_messages():
    try:
        try:
            raise KeyError("a prompt")
        except KeyError as err:
            raise ExceptionGroup("tasks", [err, ExceptionGroup("more", [ValueError("another prompt")])]) from None
    except ExceptionGroup as group:
        with structlog.testing.capture_logs() as entries:
            told = defect(group)
    assert [entry["error"] for entry in entries] == ["KeyError", "ValueError"]
    assert "test_answers.py" in entries[0]["trace"]
    assert "prompt" not in str(told)
