"""A wire between two nodes that somebody listens to: forwards TCP to a port, and keeps all that passes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 65536


class Tap:
    """``heard`` is everything in both directions; ``port`` is where it listens on loopback."""

    def __init__(self, target: int) -> None:
        self.heard = bytearray()
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = [self._server]

    def run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                self.heard += piece
                sink.sendall(piece)


@contextmanager
def tapped(address: str) -> Iterator[tuple[Tap, str]]:
    """A tap before ``address`` (a multiaddress on loopback), and the address that leads through it."""
    _, ip, host, tcp, port, *rest = address.split("/")
    tap = Tap(int(port))
    threading.Thread(target=tap.run, daemon=True).start()
    try:
        yield tap, "/".join(["", ip, host, tcp, str(tap.port), *rest])
    finally:
        tap.close()
