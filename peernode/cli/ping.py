"""``peernode ping PEER``: real round trips from the running node to a peer, over a stream like those of jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from peernode.cli.options import HomeOption, JsonOption, home_at

NOT_ANSWERED = 1


def ping(
    peer: Annotated[str, typer.Argument(help="The peer's id, or a beginning or end that only it has.")],
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=100, help="How many pings.")] = 5,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure round trips to a peer; exit code 1 when none came back."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import harmless, print_json, say

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/ping", peer=peer, count=count)
    if as_json:
        print_json(found)
    else:
        say(
            harmless(
                f"{found['peer_id']} at {found['address'] or 'an address that is gone'}, {found['path'] or 'lost'}"
            )
        )
        for number, took in enumerate(found["rtt_ms"], 1):
            say(f"  {number:>3}  {'lost' if took is None else f'{took:.2f} ms'}")
        said = f"{found['sent']} sent, {found['lost']} lost ({found['loss']:.0%})"
        if found["median_ms"] is not None:
            said += f"; min {found['min_ms']:.2f}, median {found['median_ms']:.2f}, max {found['max_ms']:.2f} ms"
        say(said)
    if found["lost"] == found["sent"]:
        raise typer.Exit(NOT_ANSWERED)
