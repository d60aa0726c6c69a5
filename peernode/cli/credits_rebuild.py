"""``peernode credits rebuild``: balances and holds made anew from the ledger's events, while its node does not run."""

from __future__ import annotations

from typing import Annotated

import typer

from peernode.cli.options import HomeOption, home_at


def rebuild(
    home: HomeOption = None,
    ledger_url: Annotated[
        str,
        typer.Option(envvar="PEERNODE_LEDGER_URL", help="The database, when the ledger is not in the home."),
    ] = "",
) -> None:
    """Make balances and holds anew from the events, when a node says that they differ. Events are never changed."""
    from peernode.cli.terminal import say
    from peernode.ledger import Books, BooksDiffer, Database, LedgerError
    from peernode.node.keyfile import load_or_create

    place = home_at(home)
    if not place.key_file.exists():
        raise LedgerError("There is no node here.", cause=str(place.path), remedy="Name a node's home with --home DIR.")
    with place.occupied():
        database = Database.open(ledger_url or place.ledger_file, own=load_or_create(place.key_file).peer_id)
        try:
            books = Books(database)
            try:
                books.check()
            except BooksDiffer as found:
                books.rebuild()
                books.check()
                say(f"{found.sentence} {found.cause}. They were made anew, and agree.")
            else:
                say("Balances and holds are what the events say; there is nothing to make anew.")
        finally:
            database.close()
