"""How commands talk to the node that runs in a home: its admin API over HTTP, found through ``admin.json``.

Turns everything that can go wrong on the way into a typed error with a remedy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from peernode.cli.refusals import NodeRefused, NoNodeRunning
from peernode.node.home import Home

# The node itself bounds an answer's time; a node that dies closes the connection.
TIMEOUT = httpx.Timeout(10.0, read=None)


class AdminClient:
    """A connection to one running node. Use it in a ``with``."""

    def __init__(self, home: Home) -> None:
        access = home.read_admin()
        if access is None or not _alive(access.pid):
            raise _no_node(home)
        self._home = home
        self._http = httpx.Client(
            base_url=access.url,
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=TIMEOUT,
            trust_env=False,  # a proxy has no business between us and loopback
        )

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401  # JSON
        """The JSON at ``path``."""
        return self._ask("GET", path, params=query).json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON
        """The JSON that is answered to ``body``."""
        return self._ask("POST", path, json=body).json()

    def text(self, path: str) -> str:
        """The plain text at ``path``."""
        return self._ask("GET", path).text

    def _ask(self, method: str, path: str, **what: Any) -> httpx.Response:  # noqa: ANN401  # as httpx takes it
        with self._reached():
            answer = self._http.request(method, path, **what)
        if answer.is_error:
            raise _refusal(answer.content)
        return answer

    def chat(self, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The chunks of a streamed answer. Closing the generator cancels the answer."""
        with (
            self._reached(),
            self._http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer,
        ):
            if answer.is_error:
                raise _refusal(answer.read())
            for line in answer.iter_lines():
                payload = line.removeprefix("data: ")
                if not line.startswith("data: "):
                    continue
                if payload == "[DONE]":
                    return
                chunk = json.loads(payload)
                if "error" in chunk:
                    raise _refusal(payload.encode())
                yield chunk
        raise NodeRefused("The answer broke off.", reason="broken_stream", remedy="Look into the node's log.")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as err:
            raise _no_node(self._home) from err
        except httpx.TransportError as err:
            raise NodeRefused(
                "The connection to the node broke.", reason="connection_lost", cause=type(err).__name__
            ) from err


def _refusal(body: bytes) -> NodeRefused:
    try:
        error = json.loads(body)["error"]
        about = error.get("metadata", {})
        return NodeRefused(
            str(error["message"]),
            reason=str(about.get("reason", error.get("code", "refused"))),
            cause=str(about.get("cause", "")),
            remedy=str(about.get("remedy", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return NodeRefused("The node's answer cannot be read.", reason="bad_answer", remedy="Is it of this version?")


def _no_node(home: Home) -> NoNodeRunning:
    return NoNodeRunning(
        "No node is running in this home.",
        cause=str(home.path),
        remedy="Start one with `peernode serve`, or name its home with --home DIR.",
    )


def _alive(pid: int) -> bool:
    """A node that was killed leaves its admin.json behind; its port may be anybody's by now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
