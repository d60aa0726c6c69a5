"""``peernode doctor``: what this machine can serve, how others reach it, and the command that begins."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.options import HomeOption, JsonOption, home_at

if TYPE_CHECKING:
    from peernode.node.machine_view import MachineView
    from peernode.node.model_search import FoundModel

GIB = 1 << 30
COLUMNS = {"name": "model", "size": "size", "need": "memory", "context": "context", "fits": "fits", "note": ""}


def doctor(
    places: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH…", help="Files and directories to look at as well.")
    ] = None,
    *,
    context: Annotated[int, typer.Option(min=64, help="Tokens of context that a conversation should have.")] = 4096,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for models and memory, a GPU, and how a running node is reached; print the command that serves a model."""
    from peernode.cli.terminal import harmless, print_json, print_table, say
    from peernode.node.config import EngineConfig
    from peernode.node.machine_view import machine_view
    from peernode.node.model_search import find_models, usual_places

    searched = [*(places or ()), *usual_places(Path.home(), os.environ)]
    models = find_models(searched, context=context, slots=EngineConfig().slots)
    machine, node = machine_view(), _node(home)
    command = _command(models)
    if as_json:
        print_json(
            {
                "machine": {
                    "memory": machine.memory,
                    "cpus": machine.cpus,
                    "devices": list(machine.devices),
                    "llama_cpp": machine.llama_cpp or None,
                    "gpu_offload": machine.offloads,
                },
                "models": [_object(model) for model in models],
                "node": node,
                "command": command,
            }
        )
        return
    for line in [*_machine_lines(machine), *_node_lines(node)]:
        say(harmless(line))
    say()
    usable = [model for model in models if model.header is not None]
    print_table([_row(model) for model in usable], COLUMNS, empty="No GGUF model was found in the usual places.")
    if others := len(models) - len(usable):
        say(f"{others} more GGUF {'file is' if others == 1 else 'files are'} no model to chat with; --json says why")
    say()
    if command:
        say("Serve the first of them:" if usable[0].note == "" else "Serve what fits best:")
        say(harmless(f"  {command}"))
    else:
        say("Download a GGUF model that fits, then: peernode serve --model FILE. A node without one asks its peers.")


def _command(models: Sequence[FoundModel]) -> str | None:
    best = next((model for model in models if model.fits and model.header and not model.header.is_encoder), None)
    if best is None:
        return None
    named = str(best.path) if best.name == best.path.stem else f"{best.name}={best.path}"
    return f"peernode serve --model {shlex.quote(named)}"


def _node(home: Path | None) -> dict[str, Any] | None:
    """How the node that runs here is reached; None when none does."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.refusals import NoNodeRunning

    try:
        with AdminClient(home_at(home)) as node:
            found = node.get("/admin/status")
    except NoNodeRunning:
        return None
    named = ("peer_id", "addresses", "http", "reachability", "peers")
    return {name: found.get(name) for name in named}


def _machine_lines(machine: MachineView) -> list[str]:
    memory = "unknown" if machine.memory is None else f"{machine.memory / GIB:.1f} GiB free"
    found = ", ".join(machine.devices)
    if not machine.llama_cpp:
        gpu = "✗ llama-cpp-python does not run: reinstall it"
    elif machine.offloads:
        gpu = f"✓ llama-cpp-python {machine.llama_cpp} uses a GPU{f' ({found})' if found else ''}"
    elif found:
        gpu = f"✗ there is a GPU ({found}), but llama-cpp-python {machine.llama_cpp} knows none: reinstall it"
    else:
        gpu = f"· llama-cpp-python {machine.llama_cpp} on the processor; no GPU was found"
    return [f"✓ memory {memory}, {machine.cpus} cores", gpu]


def _node_lines(node: dict[str, Any] | None) -> list[str]:
    if node is None:
        return ["· no node runs in this home; whether others can reach it is found out when one does"]
    reach = node["reachability"] or {}
    mark = {"public": "✓", "private": "✗"}.get(str(reach.get("reach")), "·")
    why = f" ({reach['reason']})" if reach.get("reason") else ""
    lines = [f"{mark} node {node['peer_id']}, reachability: {reach.get('reach')}{why}"]
    return lines + ([f"  {reach['remedy']}"] if reach.get("remedy") else [])


def _row(model: FoundModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "size": f"{model.size / GIB:.2f} GiB",
        "need": f"{model.need / GIB:.2f} GiB" if model.need else None,
        "context": model.context or None,
        "fits": model.fits,
        "note": model.note or None,
    }


def _object(model: FoundModel) -> dict[str, Any]:
    header = model.header
    return {
        "path": str(model.path),
        "name": model.name,
        "architecture": header.architecture if header else None,
        "parameters": header.parameters if header else None,
        "context_length": header.context_length if header else None,
        "size": model.size,
        "memory": model.need,
        "context": model.context,
        "fits": model.fits,
        "note": model.note or None,
        "problem": model.problem or None,
    }
