"""Cases that schemathesis makes of the document, bent so far that most of them reach a model, and what came of them.

A document cannot know which models there are: names that no model has become names that one has, most of the time. Nor
can JSON Schema say what belongs together; the refusals for that are listed here, word by word, and no others forgiven.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from typing import Any

import schemathesis
from api_node import CHATS, EMBEDS, ApiNode
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

SHORT = 4
ROUNDS = 20
_ONCE = re.compile("[ -~]{1,255}")
# Of ``error.message``, where the status is 400 and the schema is kept to.
TOGETHER = (
    "max_tokens and max_completion_tokens differ.",
    "repetition_penalty and repeat_penalty differ.",
    "logit_bias names a token twice.",
    "logit_bias names a token that the model does not know.",
    "top_logprobs needs logprobs to be true.",
    "tool_choice names a function that is not among the tools.",
    "tool_choice allows a function that is not among the tools.",
    "tool_choice requires a call, and there are no tools.",
    "Two tools have one name.",
    "A required tool call leaves no room for response_format.",
    "reasoning_effort and enable_thinking contradict each other.",
    "The model reads only text.",
    "The response format cannot be served.",
    "session_id must be a UUID.",
    "A session has one answer to a question.",
    "The model makes no embeddings.",
    "The model makes embeddings and does not chat.",
    "Image URLs are not fetched",
    "input holds nothing to answer.",
    "function.arguments is not the JSON of an object.",
    "dimensions is more than the model has.",
    "An input holds tokens that the model does not know.",
    "Prompt and completion do not fit the context of any provider.",
    "There are more than 8 answers to give.",
    "The log-probabilities of a prompt are not known.",
    "A prompt of token ids cannot be echoed as text.",
    "A suffix goes only with a prompt of text.",
    "This model cannot fill in before a suffix.",
    "prompt holds a token id that the model does not know.",
    "best_of is less than n.",
    "The best answers are known only at the end.",
    "redirect leads to another machine.",
    "redirect must be the URL of the app to come back to.",
)
# Of ``error.metadata.reason``.
REASONS = ("context_length_exceeded",)
# A job may end with these; 503 of a probe says that it is not ready. Never 500.
EXPECTED = ["2xx", "3xx", "4xx", "502", "503", "504"]
REFUSED = ["400", "401", "403", "404", "405", "409", "413", "422", "429"]


class Cases:
    """``run`` once; then ``total`` cases came, with ``statuses`` by operation, and ``failures`` in words."""

    def __init__(self, node: ApiNode) -> None:
        self._node = node
        self.total = 0
        self.statuses: dict[str, Counter[int]] = {}
        self.failures: list[str] = []
        self._numbers = 0
        chat = {"model": CHATS, "messages": [{"role": "user", "content": "x"}], "max_tokens": SHORT}
        asked = node.ask("/v1/chat/completions", **chat)
        self._known = {
            "model_id": [CHATS, EMBEDS, "auto"],
            "request_id": [asked["request_id"], asked["id"]],
            "id": [asked["request_id"]],
            "peer": [node.peer_id, node.peer_id[-8:]],
        }

    def run(self, least: int, seed: int, *, corners: bool = True) -> None:
        """At least so many cases: every operation's examples, its ``corners`` (some thousands), and drawn ones."""
        first = ("examples", "coverage", "fuzzing") if corners else ("examples", "fuzzing")
        for number in range(ROUNDS):
            left = least - self.total
            if left <= 0 and number:
                return
            # The corners alone are more than most want.
            drawn = max(5, least // 200 if number == 0 and corners else left // 30)
            self._round(seed + number, drawn, first if number == 0 else ("fuzzing",))

    def _round(self, seed: int, examples: int, phases: tuple[str, ...]) -> None:
        schema = schemathesis.openapi.from_url(
            f"{self._node.url}/openapi.json",
            config=SchemathesisConfig.from_dict(
                {
                    "seed": seed,
                    "suppress-health-check": ["all"],  # a busy machine is no failure
                    "headers": {"Authorization": f"Bearer {self._node.key}"},
                    "continue-on-failure": True,
                    "request-timeout": 60,
                    "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
                    "phases": {
                        name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")
                    },
                    "checks": {
                        "not_a_server_error": {"expected-statuses": EXPECTED},
                        "negative_data_rejection": {"expected-statuses": REFUSED},
                    },
                }
            ),
        )

        @schema.hook
        def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
            return self._bend(case)

        schema.hook(filter_failure)
        for event in from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                self._take(event)
            elif isinstance(event, events.NonFatalError):
                self.failures.append(f"{event.label}\nschemathesis: {event.info.format()}")
            elif isinstance(event, events.FatalError):
                raise event.exception

    def _take(self, event: events.ScenarioFinished) -> None:
        recorder = event.recorder
        for case_id, interaction in recorder.interactions.items():
            label = recorder.cases[case_id].value.operation.label if case_id in recorder.cases else recorder.label
            status = interaction.response.status_code if interaction.response is not None else 0
            self.statuses.setdefault(label, Counter())[status] += 1
            self.total += 1
            for check in recorder.checks.get(case_id, ()):
                if check.failure_info is not None:
                    said = interaction.response.text[:600] if interaction.response is not None else ""
                    failed = check.failure_info
                    self.failures.append(
                        f"{label}\n{check.name}: {failed.failure.title}: {failed.failure.message}\n"
                        f"{failed.code_sample[:1500]}\n{status} {said}"
                    )

    def _bend(self, case: schemathesis.Case) -> schemathesis.Case:
        if isinstance(case.body, dict) and not case.operation.path.endswith("/auth"):
            case.body = self._body(case.operation.path, case.body)
        once = (case.headers or {}).get("Idempotency-Key")
        if isinstance(once, str) and _ONCE.fullmatch(once):  # the same one for another request is refused
            self._numbers += 1
            case.headers["Idempotency-Key"] = f"{self._numbers}"
        for values in (case.path_parameters, case.query):
            for name, value in list((values or {}).items()):
                known = self._known.get(name, ())
                lot = zlib.crc32(repr(value).encode())
                if known and isinstance(value, str) and value and lot % 4:
                    values[name] = known[lot % len(known)]
        return case

    def _body(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """With a model that is there, and short answers."""
        bent, lot = dict(body), zlib.crc32(repr(sorted(body.items(), key=str)).encode())
        there = EMBEDS if path.endswith("/embeddings") else CHATS
        if lot % 8:
            if isinstance(bent.get("model"), str) and 0 < len(bent["model"]) <= 256:
                bent["model"] = there
            if isinstance(bent.get("models"), list) and all(isinstance(name, str) and name for name in bent["models"]):
                bent["models"] = [there if len(name) <= 256 else name for name in bent["models"]]
        limits = ("max_output_tokens",) if path.endswith("/responses") else ("max_tokens", "max_completion_tokens")
        for name in limits:
            value = bent.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and SHORT < value <= 1 << 20:
                bent[name] = SHORT
        if not path.endswith(("/embeddings", "/tools")) and all(bent.get(name) is None for name in limits):
            bent[limits[0]] = SHORT
        return bent


def filter_failure(
    context: schemathesis.HookContext,
    failure: Exception,
    case: schemathesis.Case,
    response: schemathesis.Response,
) -> bool:
    """False for the refusal of valid data whose parts do not belong together."""
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 400:
        return True
    try:
        error = json.loads(response.content)["error"]
    except (ValueError, KeyError, TypeError):
        return True
    together = any(error["message"].startswith(words) for words in TOGETHER)
    return not (together or error["metadata"]["reason"] in REASONS)
