"""``peernode identity``: what an answer of ``GET /v1/identity`` proves, checked without a network."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from peernode.cli.options import JsonOption

MAX_ANSWER_BYTES = 4 << 20


def identity(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What GET /v1/identity?nonce=HEX answered; - for stdin.")
    ],
    *,
    nonce: Annotated[str, typer.Option("--nonce", metavar="HEX", help="What was sent as the nonce.")] = "",
    peer: Annotated[str, typer.Option("--peer", metavar="PEER", help="Whose word it should be.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check a node's signed statement, and that its hardware's report is about it; exit code 1 if something fails."""
    from peernode.cli.terminal import harmless, print_json, say
    from peernode.edge.identity_object import check_identity

    signed, checks = check_identity(_read(file), nonce=_nonce(nonce), peer=peer)
    made = signed.statement
    passed = all(check.passed for check in checks)
    if as_json:
        rows = [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in checks]
        print_json({"peer_id": made.peer, "network": made.network, "at_ms": made.at_ms, "ok": passed, "checks": rows})
    else:
        when = datetime.fromtimestamp(min(made.at_ms, 10**14) / 1000, UTC).isoformat(timespec="seconds")
        say(harmless(f"{made.peer} in {made.network}, peernode {made.version}, by its clock {when}"))
        for model in made.models:
            say(harmless(f"  {model.id} {model.digest.hex()}"))
        for check in checks:
            say(harmless(f"{'✓' if check.passed else '✗'} {check.name}: {check.detail}"))
        if not nonce:
            say("· without --nonce it may be an old word, said to somebody else")
    if not passed:
        raise typer.Exit(1)


def _nonce(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if text else None
    except ValueError as err:
        raise typer.BadParameter("it must be hexadecimal", param_hint="--nonce") from err


def _read(file: Path) -> dict[str, object]:
    import json

    from peernode.edge.identity_object import BadStatement

    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(MAX_ANSWER_BYTES)
        else:
            with file.open("rb") as opened:
                raw = opened.read(MAX_ANSWER_BYTES)
        found = json.loads(raw)
    except OSError as err:
        raise BadStatement("The statement cannot be read.", cause=f"{file}: {(err.strerror or '').lower()}") from err
    except (ValueError, RecursionError) as err:
        raise BadStatement("This is not the answer of /v1/identity.", cause="not JSON") from err
    if not isinstance(found, dict):
        raise BadStatement("This is not the answer of /v1/identity.", cause="not an object")
    return found
