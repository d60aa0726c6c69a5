"""A PostgreSQL server of one's own, from Debian's package, for as long as a test or benchmark needs it.

It listens on a Unix socket in a temporary directory and on no port. It refuses to run as root, so root lends it the
user that the package made.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

SYSTEM_USER = "postgres"
START_S = 60


def programs() -> Path | None:
    """Where initdb and postgres are; None when the package is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """A running server; ``database`` makes a new, empty database in it."""

    def __init__(self, socket: Path, process: subprocess.Popen[bytes]) -> None:
        self._socket = socket
        self._process = process
        self._numbers = itertools.count(1)

    def url(self, name: str) -> str:
        return f"postgresql://peernode@/{name}?host={self._socket}"

    def database(self) -> str:
        """The URL of a new database."""
        name = f"ledger_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


@contextmanager
def postgres_server(*, durable: bool = True) -> Iterator[Server]:
    """Start a server; stop it and delete its files in the end. Without ``durable`` it does not wait for the disk.

    Raises FileNotFoundError when PostgreSQL is not installed.
    """
    where = programs()
    if where is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="peernode-pg-"))
    lent: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, SYSTEM_USER, SYSTEM_USER)
        lent = {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []}
    try:
        data = folder / "data"
        initdb = [
            where / "initdb",
            "-D",
            data,
            "-U",
            "peernode",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, **lent)
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "on" if durable else "off"}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([where / "postgres", "-D", data, *options], stderr=log, cwd=folder, **lent)
        try:
            server = Server(folder, process)
            server.wait_until_up()
            yield server
        finally:
            process.send_signal(2)  # SIGINT: ends connections and stops at once, but in order
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
