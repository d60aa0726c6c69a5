"""Rows 85 and 87: nodes behind routers and on a LAN, in network namespaces of their own.

Where these cannot be made (they need root, ``ip`` and ``iptables``), what the nodes say of their reachability is all
that is looked at, and the row says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance_asking import ENDLESS, TINY, Asker, Rows
from conformance_further import soon, told
from namespaces import Internet, NetHost, NoNamespaces
from nodes import NodeProcess

from tests.models import write_tiny_model

ROWS = Rows()
LISTEN = "/ip4/0.0.0.0/tcp/4701"
ASK = """
import json, sys, urllib.request
url = sys.argv[1] + "/v1/chat/completions"
request = urllib.request.Request(url, sys.argv[2].encode(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=120).read().decode())
"""


class Places:
    """Starts nodes inside hosts; all are gone with ``close``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: list[NodeProcess] = []

    def start(self, host: NetHost, name: str, *args: str, joins: tuple[NodeProcess, ...] = ()) -> NodeProcess:
        join = [part for node in joins for part in ("--join", _outside(node))]
        node = NodeProcess(
            self._folder / name, "--network", "away", *join, *args, name=name, listen=LISTEN, inside=host.command()
        )
        self._nodes.append(node)
        return node.start()

    def close(self) -> None:
        for node in self._nodes:
            node.kill()


@contextmanager
def internet(it: Asker, name: str) -> Iterator[tuple[Internet, Places]]:
    """Raises NoNamespaces."""
    folder = it.edge.home.parent / name
    folder.mkdir()
    places = Places(folder)
    with Internet() as net:
        try:
            yield net, places
        finally:
            places.close()


def _outside(node: NodeProcess) -> str:
    return next(each for each in node.started["addresses"] if "/127.0.0.1/" not in each)


def _reach(node: NodeProcess) -> str:
    return str(told(node.home, "status")["reachability"]["reach"])


def only_told(it: Asker, why: NoNamespaces) -> str:
    reach = {str(node.admin("/admin/status")["reachability"]["reach"]) for node in (it.edge, *it.providers)}
    assert reach <= {"off", "unknown", "public", "private"}
    return f"only told, without namespaces ({str(why)[:40]}): {', '.join(sorted(reach))}"


@ROWS.row(85, "Behind NAT", "edge and provider behind a NAT each, a public node between them: the answer comes through")
def _(it: Asker) -> str:
    try:
        with internet(it, "routers") as (net, places):
            return _through_routers(it, net, places)
    except NoNamespaces as why:
        return only_told(it, why)


def _through_routers(it: Asker, net: Internet, places: Places) -> str:
    model = write_tiny_model(it.edge.home.parent / "routers" / "tiny.gguf")
    middle = places.start(net.public("middle", 10), "middle", "--no-http")
    there = places.start(
        net.behind_nat("there", 30), "there", "--no-http", "--model", f"{TINY}={model}", joins=(middle,)
    )
    host = net.behind_nat("here", 20)
    here = places.start(host, "here", joins=(middle,))
    for node in (here, there):
        node.wait_for("reachability", where=lambda line: line["reach"] == "private")
    here.wait_for_offer(there.peer_id)
    body = it.body(model=TINY, logit_bias=ENDLESS)
    answer: dict[str, Any] = json.loads(host.run(sys.executable, "-c", ASK, here.url, json.dumps(body), timeout_s=150))
    assert answer["provider"] == there.peer_id
    rows = json.loads(
        host.run(sys.executable, "-m", "peernode", "peers", "--json", "--home", str(here.home), timeout_s=60)
    )
    path = next(row["path"] for row in rows if row["peer_id"] == there.peer_id)
    return f"both private; path now: {path}"


@ROWS.row(
    87,
    "Discovery on a LAN, AutoNAT",
    "two that were told of nobody find each other by mDNS, and by asking each other that they are public",
)
def _(it: Asker) -> str:
    try:
        with internet(it, "lan") as (net, places):
            one = places.start(net.public("one", 1), "one", "--no-http")
            two = places.start(net.public("two", 2), "two", "--no-http")
            for node, other in ((one, two), (two, one)):
                node.wait_for("peer_connected", where=lambda line, other=other: line["peer"] == other.peer_id)
            known = soon(lambda: [line for line in (*one.log, *two.log) if line["event"] == "reachability"])
            return f"found each other; asked around: {known[0]['reach']} (TCP; QUIC stays off: docs/decisions.md)"
    except NoNamespaces as why:
        return only_told(it, why)
