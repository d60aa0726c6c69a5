"""Reading answers: every notation, any chunks, and nothing lost when a call is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peernode.chat.markup import (
    CallArguments,
    CallStarted,
    Content,
    MarkupParser,
    Notation,
    Piece,
    Reasoning,
    call_id,
)

TOOLS = ("get_weather", "add")
ALL = Notation("llama3", thinks=True)
OPEN = Notation("llama3", thinks=True, opens=True)
Reading = tuple[str, str, list[tuple[str, str]]]


def pieces_of(
    chunks: list[str], notation: Notation = ALL, *, tools: tuple[str, ...] = TOOLS, most: int | None = None
) -> list[Piece]:
    parser = MarkupParser(notation, tools=tools, call_id=lambda index: f"id{index}", most_calls=most)
    pieces = [piece for chunk in chunks for piece in parser.push(chunk)] + parser.finish()
    assert parser.calls == sum(isinstance(piece, CallStarted) for piece in pieces)
    return pieces


def reading(pieces: list[Piece]) -> Reading:
    """(content, reasoning, [(name, arguments)]); checks the order of indices and ids on the way."""
    content = reasoning = ""
    calls: list[tuple[str, str]] = []
    for piece in pieces:
        match piece:
            case Content(text):
                content += text
            case Reasoning(text):
                reasoning += text
            case CallStarted(index, identity, name):
                assert (index, identity) == (len(calls), f"id{index}")
                calls.append((name, ""))
            case CallArguments(index, text):
                assert index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
    return content, reasoning, calls


def read(text: str, notation: Notation = ALL, **options: object) -> Reading:
    whole = reading(pieces_of([text], notation, **options))  # type: ignore[arg-type]
    assert reading(pieces_of(list(text), notation, **options)) == whole  # type: ignore[arg-type]
    return whole


CALL = '{"name": "get_weather", "arguments": {"city": "Ürk", "when": {"day": [1, 2]}}}'
LLAMA = '{"name": "get_weather", "parameters": {"city": "Ürk", "when": {"day": [1, 2]}}}'
ARGUMENTS = '{"city": "Ürk", "when": {"day": [1, 2]}}'
ADD = '{"name": "add", "arguments": {}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}</tool_call>",
        f"\n\n<tool_call>{CALL}",
        LLAMA,
        f"<|python_tag|>{LLAMA}",
        f" {LLAMA}",
        f"[TOOL_CALLS][{CALL}]",
        f"[TOOL_CALLS] [ {CALL} ] ",
        f"[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}",
        f"[TOOL_CALLS]get_weather[CALL_ID]abc123456[ARGS]{ARGUMENTS}",
        f"<function=get_weather>{ARGUMENTS}</function>",
        f'<tool_call>{{"arguments": {ARGUMENTS}, "name": "get_weather"}}</tool_call>',
        f'<tool_call>{{"type": "function", "name": "get_weather", "arguments": {ARGUMENTS}, "id": 7}}</tool_call>',
        f'<tool_call>{{"name": "get_weather", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>',
    ],
)
def test_every_notation_of_one_call(text: str) -> None:
    assert read(text) == ("", "", [("get_weather", ARGUMENTS)])


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{ADD}</tool_call>",
        f"<tool_call>{CALL}\n<tool_call>\n{ADD}\n</tool_call>",
        f"{LLAMA}; {ADD}",
        f"{LLAMA}\n{ADD}",
        f"[TOOL_CALLS][{CALL}, {ADD}]",
        f"[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}[TOOL_CALLS]add[ARGS]{{}}",
        f"<function=get_weather>{ARGUMENTS}</function>\n<function=add>{{}}</function>",
    ],
)
def test_parallel_calls_and_how_many_may_be_made(text: str) -> None:
    assert read(text) == ("", "", [("get_weather", ARGUMENTS), ("add", "{}")])
    content, _, calls = read(text, most=1)
    assert calls == [("get_weather", ARGUMENTS)]
    assert "add" in content


def test_words_thoughts_and_calls_are_told_apart() -> None:
    text = f"<think>\nHm. <b>\n</think>\n\nI look:\n<tool_call>{CALL}</tool_call>\nDone."
    assert read(text) == ("I look:Done.", "Hm. <b>", [("get_weather", ARGUMENTS)])


def test_a_thought_that_the_prompt_opened() -> None:
    assert read("so\n</think>\nyes ", OPEN) == ("yes ", "so", [])
    assert read("<think>so</think>yes", OPEN) == ("yes", "so", [])
    assert read("cut off ", OPEN) == ("", "cut off ", [])
    assert read("<thought>a</thought>b") == ("b", "a", [])
    assert read("<think>\n\n</think>\n\nb") == ("b", "", [])


@pytest.mark.parametrize(
    "text",
    [
        "plain, with a < b, [list] and {braces} ",
        "  leading and trailing  \n",
        "<tool_call>not json</tool_call>",
        "<tool_call>{'name': 'add'}</tool_call>",
        '<tool_call>{"name": "add", "why": 1}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "argum',
        '<tool_call>{"name": "has space", "arguments": {}}',
        "[TOOL_CALLS]",
        "[TOOL_CALLS] [1]",
        "[TOOL_CALLS]add{",
        "<function=>",
        "<function=add> no",
        '{"name": "unknown", "parameters": {}}',
        '{"answer": 42}',
        f"first words, then {LLAMA}",
        "word <think>no</think>",
        "</think>",
        "</tool_call>",
        "<tool_call",
        "<thin",
        '<tool_call>{"name": "' + "x" * 20_000,
    ],
)
def test_what_is_no_call_stays_as_it_was_written(text: str) -> None:
    assert read(text) == (text, "", [])


@pytest.mark.parametrize("text", [f"<tool_call>{CALL}</tool_call>", LLAMA, f"[TOOL_CALLS][{CALL}]"])
def test_calls_are_looked_for_only_when_there_are_tools(text: str) -> None:
    assert read(text, tools=()) == (text, "", [])
    assert read(text, Notation(), tools=()) == (text, "", [])


def test_bare_json_is_a_call_only_in_llamas_notation() -> None:
    assert read(LLAMA, Notation("hermes")) == (LLAMA, "", [])
    assert read("<think>a</think>b", Notation("hermes")) == ("<think>a</think>b", "", [])


def test_arguments_leave_as_they_come() -> None:
    parser = MarkupParser(ALL, tools=TOOLS, call_id=str)
    assert parser.push('<tool_call>\n{"name": "add"') == []
    assert parser.push(', "arguments": {"a"') == [CallStarted(0, "0", "add"), CallArguments(0, '{"a"')]
    assert parser.push(": 1") == [CallArguments(0, ": 1")]
    assert parser.push("}}\n</tool") == [CallArguments(0, "}")]
    assert parser.push("_call>") == parser.finish() == []


def test_words_leave_as_they_come() -> None:
    parser = MarkupParser(ALL, tools=TOOLS, call_id=str)
    assert parser.push("a < b") == [Content("a < b")]
    assert parser.push(" <") == []
    assert parser.push("tool") == []
    assert parser.push("box>") == [Content(" <toolbox>")]


def test_arguments_that_were_cut_off_are_told_as_far_as_they_came() -> None:
    assert read('<tool_call>{"name": "add", "arguments": {"a": "</tool_call>') == (
        "",
        "",
        [("add", '{"a": "</tool_call>')],
    )


def test_a_call_has_the_same_id_whenever_it_is_read() -> None:
    assert call_id("req_1", 0) == call_id("req_1", 0)
    assert len({call_id("req_1", 0), call_id("req_1", 1), call_id("req_2", 0)}) == 3


MARKS = [
    *("<tool_call>", "</tool_call>", "<think>", "</think>", "<thought>", "</thought>", "<|python_tag|>"),
    *("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<function=", "</function>", "add", "get_weather", ">", "<", "[", "]"),
    *("{", "}", '"', "\\", ",", ":", ";", " ", "\n", "words", "null", "1", '"name":', '"arguments":', '"parameters":'),
    *(CALL, LLAMA, ADD, ARGUMENTS, '{"name": "add", "arguments": '),
]
texts = st.lists(st.sampled_from(MARKS), max_size=12).map("".join)
notations = st.builds(Notation, st.sampled_from(["", "hermes", "llama3"]), st.booleans()) | st.just(OPEN)


@given(texts, notations, st.lists(st.integers(1, 9), max_size=40), st.sampled_from([None, 1]))
@example("<think><think>", OPEN, [], None)
@example(f"[TOOL_CALLS][{ADD},{ADD}", ALL, [], None)
def test_any_chunks_read_alike(text: str, notation: Notation, sizes: list[int], most: int | None) -> None:
    chunks, rest = [], text
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    whole = reading(pieces_of([text], notation, most=most))
    assert reading(pieces_of([*chunks, rest], notation, most=most)) == whole
    assert reading(pieces_of(list(text), notation, most=most)) == whole


@given(texts)
def test_nothing_is_doubled_and_no_word_is_lost(text: str) -> None:
    """Whatever comes out stood in the text, in its order; and without calls and thoughts all of it comes out."""
    content, reasoning, calls = read(text)
    assert text.count("words") == sum(
        part.count("words") for part in (content, reasoning, *(args for _, args in calls))
    )
    if not calls and not any(mark in text for mark in ("<think>", "<thought>")):
        assert content == text


@given(st.text(alphabet="<>/[]{}think_olcaTOLCALS \n", max_size=40))
def test_noise_is_content(text: str) -> None:
    assert read(text, Notation("llama3")) == (text, "", [])


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers() | st.lists(st.booleans()), max_size=4))
def test_arguments_of_any_kind_come_through(arguments: dict[str, object]) -> None:
    for text in (json.dumps(arguments), json.dumps(arguments, ensure_ascii=False)):
        answer = f'<tool_call>\n{{"name": "add", "arguments": {text}}}\n</tool_call>'
        assert read(answer) == ("", "", [("add", text)])
