"""The namespaces that other tests stand on behave like the routers and firewalls they imitate."""

import subprocess
import sys

import pytest
from namespaces import Internet, NoNamespaces

pytestmark = pytest.mark.real

SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 4701))
print("up", flush=True)
while True:
    connection, (host, port) = server.accept()
    connection.sendall(host.encode())
    connection.close()
"""
CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 4701), 1) as connection:
        print(connection.recv(99).decode())
except TimeoutError:
    print("silence")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def internet():
    try:
        with Internet() as net:
            yield net
    except NoNamespaces as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


def test_nat_and_firewall_let_out_and_keep_silent_to_strangers(internet):
    public, walled = internet.public("public", 10), internet.firewalled("walled", 40)
    one, two = internet.behind_nat("one", 20), internet.behind_nat("two", 30)
    servers = []
    try:
        for host in (public, walled, one):
            process = subprocess.Popen(host.command(sys.executable, "-c", SERVER), stdout=subprocess.PIPE)
            servers.append(process)
            assert process.stdout.readline() == b"up\n"

        def seen_as(host, address):
            return host.run(sys.executable, "-c", CLIENT, address).strip()

        assert seen_as(one, public.address) == "198.51.100.20"
        assert seen_as(two, public.address) == "198.51.100.30"
        assert seen_as(walled, public.address) == walled.address
        assert seen_as(public, walled.address) == "silence"
        assert seen_as(public, "198.51.100.20") == "silence"
        internet.forward(one, 4701)
        assert seen_as(public, "198.51.100.20") == public.address
        internet.cut(public)
        assert seen_as(two, public.address) == "silence"
        internet.mend(public)
        assert seen_as(two, public.address) == "198.51.100.30"
    finally:
        for process in servers:
            process.kill()
            process.wait()
            process.stdout.close()


def test_nothing_is_left_behind():
    try:
        with Internet() as net:
            net.behind_nat("one", 20)
            prefix = net.prefix
    except NoNamespaces as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert prefix not in listed
