"""The chat servers that are measured beside each other, each a context manager that yields its URL.

All get the same GGUF, slots, memory for keys and values in one unified buffer, and threads. What else they do by
default, they do.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from llama_build import PACKAGE, SERVER, llama_source, llama_tool, tool_environment
from nodes import NodeProcess
from rival_packages import ensure_rival_packages

MODEL_ID = "demo"
START_S = 120.0
OURS, LLAMA_SERVER, STOCK, EXAMPLE = "peernode", "llama.cpp server", "stock server", "example server"


@dataclass(frozen=True)
class Shape:
    """What every server is given. ``context`` is one sequence's, ``kv_tokens`` all of them together."""

    model: Path
    threads: int
    scratch: Path
    slots: int = 16
    kv_tokens: int = 16 * 1024
    context: int = 4096


@contextmanager
def peernode_node(shape: Shape, settings: Mapping[str, object] | None = None) -> Iterator[NodeProcess]:
    """A real ``peernode serve``, to be asked at its own edge. ``settings`` go to the section [engine]."""
    engine = {"slots": shape.slots, "kv_tokens": shape.kv_tokens, "context": shape.context, "threads": shape.threads}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**engine, **(settings or {})}.items()]
    folder = Path(tempfile.mkdtemp(prefix="peernode", dir=shape.scratch))
    config = folder / "peernode.toml"
    config.write_text("\n".join(["[engine]", *lines, "[limits]", "first_token_s = 600.0", "job_s = 1800.0", ""]))
    node = NodeProcess(folder / "home", "--config", str(config), "--model", f"{MODEL_ID}={shape.model}", name=OURS)
    try:
        node.start()
        node.wait_for_model()
        yield node
    finally:
        node.kill()


@contextmanager
def peernode_server(shape: Shape, settings: Mapping[str, object] | None = None) -> Iterator[str]:
    with peernode_node(shape, settings) as node:
        yield node.url


def prefilled_tokens(node: NodeProcess) -> int:
    """The engine's own counter of prompt tokens that were computed."""
    access = json.loads((node.home / "admin.json").read_text())
    answer = httpx.get(access["url"] + "/admin/metrics", headers={"Authorization": f"Bearer {access['token']}"})
    found = re.search(r"^peernode_engine_prefilled_total\{.*\} (\S+)$", answer.raise_for_status().text, re.MULTILINE)
    assert found, "no such metric"
    return int(float(found[1]))


def llama_server(shape: Shape) -> AbstractContextManager[str]:
    """llama.cpp's own, built from the source of the package that peernode runs on."""
    port = _free_port()
    command = [llama_tool(SERVER), "--model", shape.model, "--alias", MODEL_ID, "--host", "127.0.0.1", "--port", port]
    command += ["--parallel", shape.slots, "--ctx-size", shape.kv_tokens, "--kv-unified"]
    command += ["--threads", shape.threads, "--threads-batch", shape.threads, "--jinja", "--offline"]
    return _server(command, port, "/health", shape.scratch)


@contextmanager
def stock_server(shape: Shape) -> Iterator[str]:
    with stock_process(shape) as (url, _):
        yield url


def stock_process(shape: Shape) -> AbstractContextManager[tuple[str, int]]:
    """``python -m llama_cpp.server``, with its process. It runs one job at a time, and would drop it for the next."""
    python, port = ensure_rival_packages(f"{PACKAGE}[server]"), _free_port()
    command = [python, "-m", "llama_cpp.server", "--model", shape.model, "--model_alias", MODEL_ID, "--port", port]
    command += ["--n_threads", shape.threads, "--n_threads_batch", shape.threads, "--n_ctx", shape.context]
    command += ["--interrupt_requests", "false", "--verbose", "false"]
    return _process(command, port, "/v1/models", shape.scratch)


def example_server(shape: Shape) -> AbstractContextManager[str]:
    """llama-cpp-python's batched example server."""
    python, port = ensure_rival_packages("uvicorn", "websockets", "safetensors", "openai"), _free_port()
    model = {
        "alias": MODEL_ID,
        "path": str(shape.model),
        "n_ctx": shape.kv_tokens,
        "n_seq_max": shape.slots,
        "threads": shape.threads,
        "threads_batch": shape.threads,
        "kv_unified": True,
    }
    config = shape.scratch / "example.json"
    config.write_text(json.dumps({"server": {"host": "127.0.0.1", "port": port}, "model": model}))
    script = llama_source() / "examples" / "server" / "server.py"
    return _server([python, script, "--config-file", config], port, "/healthz", shape.scratch)


SERVERS: dict[str, Callable[[Shape], AbstractContextManager[str]]] = {
    OURS: peernode_server,
    LLAMA_SERVER: llama_server,
    STOCK: stock_server,
    EXAMPLE: example_server,
}


@contextmanager
def _server(command: Sequence[object], port: int, health: str, scratch: Path) -> Iterator[str]:
    with _process(command, port, health, scratch) as (url, _):
        yield url


@contextmanager
def _process(command: Sequence[object], port: int, health: str, scratch: Path) -> Iterator[tuple[str, int]]:
    """URL and process id."""
    url, log = f"http://127.0.0.1:{port}", scratch / f"server-{port}.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=tool_environment(),
        ) as process,
    ):
        try:
            _wait_until_healthy(url + health, process, log)
            yield url, process.pid
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SystemExit(f"{tail}\nerror: a server ended with {process.returncode}")
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"nothing healthy at {url} within {START_S:.0f} s")
