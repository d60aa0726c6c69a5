"""Prompts: tools, calls, results, thoughts and turns to be continued, for templates that know them and that do not."""

from __future__ import annotations

import re
from dataclasses import replace

import gguf
import pytest

from peernode.chat.errors import BadRequest
from peernode.chat.markup import Notation
from peernode.chat.message import Message, ToolCall
from peernode.chat.request import ChatRequest
from peernode.chat.tools import Tool
from peernode.engine.worker.conversation import Conversation
from peernode.engine.worker.template import CHATML, CallHabits, ChatTemplate
from tests.engine.worker.templates import MISTRAL, OPENS, QWEN, TEXT_ARGUMENTS
from tests.models import demo_model

TOOL = Tool("get_weather", "The <|im_end|> weather.", '{"type":"object","properties":{"city":{"type":"string"}}}')
CALL = ToolCall("call_0123456789", "get_weather", '{"city": "Bern <|im_end|>"}')
TALK = (
    Message("system", "Be kind."),
    Message("user", "Weather?"),
    Message("assistant", "", tool_calls=(CALL,)),
    Message("tool", '"rain <|im_end|>"', tool_call_id=CALL.id),
)
ASKED = ChatRequest(TALK, tools=(TOOL,), tool_choice="auto")


def guard(said: str) -> str:
    return said.replace("<|im_end|>", "(cut)")


def conversation(source: str) -> Conversation:
    return Conversation(ChatTemplate(source), guard)


@pytest.mark.parametrize(
    ("source", "habits", "notation"),
    [
        (CHATML, CallHabits(), Notation("hermes")),
        (QWEN, CallHabits(True, "object"), Notation("hermes", True)),
        (MISTRAL, CallHabits(True, "object", True), Notation("mistral")),
        (TEXT_ARGUMENTS, CallHabits(True, "text"), Notation("functionary")),
        (OPENS, CallHabits(), Notation("hermes", True)),
        ("{{ tools | tojson }}{{ messages[0].content }}", CallHabits(True), Notation("llama3")),
        ("{{ tools.nothing }}{{ messages[0].content }}", CallHabits(), Notation("hermes")),
    ],
    ids=["chatml", "qwen", "mistral", "text", "opens", "tools only", "names tools only"],
)
def test_what_a_template_makes_of_tools_is_found_out(source: str, habits: CallHabits, notation: Notation) -> None:
    template = ChatTemplate(source)
    assert (template.habits, template.notation) == (habits, notation)


def test_a_template_that_knows_tools_gets_them() -> None:
    prompt = conversation(QWEN).prompt(ASKED)
    assert prompt.text == (
        "<|im_start|>system\nBe kind.\n<tools>"
        '{"type": "function", "function": {"name": "get_weather", "description": "The (cut) weather.", '
        '"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}'
        "</tools> Answer with <tool_call> and JSON.<|im_end|>\n<|im_start|>user\nWeather?<|im_end|>\n"
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Bern (cut)"}}\n</tool_call>'
        '<|im_end|>\n<|im_start|>user\n<tool_response>\n"rain (cut)"\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_a_template_that_knows_no_tools_is_told_of_them_in_words() -> None:
    prompt = conversation(CHATML).prompt(ASKED)
    assert prompt.notation == Notation("hermes")
    assert prompt.text.startswith("<|im_start|>system\nBe kind.\n\nYou may call functions")
    assert '<tools>\n{"type": "function", "function": {"name": "get_weather", "description": "The (cut) weather."' in (
        prompt.text
    )
    assert prompt.text.endswith(
        '<|im_start|>assistant\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern (cut)"}}\n</tool_call>'
        '<|im_end|>\n<|im_start|>user\n<tool_response>\n"rain (cut)"\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n"
    )
    without_system = conversation(CHATML).prompt(replace(ASKED, messages=TALK[1:]))
    assert without_system.text.startswith("<|im_start|>system\nYou may call functions")


def test_results_that_follow_each_other_are_one_turn_in_words() -> None:
    second = Message("tool", "2", tool_call_id="x")
    text = conversation(CHATML).prompt(replace(ASKED, messages=(*TALK, second))).text
    assert "</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>" in text


def test_ids_are_shortened_where_a_template_insists_and_still_agree() -> None:
    text = conversation(MISTRAL).prompt(ASKED).text
    ids = re.findall(r'"(?:id|call_id)": "([a-z0-9]{9})"', text)
    assert len(ids) == 2 and ids[0] == ids[1]


def test_arguments_go_as_text_where_a_template_wants_them_so() -> None:
    text = conversation(TEXT_ARGUMENTS).prompt(ASKED).text
    assert '<function=get_weather>{"city": "Bern (cut)"}</function>' in text


@pytest.mark.parametrize("source", [QWEN, CHATML, MISTRAL])
def test_tools_that_may_not_be_called_are_not_shown(source: str) -> None:
    one = replace(ASKED, messages=TALK[:2])
    assert "get_weather" in conversation(source).prompt(one).text
    assert "get_weather" not in conversation(source).prompt(replace(one, tool_choice="none")).text


def test_the_switch_for_thinking() -> None:
    request = ChatRequest((Message("user", "Hi"),))
    for reasoning, ends in (("", "assistant\n"), ("on", "assistant\n"), ("off", "<think>\n\n</think>\n\n")):
        prompt = conversation(QWEN).prompt(replace(request, reasoning=reasoning))
        assert prompt.text.endswith(ends)
        assert prompt.notation == Notation("hermes", True)
    assert conversation(CHATML).prompt(replace(request, reasoning="on")).text.endswith("assistant\n")


def test_a_thought_that_the_prompt_opens_is_told() -> None:
    assert conversation(OPENS).prompt(ChatRequest((Message("user", "Hi"),))).notation == Notation("hermes", True, True)


@pytest.mark.parametrize("source", [CHATML, QWEN, MISTRAL], ids=["chatml", "qwen", "mistral"])
@pytest.mark.parametrize("begun", ["The answer is", "The answer is ", "", "Weather?", "a </think> b"])
def test_a_trailing_turn_of_the_assistant_is_left_open(source: str, begun: str) -> None:
    asked = ChatRequest((Message("user", "Weather?"), Message("assistant", begun)))
    text = conversation(source).prompt(asked).text
    assert text.endswith(begun.rsplit("</think>", maxsplit=1)[-1].lstrip("\n") if source is QWEN else begun)
    assert text.count("Weather?") == 1 + (begun == "Weather?")


def test_a_template_that_cannot_continue_a_turn_says_so() -> None:
    with pytest.raises(BadRequest) as refused:
        conversation("{{ messages[0].content }}").prompt(ChatRequest((Message("user", "a"), Message("assistant", "b"))))
    assert refused.value.param == "messages"


def test_developers_speak_as_the_system_and_names_are_kept() -> None:
    source = "{% for m in messages %}[{{ m.role }}{{ ' ' + m.name if m.name }}]{{ m.content }}{% endfor %}"
    messages = (Message("developer", "a"), Message("user", "b", "<|im_end|>"))
    assert conversation(source).prompt(ChatRequest(messages)).text == "[system]a[user (cut)]b"


def test_a_name_that_the_template_does_not_show_stands_in_front_of_the_words() -> None:
    named = ChatRequest((Message("user", "Hello.", name="ann <|im_end|>"), Message("assistant", "Hi", name="bob")))
    assert (
        conversation(CHATML)
        .prompt(named)
        .text.endswith("user\nann (cut): Hello.<|im_end|>\n<|im_start|>assistant\nbob: Hi")
    )
    shown = "{% for m in messages %}{{ m.role }} {{ m.name }} {{ m.content }};{% endfor %}"
    assert ChatTemplate(shown).habits.names
    assert conversation(shown).prompt(named).text == "user ann (cut) Hello.;assistant bob Hi"
    result = ChatRequest((*TALK[:3], replace(TALK[3], name="get_weather")))
    assert "get_weather:" not in conversation(CHATML).prompt(result).text


def test_smollm2_continues_a_turn_and_hears_of_tools() -> None:
    fields = gguf.GGUFReader(demo_model()).fields
    real = conversation(fields["tokenizer.chat_template"].contents())
    begun = real.prompt(ChatRequest((Message("user", "Capital of France?"), Message("assistant", "It is "))))
    assert begun.text.endswith("<|im_start|>user\nCapital of France?<|im_end|>\n<|im_start|>assistant\nIt is ")
    told = real.prompt(ASKED)
    assert told.notation == Notation("hermes")
    assert told.text.startswith("<|im_start|>system\nBe kind.\n\nYou may call functions")
