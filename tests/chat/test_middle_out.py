"""What is left out of a conversation that is too long, and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.message import Image, Message, ToolCall
from peernode.chat.middle_out import GAP, middle_out, size_of
from peernode.chat.request import ChatRequest


def said(role, content, **more):
    return Message(role, content, **more)


def words(request):
    return [message.content[:4] for message in request.messages]


def exchange(number, length=400):
    return [said("user", f"q{number}  " + "x" * length), said("assistant", f"a{number}  " + "y" * length)]


LONG = ChatRequest(
    (said("system", "sys"), *exchange(1), *exchange(2), *exchange(3), *exchange(4), said("user", "last"))
)


def test_whole_exchanges_of_the_middle_go_first():
    assert words(middle_out(LONG, 0.8)) == ["sys", "q1  ", "a1  ", "q2  ", "a2  ", "q4  ", "a4  ", "last"]
    assert words(middle_out(LONG, 0.55)) == ["sys", "q1  ", "a1  ", "q4  ", "a4  ", "last"]


def test_then_answers_and_at_last_the_middles_of_texts():
    assert words(middle_out(LONG, 0.25)) == ["sys", "q1  ", "last"]
    cut = middle_out(LONG, 0.1)
    assert words(cut) == ["sys", "q1  ", "last"]
    question = cut.messages[1].content
    assert GAP in question
    assert question.startswith("q1  xx")
    assert question.endswith("xx")


def test_one_long_text_loses_its_middle():
    request = ChatRequest((said("user", "begin " + "z" * 5000 + " end"),))
    cut = middle_out(request, 0.3).messages[0].content
    assert len(cut) <= 1520
    assert cut.startswith("begin zz")
    assert cut.endswith("zz end")


def test_calls_stay_with_their_results():
    call = ToolCall("c", "f", "{}")
    steps = []
    for number in range(6):
        steps.append(said("assistant", "", tool_calls=(call,)))
        steps.append(said("tool", f"r{number}" + "z" * 300, tool_call_id="c"))
    request = ChatRequest((said("user", "go"), *steps))
    cut = middle_out(request, 0.5)
    roles = [message.role for message in cut.messages]
    assert roles == ["user"] + ["assistant", "tool"] * (len(roles) // 2)
    assert len(roles) < len(request.messages)
    assert cut.messages[-1].content == request.messages[-1].content


def test_texts_with_images_keep_their_places():
    shown = said("user", "x" * 300, images=(Image(200, b"png"),))
    cut = middle_out(ChatRequest((said("user", "y" * 4000), said("assistant", "a"), shown)), 0.5)
    assert cut.messages[-1] == shown


def test_what_cannot_be_shortened_enough_is_not():
    assert middle_out(ChatRequest((said("user", "short"),)), 0.1) is None
    assert middle_out(LONG, 0.0) is None


ROLES = st.sampled_from(["user", "assistant", "system", "tool"])


@given(
    st.lists(st.tuples(ROLES, st.text(max_size=300)), min_size=1, max_size=12),
    st.floats(min_value=0.05, max_value=0.95),
)
def test_it_fits_and_keeps_what_lasts_and_what_comes_last(turns, share):
    request = ChatRequest(tuple(said(role, text) for role, text in turns))
    cut = middle_out(request, share)
    if cut is None:
        return
    assert sum(map(size_of, cut.messages)) <= sum(map(size_of, request.messages)) * share
    lasting = [message.role for message in request.messages if message.role == "system"]
    assert [message.role for message in cut.messages if message.role == "system"] == lasting
    assert cut.messages[-1].role == request.messages[-1].role
    asked = [message for message in request.messages if message.role == "user"]
    if asked:
        first = next(message for message in cut.messages if message.role == "user")
        assert first.content[:30] == asked[0].content[:30]


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_order_is_kept(role):
    request = ChatRequest(tuple(said(role, f"{at:03} " + "x" * 100) for at in range(30)))
    kept = [message.content[:3] for message in middle_out(request, 0.4).messages]
    assert kept == sorted(kept)


def test_a_prompt_without_a_template_is_left_alone():
    ids = ChatRequest((Message("tokens", " ".join(["17"] * 500)),))
    gap = ChatRequest((Message("prefix", "a" * 500), Message("suffix", "b" * 500)))
    assert middle_out(ids, 0.5) is middle_out(gap, 0.5) is None
