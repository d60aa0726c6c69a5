"""A model that is loaded with its first job, asked for through another node; real processes with the real model."""

from __future__ import annotations

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from nodes import NodeProcess

from peernode.edge.job_response import SILENCE_S
from peernode.market.patience import ACCEPT_S
from tests.network.conftest import Launch

pytestmark = pytest.mark.real
BODY = {"model": "cold", "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 8, "temperature": 0}


def config(folder: Path, model: Path, load: str) -> str:
    """The configuration of a node that loads the model so."""
    file = folder / f"{load}.toml"
    file.write_text(f'[[models]]\npath = "{model}"\nid = "cold"\nload = "{load}"\nthreads = 1\n')
    return str(file)


def features(edge: NodeProcess, provider: NodeProcess) -> list[str]:
    (found,) = edge.admin("/admin/models")
    return next(list(each["features"]) for each in found["providers"] if each["peer_id"] == provider.peer_id)


def stop_load(provider: NodeProcess) -> int:
    """Let the worker that is started next stand still, like one that reads from a very slow disk; its pid."""
    pid = int(provider.wait_for("worker_started")["worker_pid"])
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_load_that_takes_longer_than_an_answer_to_an_offer_is_waited_for(
    launch: Launch, tmp_path: Path, model_path: Path
) -> None:
    provider = launch("provider", "--config", config(tmp_path, model_path, "lazy"), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    assert "loadable" in features(edge, provider)
    comments: list[str] = []
    chunks = []
    with (
        ThreadPoolExecutor(1) as pool,
        httpx.Client(timeout=60) as client,
    ):
        stopped = pool.submit(stop_load, provider)
        with client.stream("POST", f"{edge.url}/v1/chat/completions", json={**BODY, "stream": True}) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line.startswith(":"):  # about one each second, behind a silence
                    comments.append(line)
                    if len(comments) == round(ACCEPT_S - SILENCE_S) + 4:
                        os.kill(stopped.result(), signal.SIGCONT)
                elif line.startswith("data: {"):
                    chunks.append(json.loads(line[6:]))
    assert len(comments) >= round(ACCEPT_S - SILENCE_S) + 4
    assert all(re.fullmatch(r': loading "cold", about \d+ s', line) for line in comments)
    assert not any("error" in chunk for chunk in chunks)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert chunks[-1]["receipt"]["digest"]
    assert not [line for line in edge.log if line.get("event") in ("provider_passed_over", "first_token_late")]
    # Now it is loaded, and says so.
    edge.wait_for("peer_changed", where=lambda line: line["peer"] == provider.peer_id)
    assert httpx.post(f"{edge.url}/v1/chat/completions", json=BODY, timeout=60).status_code == 200
    assert "loadable" not in features(edge, provider)


def test_a_provider_that_has_the_model_loaded_is_asked_instead(
    launch: Launch, tmp_path: Path, model_path: Path
) -> None:
    lazy = launch("lazy", "--config", config(tmp_path, model_path, "lazy"), "--no-http")
    warm = launch("warm", "--config", config(tmp_path, model_path, "eager"), "--no-http", joins=(lazy,))
    edge = launch("edge", joins=(lazy, warm))
    warm.wait_for_model()
    for provider in (lazy, warm):
        edge.wait_for_offer(provider.peer_id)
    for _ in range(3):
        answer = httpx.post(f"{edge.url}/v1/chat/completions", json=BODY, timeout=60)
        assert answer.json()["provider"] == warm.peer_id
    assert not [line for line in lazy.log if line.get("event") == "worker_started"]
    # Nobody else is left: then the load is waited for.
    warm.kill()
    answer = httpx.post(f"{edge.url}/v1/chat/completions", json=BODY, timeout=60)
    assert answer.json()["provider"] == lazy.peer_id
