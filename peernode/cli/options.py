"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from peernode.node.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="PEERNODE_HOME",
        help="The node's home directory: key, ledger, and how to reach the running node.",
        show_default="the system's place for user data",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def home_at(path: Path | None) -> Home:
    """The home that ``--home`` named, or the default one."""
    if path is not None:
        return Home(path.expanduser())
    import platformdirs

    return Home(platformdirs.user_data_path("peernode"))


def ledger_at(home: Home) -> Path | str:
    """Where the node of ``home`` keeps its ledger: in the home, or where the environment says, as it does to nodes."""
    return os.environ.get("PEERNODE_LEDGER_URL") or home.ledger_file
