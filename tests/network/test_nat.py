"""Real nodes in a small internet of network namespaces: public, behind NATs, behind a firewall.

Skipped where namespaces cannot be made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import namespaces
import pytest
from namespaces import Internet, NoNamespaces
from nodes import NodeProcess

from tests.network.conftest import MODEL_ID

pytestmark = pytest.mark.real

ANYWHERE = "/ip4/0.0.0.0/tcp/4701"
# Says when the first token is there, then how it ended.
ASK = """
import json, sys, httpx
body = {"model": sys.argv[2], "messages": [{"role": "user", "content": "Tell me a long story."}],
        "max_tokens": int(sys.argv[3]), "stream": True, "stream_options": {"include_usage": True}}
text, reason, said = "", None, False
with httpx.stream("POST", sys.argv[1] + "/v1/chat/completions", json=body, timeout=120) as answer:
    for line in answer.iter_lines():
        if not line.startswith("data: {"):
            continue
        chunk = json.loads(line[6:])
        for choice in chunk.get("choices", []):
            text += choice["delta"].get("content") or ""
            reason = choice.get("finish_reason") or reason
        if text and not said:
            print("first", flush=True)
            said = True
print(json.dumps({"status": answer.status_code, "text": text, "reason": reason}))
"""


@pytest.fixture
def internet():
    try:
        with Internet() as net:
            yield net
    except NoNamespaces as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


@pytest.fixture
def launch_in(tmp_path):
    """``launch_in(host, *args, joins=nodes)`` runs a node in a namespace; all are gone afterwards."""
    nodes = []

    def launch(host, *args, joins=()):
        join = [part for node in joins for part in ("--join", node.address)]
        home = tmp_path / host.name
        listen = ANYWHERE if host.router else f"/ip4/{host.address}/tcp/4701"
        node = NodeProcess(
            home, "--network", "test", *join, *args, name=host.name, listen=listen, inside=host.command()
        )
        nodes.append(node)
        return node.start()

    yield launch
    for node in nodes:
        node.kill()


def peernode(host, node, *args):
    """The JSON of a command of the operator's, run where the node runs."""
    said = host.run(sys.executable, "-m", "peernode", *args, "--json", "--home", str(node.home), timeout_s=60)
    return json.loads(said)


def path(host, node, peer):
    rows = peernode(host, node, "peers")
    return next(row["path"] for row in rows if row["peer_id"] == peer.peer_id)


@contextmanager
def asking(host, node, tokens):
    """A streamed job that has its first token; gives a function that awaits its end."""
    command = host.command(sys.executable, "-c", ASK, node.url, MODEL_ID, str(tokens))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "first\n"

            def ended(*, running=False):
                assert not running or process.poll() is None
                said, _ = process.communicate(timeout=150)
                return json.loads(said)

            yield ended
        finally:
            process.kill()


def settled(node, reach):
    return node.wait_for("reachability", timeout_s=60, where=lambda line: line["reach"] == reach)


def test_a_job_goes_through_a_relay_then_directly_and_outlives_the_relay(internet, launch_in, model_path):
    middle = internet.public("middle", 10)
    here, there = internet.behind_nat("here", 20), internet.behind_nat("there", 30)
    internet.separate(here, there)  # until the relayed job was seen
    relay = launch_in(middle, "--no-http")
    provider = launch_in(there, "--model", str(model_path), "--no-http", joins=(relay,))
    edge = launch_in(here, joins=(relay,))
    provider.wait_for_model()
    edge.wait_for_offer(provider.peer_id)
    for node in (provider, edge):
        node.wait_for("relay_reserved", where=lambda line: line["relay"] == relay.peer_id)
    edge.wait_for("peer_connected", where=lambda line: line["peer"] == provider.peer_id)

    with asking(here, edge, 24) as ended:
        assert path(here, edge, provider) == f"relayed via {relay.peer_id}"
        assert path(there, provider, edge) == f"relayed via {relay.peer_id}"
        assert ended()["reason"] == "length"

    internet.join(here, there)
    for node in (edge, provider):
        node.wait_for("direct_path", timeout_s=120)
    relay.wait_for("circuit_closed", timeout_s=60)
    assert path(here, edge, provider) == "direct"
    assert path(there, provider, edge) == "direct"

    with asking(here, edge, 200) as ended:
        relay.kill()
        assert ended(running=True)["reason"] in ("length", "stop")
    edge.wait_for("relay_lost")
    provider.wait_for("relay_lost")
    with asking(here, edge, 16) as ended:
        assert ended()["reason"] == "length"
    assert path(here, edge, provider) == "direct"


def test_every_node_knows_how_it_can_be_reached_and_what_to_do(internet, launch_in):
    hosts = internet.public("open", 10), internet.firewalled("walled", 40), internet.behind_nat("home", 20)
    helpful = internet.behind_nat("helpful", 30)
    internet.forward(helpful, 4701)
    relay = launch_in(hosts[0], "--no-http")
    walled, home, forwarded = (launch_in(host, "--no-http", joins=(relay,)) for host in (hosts[1], hosts[2], helpful))
    for node, reach in ((relay, "public"), (walled, "private"), (home, "private"), (forwarded, "public")):
        settled(node, reach)
    for node in (walled, home):
        node.wait_for("relay_reserved")

    def told(host, node):
        return peernode(host, node, "status")["reachability"]

    status = told(hosts[0], relay)
    assert (status["reach"], status["relaying"]) == ("public", True)
    assert "Nothing to do" in status["remedy"]

    status = told(hosts[1], walled)
    assert (status["reach"], status["reason"], status["relaying"]) == ("private", "firewall", False)
    assert "Open TCP port 4701 in the firewall" in status["remedy"]
    assert status["relays"][0] in status["remedy"]

    status = told(hosts[2], home)
    assert (status["reach"], status["reason"]) == ("private", "nat")
    assert status["address"] == "/ip4/198.51.100.20/tcp/4701"
    assert "Forward TCP port 4701 of 198.51.100.20 in the router" in status["remedy"]

    status = peernode(helpful, forwarded, "status")
    assert status["reachability"]["reach"] == "public"
    assert f"/ip4/198.51.100.30/tcp/4701/p2p/{forwarded.peer_id}" in status["addresses"]


@contextmanager
def internet_gateway(host):
    """The router in front of ``host`` opens ports for whoever asks by UPnP; gives its output, line by line."""
    script = Path(namespaces.__file__).with_name("internet_gateway.py")
    inner = host.address.rpartition(".")[0] + ".1"
    command = ["ip", "netns", "exec", host.router, sys.executable, str(script), inner, host.outside]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "up\n"
            yield process.stdout
        finally:
            process.kill()


def test_a_router_that_opens_ports_makes_a_node_public_and_gets_its_port_back(internet, launch_in):
    middle, home = internet.public("middle", 10), internet.behind_nat("home", 20)
    relay = launch_in(middle, "--no-http")
    with internet_gateway(home) as said:
        node = launch_in(home, "--no-http", joins=(relay,))
        settled(node, "private")
        assert said.readline() == "opened 4701 3600\n"
        settled(node, "public")
        status = peernode(home, node, "status")
        assert status["reachability"]["router"] == "opened TCP port 4701 of 198.51.100.20"
        assert f"/ip4/198.51.100.20/tcp/4701/p2p/{node.peer_id}" in status["addresses"]
        assert node.stop() == 0
        assert said.readline() == "closed 4701\n"


def test_with_two_relays_one_may_die_at_any_time(internet, launch_in, model_path):
    first, second = internet.public("first", 10), internet.public("second", 11)
    here, there = internet.behind_nat("here", 20), internet.behind_nat("there", 30)
    internet.separate(here, there)
    relays = {}
    for host in (first, second):
        relay = launch_in(host, "--no-http", joins=tuple(relays.values()))
        relays[relay.peer_id] = relay
    provider = launch_in(there, "--model", str(model_path), "--no-http", joins=tuple(relays.values()))
    edge = launch_in(here, joins=tuple(relays.values()))
    for relay in relays:
        provider.wait_for("relay_reserved", timeout_s=90, where=lambda line, relay=relay: line["relay"] == relay)
    provider.wait_for_model()
    edge.wait_for_offer(provider.peer_id)
    edge.wait_for("peer_connected", where=lambda line: line["peer"] == provider.peer_id)

    with asking(here, edge, 16) as ended:
        way = path(here, edge, provider)
        assert ended()["reason"] == "length"
    used = next(relay for relay in relays if way == f"relayed via {relay}")
    (other,) = relays.keys() - {used}
    relays[used].kill()
    provider.wait_for("relay_lost")

    with asking(here, edge, 16) as ended:
        assert ended()["reason"] == "length"
    assert path(here, edge, provider) == f"relayed via {other}"
