"""What would end or hold the worker ends a process of its own, in time, and the next grammar is tried all the same."""

from __future__ import annotations

import json
import threading
import time

import pytest
from llguidance import LLMatcher

from peernode.engine.worker.grammar.library import GrammarRefused
from peernode.engine.worker.grammar.rehearsal import Rehearsal, VocabularyFacts

FACTS = VocabularyFacts(300, {0: "<|endoftext|>", 2: "<|im_end|>", 4: "<think>"}, 2)


@pytest.fixture(scope="module")
def rehearsal():
    made = Rehearsal(FACTS)
    made.try_out(LLMatcher.grammar_from_regex("a"))
    yield made
    made.close()


def of_schema(schema) -> str:
    return LLMatcher.grammar_from_json_schema(json.dumps(schema))


def chain(links, wrap) -> str:
    """Definitions that each refer to the next."""
    definitions = {f"a{i}": wrap({"$ref": f"#/$defs/a{i + 1}"}) for i in range(links)}
    return of_schema({"$defs": {**definitions, f"a{links}": {"type": "string"}}, "$ref": "#/$defs/a0"})


HOSTILE = {
    "references through arrays": chain(5000, lambda link: {"type": "array", "items": link}),
    "references alone": chain(5000, lambda link: link),
    "references through allOf": chain(5000, lambda link: {"allOf": [link, {"type": "string"}]}),
    "rules": LLMatcher.grammar_from_lark(
        "start: r0\n" + "\n".join(f"r{i}: r{i + 1}" for i in range(5000)) + '\nr5000: "a"'
    ),
    "a long expression": LLMatcher.grammar_from_regex("a?" * 20000 + "a" * 20000),
    "an intersection": LLMatcher.grammar_from_lark(
        "start: T\nT: " + " & ".join(f"/(.|\\n)*a(.|\\n){{{i}}}/" for i in range(1, 40))
    ),
    "a large multiple": of_schema({"type": "integer", "multipleOf": 999983}),
    "many multiples": of_schema({"prefixItems": [{"type": "integer", "multipleOf": 9900 + i} for i in range(50)]}),
    "many properties": of_schema({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(5000)}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_is_refused_in_time(rehearsal, name):
    rehearsal.try_out(LLMatcher.grammar_from_regex("a"))  # what the one before left to do is not counted here
    began = time.perf_counter()
    with pytest.raises(GrammarRefused) as refused:
        rehearsal.try_out(HOSTILE[name])
    assert time.perf_counter() - began < 2  # half a second of work, on a busy machine
    assert "\n" not in str(refused.value)
    assert str(refused.value)


def test_the_library_says_why(rehearsal):
    with pytest.raises(GrammarRefused, match="Invalid type: strin"):
        rehearsal.try_out(of_schema({"type": "strin"}))


def test_special_tokens_have_their_names_and_ids(rehearsal):
    rehearsal.try_out(LLMatcher.grammar_from_lark('start: "é" <|im_end|> <[4]>'))
    with pytest.raises(GrammarRefused):
        rehearsal.try_out(LLMatcher.grammar_from_lark("start: <|unheard_of|>"))


def test_a_process_that_was_killed_is_replaced():
    rehearsal = Rehearsal(FACTS)
    try:
        rehearsal.try_out(LLMatcher.grammar_from_regex("a"))
        rehearsal._process.kill()
        rehearsal._process.wait()
        rehearsal.try_out(LLMatcher.grammar_from_regex("a"))
    finally:
        rehearsal.close()


def test_two_at_once_wait_for_each_other(rehearsal):
    refused = []

    def hostile():
        with pytest.raises(GrammarRefused) as err:
            rehearsal.try_out(HOSTILE["a large multiple"])
        refused.append(err)

    threads = [threading.Thread(target=hostile) for _ in range(2)]
    for thread in threads:
        thread.start()
    rehearsal.try_out(LLMatcher.grammar_from_regex("a"))
    for thread in threads:
        thread.join()
    assert len(refused) == 2
