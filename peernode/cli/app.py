"""The list of commands. Each lives in a file of its own and imports what is heavy only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from peernode.cli import (
    chat,
    credits_rebuild,
    credits_supply,
    doctor,
    identity,
    keys,
    metrics,
    models,
    peers,
    ping,
    receipts,
    receipts_audit,
    receipts_export,
    receipts_prove,
    receipts_recover,
    receipts_verify,
    route,
    serve,
    status,
)
from peernode.cli import credits as credits_

app = typer.Typer(
    name="peernode",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A node of a peer-to-peer inference network: serve models, chat, check receipts.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from peernode import __version__
        from peernode.cli.terminal import say

        say(f"peernode {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.command("models")(models.models)
app.command("peers")(peers.peers)
app.command("ping")(ping.ping)
app.command("route")(route.route)
app.command("metrics")(metrics.metrics)
app.command("chat")(chat.chat)
app.command("identity")(identity.identity)

_keys = typer.Typer(no_args_is_help=True, help="API keys of clients: what each may spend and ask for.")
_keys.command("create")(keys.create)
_keys.command("list")(keys.list_keys)
_keys.command("show")(keys.show)
_keys.command("limit")(keys.limit)
_keys.command("topup")(keys.topup)
_keys.command("revoke")(keys.revoke)
app.add_typer(_keys, name="keys")

_receipts = typer.Typer(no_args_is_help=True, help="Receipts of this node, read and checked without a network.")
_receipts.command("list")(receipts.list_receipts)
_receipts.command("show")(receipts.show)
_receipts.command("recover")(receipts_recover.recover)
_receipts.command("verify")(receipts_verify.verify)
_receipts.command("prove")(receipts_prove.prove)
_receipts.command("audit")(receipts_audit.audit)
_receipts.command("export")(receipts_export.export)
_receipts.command("import")(receipts_export.import_receipts)
app.add_typer(_receipts, name="receipts")

_credits = typer.Typer(no_args_is_help=True, help="What this node and its peers owe each other, and settling it.")
_credits.command("balance")(credits_.balance)
_credits.command("peers")(credits_.peers)
_credits.command("grant")(keys.topup)
_credits.command("settle")(credits_.settle)
_credits.command("history")(credits_.history)
_credits.command("supply")(credits_supply.supply)
_credits.command("rebuild")(credits_rebuild.rebuild)
app.add_typer(_credits, name="credits")
