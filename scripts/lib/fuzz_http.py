"""Requests that no good client sends, over real sockets against a real node, and what became of them.

The node has no model and no peers: nothing here is about answers. Afterwards it must answer as before, hold hardly more
memory and as few sockets, have said no 5xx (501 for codings that HTTP/1.1 does not have is its right name), have
taken no smuggled request, and have met no defect.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx
import proc
import trio
from hpack import Decoder, HPACKError
from http_cases import Case, make_case
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame, HeadersFrame
from nodes import NodeProcess

CASES, SEED = 20_000, 1
AT_ONCE = 32
# How long to wait for the first word of an answer, for that of one that may never come, and for another word.
FIRST_S, UNSURE_S, QUIET_S = 10.0, 1.0, 0.1
# Kinds of which many are not whole requests: the node waits for the rest.
UNSURE = {"chunked", "damaged", "headers", "http2", "lengths", "noise", "slow", "truncated"}
MOST_MIB = 64.0
SETTLE_S = 60.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
# Of the log: what must not be there.
DEFECTS = {"request_met_a_defect", "stderr"}


class Broken(Exception):
    """The node did not keep a promise."""


async def send(host: str, port: int, case: Case) -> bytes:
    """All that comes back until the node closes or has been quiet for a moment."""
    said = bytearray()
    stream = await trio.open_tcp_stream(host, port)
    async with stream:
        try:
            async with trio.open_nursery() as nursery:
                first_s = UNSURE_S if case.kind in UNSURE else FIRST_S
                # Over HTTP/2 the settings are the first word, and no answer yet.
                further_s = UNSURE_S if case.kind == "http2" else QUIET_S
                nursery.start_soon(_read, stream, said, (first_s, further_s), nursery.cancel_scope)
                for piece in case.pieces:
                    await stream.send_all(piece)
                    await trio.sleep(case.pause_s)
                if case.end == "eof":
                    await stream.send_eof()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        if case.end == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return bytes(said)


async def _read(
    stream: trio.SocketStream, said: bytearray, patience_s: tuple[float, float], scope: trio.CancelScope
) -> None:
    while True:
        with trio.move_on_after(patience_s[bool(said)]) as quiet:
            piece = await stream.receive_some()
            if not piece:
                break
            said += piece
        if quiet.cancelled_caught:
            break
    scope.cancel()


def judge(case: Case, said: bytes) -> str:
    """How it ended. Raises Broken."""
    statuses = [int(status) for status in _STATUS.findall(said)] or statuses_of_frames(said)
    wrong = [status for status in statuses if status >= 500 and not (status == 501 and case.kind in _MAY_501)]
    if wrong:
        raise Broken(f"{case.kind}: status {wrong[0]} for {case.pieces[0][:200]!r}: {said[:300]!r}")
    if case.kind == "smuggling" and statuses not in ([400], []):
        raise Broken(f"smuggled: {statuses} for {case.pieces[0]!r}")
    return str(statuses[0]) if statuses else "closed"


_MAY_501 = {"codings", "damaged", "headers", "chunked"}


def statuses_of_frames(said: bytes) -> list[int]:
    """Those of the answers in a stream of HTTP/2, up to where it cannot be read."""
    found, at, decoder = [], 0, Decoder()
    try:
        while len(said) - at >= 9:
            frame, length = Frame.parse_frame_header(memoryview(said)[at : at + 9])
            frame.parse_body(memoryview(said)[at + 9 : at + 9 + length])
            at += 9 + length
            if isinstance(frame, HeadersFrame):
                headers = decoder.decode(frame.data)
                found += [int(value) for name, value in headers if name == ":status"]
    except (HyperframeError, HPACKError, ValueError):
        pass
    return found


async def attack(host: str, port: int, cases: Iterable[Case], *, at_once: int = AT_ONCE) -> Counter[tuple[str, str]]:
    """Send all ``cases``, some at once. How they ended, by kind. Raises Broken."""
    ends: Counter[tuple[str, str]] = Counter()
    waiting = iter(cases)
    broken: list[Broken] = []

    async def work() -> None:
        for case in waiting:
            if broken:
                return
            try:
                ends[case.kind, judge(case, await send(host, port, case))] += 1
            except Broken as err:
                broken.append(err)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(work)
    if broken:
        raise broken[0]
    return ends


def check_node(
    node: NodeProcess, before: tuple[int, float], *, headers: Mapping[str, str] | None = None
) -> tuple[int, float]:
    """Sockets and MiB when it has come to rest. Raises Broken unless it is as well as ``before``."""
    for path in ("/healthz", "/v1/models"):
        answer = httpx.get(node.url + path, headers=headers, timeout=SETTLE_S)
        if answer.status_code != 200:
            raise Broken(f"{path} is answered by {answer.status_code}")
    deadline = time.monotonic() + SETTLE_S
    while (held := proc.sockets(node.pid)) > before[0] + 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    after = held, proc.rss_mib(node.pid)
    if held > before[0] + 2:
        raise Broken(f"{held} sockets, {before[0]} before")
    if after[1] > before[1] + MOST_MIB:
        raise Broken(f"{after[1]:.0f} MiB, {before[1]:.0f} before")
    bad = [line for line in node.log if line.get("event") in DEFECTS or "Traceback" in str(line)]
    if bad:
        raise Broken(f"the log says {bad[0]}")
    return after


def held_by(node: NodeProcess) -> tuple[int, float]:
    """Sockets and MiB, once the first requests have been answered."""
    with httpx.Client() as client:
        for path in ("/healthz", "/v1/models", "/docs", "/openapi.json"):
            client.get(node.url + path)
    return proc.sockets(node.pid), proc.rss_mib(node.pid)


def main() -> int:
    """Print how the requests ended; 1 if a promise was broken."""
    number, seed = (int(value) for value in [*sys.argv[1:3], *(str(CASES), str(SEED))[len(sys.argv[1:3]) :]])
    with tempfile.TemporaryDirectory() as scratch:
        node = NodeProcess(Path(scratch) / "node", "--network", "fuzz", name="node").start()
        try:
            began, before = time.monotonic(), held_by(node)
            address, port = node.url.removeprefix("http://").split(":")
            ends = trio.run(attack, address, int(port), (make_case(seed, at) for at in range(number)))
            took, after = time.monotonic() - began, check_node(node, before)
            failed = sum(line.get("event") == "connection_failed" for line in node.log)
        except Broken as broken:
            sys.stdout.write(f"BROKEN: {broken}\n")
            return 1
        finally:
            node.kill()
    for (kind, end), count in sorted(ends.items()):
        sys.stdout.write(f"{count:>9}  {kind}: {end}\n")
    sys.stdout.write(f"{number} requests in {took:.0f} s, seed {seed}: no 5xx, no defect, nothing smuggled\n")
    sys.stdout.write(
        f"{failed} connections ended by Hypercorn's own errors; memory {before[1]:.1f} -> {after[1]:.1f} MiB,"
    )
    sys.stdout.write(f" sockets {before[0]} -> {after[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
