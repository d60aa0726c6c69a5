"""The demo proper: an edge without a model and two providers; ask the edge, show the answer, verify the receipt."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nodes import NodeFailed, NodeProcess, chat_stream

QUESTION = "In two or three sentences: why do people share computers?"
QUIET = ("--network", "demo")


def say(text: str) -> None:
    print(f"\033[1m==> {text}\033[0m", flush=True)


def start_network(model: Path, scratch: Path, nodes: list[NodeProcess]) -> NodeProcess:
    """Start three nodes (each goes into ``nodes`` before it runs); the edge then knows both providers."""
    say("Starting two providers and an edge without a model")
    for number in (1, 2):
        provider = NodeProcess(scratch / f"provider-{number}", *QUIET, "--model", str(model), name=f"provider {number}")
        nodes.append(provider)
        provider.spawn()
    first, second = nodes
    print(f"    provider 1  {first.peer_id}", flush=True)
    print(f"    provider 2  {second.peer_id}", flush=True)
    joins = [part for provider in (first, second) for part in ("--join", provider.address)]
    edge = NodeProcess(scratch / "edge", *QUIET, *joins, name="edge")
    nodes.append(edge)
    edge.start()
    print(f"    edge        {edge.peer_id}   {edge.url}", flush=True)
    for provider in (first, second):
        provider.wait_for_model()
        edge.wait_for_offer(provider.peer_id)
    offered = edge.admin("/admin/models")
    for entry in offered:
        print(f"    on offer    {entry['id']}, {entry['nodes_available']} nodes", flush=True)
    return edge


def ask(edge: NodeProcess, model_id: str) -> dict[str, Any]:
    """Stream one answer to the terminal; what the last chunks said about it."""
    say(f"Asking the edge: {QUESTION}")
    body = {"model": model_id, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 120, "temperature": 0}
    began = time.monotonic()
    first: float | None = None
    facts: dict[str, Any] = {}
    for chunk in chat_stream(edge.url, {**body, "stream_options": {"include_usage": True}}):
        if "error" in chunk:
            raise NodeFailed(str(chunk["error"]))
        for choice in chunk.get("choices", []):
            piece = choice.get("delta", {}).get("content") or ""
            if piece and first is None:
                first = time.monotonic() - began
            sys.stdout.write(piece)
            sys.stdout.flush()
        facts.update({key: chunk[key] for key in ("provider", "request_id", "usage", "receipt") if chunk.get(key)})
    took = time.monotonic() - began
    count = facts["usage"]["completion_tokens"]
    print(f"\n    first token after {first or took:.2f} s, {count} tokens in {took:.1f} s", flush=True)
    return facts


def verify(edge: NodeProcess, request_id: str) -> None:
    """The CLI, offline: it reads the edge's ledger file and needs no node."""
    say(f"peernode receipts verify {request_id}")
    command = [sys.executable, "-m", "peernode", "receipts", "verify", request_id, "--home", str(edge.home)]
    subprocess.run(command, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file that the providers load")
    model: Path = parser.parse_args().model
    nodes: list[NodeProcess] = []
    with tempfile.TemporaryDirectory(prefix="peernode-demo-") as scratch:
        try:
            edge = start_network(model, Path(scratch), nodes)
            facts = ask(edge, edge.admin("/admin/models")[0]["id"])
            names = {node.peer_id: node.name for node in nodes}
            served_by = names[facts["provider"]]
            if served_by == "edge":
                raise NodeFailed("the edge answered by itself, which it cannot")
            say(f"Served by {served_by} ({facts['provider']}), not by the edge")
            verify(edge, facts["request_id"])
            say("Stopping the three nodes")
            codes = {node.name: node.stop() for node in nodes}
            if any(codes.values()):
                raise NodeFailed(f"a node did not stop cleanly: {codes}")
        except (NodeFailed, subprocess.CalledProcessError) as err:
            print(f"demo failed: {err}", file=sys.stderr)
            return 1
        finally:
            for node in nodes:
                if node.running:
                    node.kill()
    say("Done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
