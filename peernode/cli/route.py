"""``peernode route``: whom the running node would ask for an answer now, and with ``--explain`` why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from peernode.cli.options import HomeOption, JsonOption, home_at

COLUMNS = {
    "place": "",
    "provider": "peer",
    "model": "model",
    "expected_s": "expected",
    "first_token_s": "first token",
    "round_trip_s": "round trip",
    "queue_s": "queue",
    "load_s": "load",
    "prefill_s": "prefill",
    "decode_s": "decode",
    "toll_s": "toll",
    "hit_tokens": "cached",
    "credits": "micro-credits",
    "reliability": "reliable",
    "reason": "left out by",
}
_SECONDS = ("expected_s", "first_token_s", "round_trip_s", "queue_s", "load_s", "prefill_s", "decode_s", "toll_s")
NOBODY = 1


def route(
    *,
    model: Annotated[str, typer.Argument(help="A model's name; NAME:floor, NAME:nitro, cheapest, fastest or auto.")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Show all candidates, and what is expected of each.")
    ] = False,
    prompt_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The prompt, whose beginning some peer may have in its cache.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="JSON", help='A provider object, like {"sort": "price"}.')
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show whom the running node would ask now; nobody is asked. Exit code 1 when nobody can be."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import harmless, print_json, print_table, say

    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": _prompt(prompt_file)}]}
    if provider is not None:
        body["provider"] = _object(provider)
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    with AdminClient(home_at(home)) as node:
        (found,) = node.post("/admin/route", body)
    if as_json:
        print_json(found)
    elif explain:
        rows = [_considered(place, each) for place, each in enumerate(found["candidates"], 1)]
        rows += [{"place": "-", **each} for each in found["excluded"]]
        print_table(rows, COLUMNS, empty="Nobody offers this model now.")
    elif found["candidates"]:
        first = found["candidates"][0]
        say(harmless(f"{first['provider']} with {first['model']}"))
    else:
        say("Nobody can be asked.")
    if not found["candidates"]:
        raise typer.Exit(NOBODY)


def _prompt(path: Path | None) -> str:
    if path is None:
        return "Hello."
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as err:
        raise typer.BadParameter(f"{path} cannot be read as text", param_hint="--prompt-file") from err


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as err:
        raise typer.BadParameter("this is not JSON", param_hint="--provider") from err


def _considered(place: int, terms: Mapping[str, Any]) -> dict[str, Any]:
    """One row for people; times in milliseconds."""
    times = {key: f"{1000 * terms[key]:.1f} ms" for key in _SECONDS}
    return {**terms, **times, "place": place, "reliability": f"{terms['reliability']:.0%}"}
