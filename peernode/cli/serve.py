"""``peernode serve``: run a node until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="PATH|NAME=PATH", help="A GGUF file to serve. Repeatable."),
    ] = None,
    projector: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The projector (mmproj) file that lets the one --model see images."),
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option("--join", metavar="MULTIADDR", help="A node to meet first, with its /p2p/ id. Repeatable."),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="MULTIADDR", help="Where peers reach this node. Repeatable."),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The OpenAI API, on loopback.", show_default="127.0.0.1:8080"),
    ] = None,
    no_http: Annotated[bool, typer.Option("--no-http", help="Serve peers only; the command line still works.")] = False,
    home: Annotated[Path | None, typer.Option(metavar="DIR", help="Key, ledger and lock.")] = None,
    network: Annotated[
        str | None, typer.Option(help="Nodes of other networks are strangers.", show_default="main")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A TOML file; flags and PEERNODE_* win over it.")
    ] = None,
    drain_s: Annotated[
        float | None, typer.Option("--drain-s", help="Seconds that running answers get at the end.", show_default="30")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="auto|console|json", help="How to log.", show_default="auto")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="debug|info|warning|error", help="What to log.", show_default="info")
    ] = None,
) -> None:
    """Run a node: share models, answer the OpenAI API on this machine, work with peers. Ctrl-C finishes and stops."""
    from peernode.node.config_sources import load_config

    given: dict[str, Any] = {
        "models": _models(model, projector),
        "join": join,
        "listen": listen,
        "http": http,
        "no_http": no_http or None,
        "home": home,
        "network": network,
        "drain_s": drain_s,
        "log_format": log_format,
        "log_level": log_level,
    }
    settings = load_config({key: value for key, value in given.items() if value not in (None, [])}, config_file=config)

    import trio

    from peernode.node.composition import serve as run_node

    trio.run(run_node, settings)


def _models(named: list[str] | None, projector: Path | None) -> list[Any] | None:
    if projector is None:
        return list(named) if named else None
    if not named or len(named) > 1:
        raise typer.BadParameter(
            "it goes with exactly one --model; several models name theirs in the configuration file",
            param_hint="--projector",
        )
    from peernode.node.model_entry import model_entry

    return [{**model_entry(named[0]), "projector": str(projector)}]
