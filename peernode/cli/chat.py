"""``peernode chat``: one question, or a conversation, answered by whoever on the network can."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.options import HomeOption, home_at

if TYPE_CHECKING:
    from peernode.cli.admin_client import AdminClient

CANCELLED_EXIT = 130


def chat(
    model: Annotated[str | None, typer.Argument(help="The model; the first one there is by default.")] = None,
    prompt: Annotated[str | None, typer.Argument(help="The question; without one, a conversation begins.")] = None,
    *,
    home: HomeOption = None,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 2.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
) -> None:
    """Chat through the running node. Ctrl-C cancels an answer; Ctrl-D ends a conversation."""
    from peernode.cli.admin_client import AdminClient

    settings = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    with AdminClient(home_at(home)) as node:
        body = {
            "model": model or _default_model(node),
            "stream_options": {"include_usage": True},
            **{key: value for key, value in settings.items() if value is not None},
        }
        history = [{"role": "system", "content": system}] if system else []
        if prompt is None and not sys.stdin.isatty():
            prompt = sys.stdin.read().strip()
        if prompt is None:
            _converse(node, body, history)
        elif _turn(node, body, history, prompt) is None:
            raise typer.Exit(CANCELLED_EXIT)


def _default_model(node: AdminClient) -> str:
    from peernode.cli.refusals import NoModel

    found = node.get("/v1/models")["data"]
    if not found:
        raise NoModel(
            "No live node serves a model.",
            remedy="Serve one with `peernode serve --model FILE.gguf`, or --join a node.",
        )
    return str(found[0]["id"])


def _converse(node: AdminClient, body: dict[str, Any], history: list[dict[str, str]]) -> None:
    import readline  # noqa: F401  # gives input() line editing and history

    from peernode.cli.failures import explain
    from peernode.cli.refusals import NodeRefused
    from peernode.cli.terminal import aside, say

    aside(f"{body['model']}; Ctrl-C cancels an answer, Ctrl-D ends")
    while True:
        try:
            prompt = input("> ").strip()
        except KeyboardInterrupt:
            say()
            continue
        except EOFError:
            say()
            return
        if not prompt:
            continue
        try:
            answer = _turn(node, body, history, prompt)
        except NodeRefused as err:  # one failed answer does not end a conversation
            explain(err)
            continue
        if answer is not None:
            history += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _turn(node: AdminClient, body: dict[str, Any], history: list[dict[str, str]], prompt: str) -> str | None:
    """Print one answer as it comes. Returns its text, or None when the user cancelled it."""
    from peernode.cli.answer import Answer
    from peernode.cli.terminal import aside

    answer = Answer()
    chunks = node.chat({**body, "messages": [*history, {"role": "user", "content": prompt}]})
    try:
        for chunk in chunks:
            answer.take(chunk)
    except KeyboardInterrupt:
        chunks.close()  # closes the connection, which cancels the job
        answer.end_line()
        aside("cancelled")
        return None
    except BaseException:
        answer.end_line()
        raise
    answer.end_line()
    aside(answer.footer())
    return answer.text
