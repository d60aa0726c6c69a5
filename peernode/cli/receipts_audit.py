"""``peernode receipts audit``: asks a peer to show that its log only grew, and that receipts for our jobs are in it."""

from __future__ import annotations

from typing import Annotated

import typer

from peernode.cli.options import HomeOption, JsonOption, home_at


def audit(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Its whole peer id; `peernode peers` lists them.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a provider's log against its own signed words, through the running node. Exit code 1 if it does not hold."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import harmless, print_json, say

    with AdminClient(home_at(home)) as node:
        found = node.post(f"/admin/logs/{peer}/audit", {})
    if as_json:
        print_json(found)
    elif not found["size"]:
        say("That peer has signed nothing of a log yet, as far as this node heard.")
    else:
        for failed in found["failed"]:
            say(harmless(f"✗ it did not show {failed}"))
        said = f"{found['heads']} earlier states, {found['receipts']} receipts of our jobs"
        holds = "do not all hold" if found["failed"] else "all hold"
        say(f"log of {found['size']} receipts: {said}: {holds}")
    if found["failed"]:
        raise typer.Exit(1)
