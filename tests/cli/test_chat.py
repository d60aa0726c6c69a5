"""Chatting: the answer as it comes, the footer, cancelling, conversations."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from peernode.chat.errors import NoProvider, ProviderFailed
from peernode.cli.answer import Answer
from peernode.cli.terminal import harmless


def test_one_question_one_answer_and_a_footer(peernode, node):
    answer = peernode("chat", "org/tiny", "hi", "--system", "be brief", "--temperature", "0", "--seed", "5")
    assert (answer.code, answer.out) == (0, "Hello\n")
    assert "served by 12D3Koo" in answer.err
    assert "receipt req_" in answer.err
    (job,) = node.jobs
    assert [(message.role, message.content) for message in job.request.messages] == [
        ("system", "be brief"),
        ("user", "hi"),
    ]
    assert (job.request.sampling.temperature, job.seed) == (0, 5)


def test_a_question_may_come_through_a_pipe(peernode, node, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe\n"))
    assert peernode("chat").out == "Hello\n"
    assert node.jobs[0].model == "org/tiny"
    assert node.jobs[0].request.messages[0].content == "from a pipe"


def test_without_any_model_there_is_a_remedy(peernode, node, monkeypatch):
    node.known = False
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi"))
    answer = peernode("chat")
    assert (answer.code, "code: no_model" in answer.err) == (1, True)


@pytest.mark.parametrize("texts", [[], ["Hel"]])
def test_a_failure_is_told_with_its_own_code(peernode, node, texts):
    node.texts = texts
    node.error = ProviderFailed("The provider failed.", remedy="Try again.")
    answer = peernode("chat", "org/tiny", "hi")
    assert answer.code == 1
    assert "error: The provider failed." in answer.err
    assert "code: provider_failed" in answer.err
    assert "Traceback" not in answer.err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def conversation(monkeypatch, *lines):
    said = iter(lines)

    def ask(_prompt):
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setattr(sys, "stdin", Terminal())


def test_a_conversation_remembers_what_was_said(peernode, node, monkeypatch):
    conversation(monkeypatch, "first", "", "second")
    answer = peernode("chat")
    assert answer.code == 0
    assert [message.content for message in node.jobs[1].request.messages] == ["first", "Hello", "second"]


def test_a_failed_turn_does_not_end_the_conversation_nor_stay_in_it(peernode, node, monkeypatch):
    node.error = NoProvider("Nobody can.")
    conversation(monkeypatch, "first", "second")
    answer = peernode("chat")
    assert answer.code == 0
    assert answer.err.count("Nobody can.") == 2
    assert [message.content for message in node.jobs[1].request.messages] == ["second"]


def test_ctrl_c_cancels_the_answer(node, home):
    node.hang = True
    asking = subprocess.Popen(
        [sys.executable, "-m", "peernode", "chat", "org/tiny", "hi", "--home", str(home.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Whoever runs the tests in the background may have had it ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs here
    )
    try:
        assert asking.stdout.read(5) == b"Hello"
        asking.send_signal(signal.SIGINT)
        _, err = asking.communicate(timeout=60)
    finally:
        asking.kill()
    assert asking.returncode == 130
    assert b"cancelled" in err
    assert b"Traceback" not in err
    assert node.cancelled.wait(60)


def test_speed_is_counted_between_the_first_token_and_the_last():
    times = iter([10.0, 12.0])
    answer = Answer(io.StringIO(), clock=lambda: next(times))
    for text in ("a", "b"):
        answer.take({"choices": [{"delta": {"content": text}}]})
    answer.take({"choices": [], "usage": {"completion_tokens": 5}, "provider": "12D3KooWx", "receipt": {"id": "req_1"}})
    assert answer.footer() == "served by 12D3KooWx · 5 tokens · 2.0 tokens/s · receipt req_1"


def test_a_missing_receipt_is_told():
    answer = Answer(io.StringIO())
    answer.take({"choices": [], "receipt": {"error": {"code": "receipt_refused", "message": "Wrong digest."}}})
    assert answer.footer().endswith("no receipt: Wrong digest.")


def test_an_answer_cannot_steer_the_terminal():
    assert harmless("a\x1b[2Jb\r\x07\x9bc\n\td\u202ee 👩‍🚀 é") == "a[2Jbc\n\tde 👩‍🚀 é"
    screen = Terminal()
    Answer(screen).take({"choices": [{"delta": {"content": "\x1b]0;title\x07"}}]})
    assert "\x1b" not in screen.getvalue()
