"""Real peernode processes on loopback, for the demo, the tests and the chaos scripts.

Owns starting, watching (by the JSON log, so that nothing is polled or slept for), killing and stopping. Only ever
signals processes that it started itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

START_S = 90.0


class NodeFailed(Exception):
    """A node did not do what was waited for; carries the end of its log."""


class NodeProcess:
    """One ``peernode serve``. ``args`` are further command-line arguments; ``inside`` is a command that runs it.

    ``program`` is what Python runs, if it is not the ordinary program.
    """

    def __init__(
        self,
        home: Path,
        *args: str,
        name: str = "node",
        listen: str = "/ip4/127.0.0.1/tcp/0",
        inside: Sequence[str] = (),
        program: Sequence[str] = ("-m", "peernode"),
    ) -> None:
        self.inside = [*inside]
        self.program = [*program]
        self.home = home
        self.name = name
        self.args = [*args]
        self.listen = listen
        self.log: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> NodeProcess:
        """Start and wait until it listens on mesh and HTTP; models may still be loading."""
        self.spawn()
        self.wait_for("node_started", timeout_s=START_S)
        return self

    def spawn(self) -> None:
        command = [
            *self.inside,
            sys.executable,
            *self.program,
            "serve",
            "--home",
            str(self.home),
            "--log-format",
            "json",
        ]
        command += ["--listen", self.listen]
        if "--no-http" not in self.args and "--http" not in self.args:
            command += ["--http", "127.0.0.1:0"]
        self.log = []
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PEERNODE_")}
        self._process = subprocess.Popen(
            [*command, *self.args], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_for(
        self,
        event: str,
        *,
        timeout_s: float = 60.0,
        where: Callable[[dict[str, Any]], bool] = lambda line: True,
        since: int = 0,
    ) -> dict[str, Any]:
        """The first log line of that event (after ``since`` lines) for which ``where`` holds."""
        deadline = time.monotonic() + timeout_s
        seen = since
        with self._news:
            while True:
                while seen < len(self.log):
                    line = self.log[seen]
                    seen += 1
                    if line.get("event") == event and where(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self.running:
                    tail = "\n".join(json.dumps(line) for line in self.log[-25:])
                    raise NodeFailed(f"{self.name}: no '{event}' within {timeout_s} s; its log ends:\n{tail}")
                self._news.wait(min(left, 0.5))

    def wait_for_model(self, *, timeout_s: float = START_S) -> dict[str, Any]:
        return self.wait_for("model_ready", timeout_s=timeout_s)

    def wait_for_offer(self, peer_id: str, *, timeout_s: float = 60.0, since: int = 0) -> dict[str, Any]:
        """Until this node's directory has an advert of ``peer_id`` that offers a model."""
        return self.wait_for(
            "peer_offers",
            timeout_s=timeout_s,
            since=since,
            where=lambda line: line["peer"] == peer_id and bool(line["models"]),
        )

    @property
    def mark(self) -> int:
        """The present length of the log, for ``since``."""
        return len(self.log)

    @property
    def started(self) -> dict[str, Any]:
        return self.wait_for("node_started", timeout_s=START_S)

    @property
    def peer_id(self) -> str:
        return str(self.started["peer_id"])

    @property
    def address(self) -> str:
        """Its first mesh address, with port and peer id."""
        return str(self.started["addresses"][0])

    @property
    def url(self) -> str:
        """Of its HTTP edge."""
        return str(self.started["http"])

    def admin(self, path: str) -> Any:
        """One admin route's JSON."""
        access = json.loads((self.home / "admin.json").read_text())
        answer = httpx.get(access["url"] + path, headers={"Authorization": f"Bearer {access['token']}"}, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9 and reap."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def stop(self, *, timeout_s: float = 40.0) -> int:
        """SIGTERM, then its exit code; kill -9 and NodeFailed when it does not go."""
        assert self._process is not None
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeFailed(f"{self.name} did not stop within {timeout_s} s") from None
        if self._reader is not None:
            self._reader.join(5)
        return code

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for text in process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": "stderr", "line": text.rstrip()}
            with self._news:
                self.log.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def chat_stream(
    url: str, body: dict[str, Any], *, timeout_s: float = 120.0, headers: dict[str, str] | None = None
) -> Any:
    """The SSE data objects of one streamed chat completion; the last before the end is whatever the node sent last."""
    with (
        httpx.Client(timeout=timeout_s, headers=headers) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json={**body, "stream": True}) as answer,
    ):
        if answer.status_code != 200:
            raise NodeFailed(f"HTTP {answer.status_code}: {answer.read().decode()}")
        for line in answer.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line[6:])
