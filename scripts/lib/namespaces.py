"""A small internet in network namespaces, for the tests and scripts that need routers, NATs and firewalls.

Owns building it and taking it down for certain. One segment, 198.51.100.0/24, joins public hosts, firewalled hosts and
the outer side of NAT routers; behind each router lies one host in a 192.168.x.0/24 of its own. Routers and firewalls
drop what nobody asked for, without an answer. Needs root, ``ip`` and ``iptables``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

_COMMAND_S = 20.0
_numbers = itertools.count()


class NoNamespaces(Exception):
    """Network namespaces cannot be made here; the text says why."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    if done.returncode:
        raise NoNamespaces(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


@dataclass(frozen=True)
class NetHost:
    """A namespace with one address. ``router`` is the namespace of the NAT in front of it, or empty; ``outside`` is the
    address under which others see it.
    """

    name: str
    address: str
    outside: str
    router: str = ""

    def command(self, *command: str) -> list[str]:
        """``command`` so that it runs inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, timeout_s: float = _COMMAND_S) -> str:
        """Run a command inside and give its output. Raises CalledProcessError, TimeoutExpired."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout_s, check=True)
        return done.stdout


@dataclass
class Internet:
    """Use as a context manager; everything in it is gone afterwards. Raises ``NoNamespaces`` on entering."""

    prefix: str = field(default_factory=lambda: f"pn{os.getpid() % 100000}x{next(_numbers)}")
    _spaces: list[str] = field(default_factory=list)
    _links: Iterator[int] = field(default_factory=itertools.count)

    def __enter__(self) -> Internet:
        if os.geteuid() != 0:
            raise NoNamespaces("network namespaces need root")
        for tool in ("ip", "iptables"):
            if shutil.which(tool) is None:
                raise NoNamespaces(f"{tool} is not installed (apt-get install iproute2 iptables)")
        try:
            self._segment = self._space("net")
            self._in(self._segment, "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
            self._in(self._segment, "ip", "link", "set", "br0", "up")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def public(self, name: str, last: int) -> NetHost:
        """A host on the open segment, 198.51.100.``last``."""
        space = self._space(name)
        self._plug(space, last)
        return NetHost(space, f"198.51.100.{last}", f"198.51.100.{last}")

    def firewalled(self, name: str, last: int) -> NetHost:
        """A host on the open segment that lets nobody in who was not called."""
        host = self.public(name, last)
        self._guard(host.name, "INPUT", "eth0")
        return host

    def behind_nat(self, name: str, last: int) -> NetHost:
        """A host 192.168.``last``.2 behind a router whose outer address is 198.51.100.``last``."""
        router, space = self._space(f"{name}r"), self._space(name)
        self._plug(router, last)
        self._cable(router, "lan0", space, "eth0")
        self._address(router, "lan0", f"192.168.{last}.1/24")
        self._address(space, "eth0", f"192.168.{last}.2/24")
        self._in(space, "ip", "route", "add", "default", "via", f"192.168.{last}.1")
        self._in(router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self._in(router, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
        self._guard(router, "INPUT", "eth0")
        self._guard(router, "FORWARD", "eth0")
        return NetHost(space, f"192.168.{last}.2", f"198.51.100.{last}", router)

    def forward(self, host: NetHost, port: int) -> None:
        """Open ``port`` in the router in front of ``host``, as its owner would by hand."""
        rule = ["-i", "eth0", "-p", "tcp", "--dport", str(port)]
        to = ["-j", "DNAT", "--to-destination", f"{host.address}:{port}"]
        self._in(host.router, "iptables", "-t", "nat", "-A", "PREROUTING", *rule, *to)
        self._in(host.router, "iptables", "-I", "FORWARD", *rule, "-j", "ACCEPT")

    def separate(self, host: NetHost, other: NetHost) -> None:
        """Let nothing through between two hosts behind NATs; both still reach everybody else.

        Each router drops it before it makes an entry for it, so nothing of it is left when the two are joined.
        """
        self._between("-I", host, other)

    def join(self, host: NetHost, other: NetHost) -> None:
        """Undo ``separate``."""
        self._between("-D", host, other)

    def _between(self, switch: str, host: NetHost, other: NetHost) -> None:
        for here, there in ((host, other), (other, host)):
            for side in ("-s", "-d"):
                self._in(here.router, "iptables", switch, "FORWARD", side, there.outside, "-j", "DROP")

    def cut(self, host: NetHost) -> None:
        """Drop everything that goes to or comes from a host on the open segment, silently."""
        for chain in ("INPUT", "OUTPUT"):
            self._in(host.name, "iptables", "-I", chain, "!", "-i" if chain == "INPUT" else "-o", "lo", "-j", "DROP")

    def mend(self, host: NetHost) -> None:
        """Undo ``cut``."""
        for chain in ("INPUT", "OUTPUT"):
            self._in(host.name, "iptables", "-D", chain, "!", "-i" if chain == "INPUT" else "-o", "lo", "-j", "DROP")

    def remove(self) -> None:
        """Delete every namespace; links go with them. Processes inside are the caller's to have ended."""
        for space in reversed(self._spaces):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, timeout=_COMMAND_S, check=False)
        self._spaces.clear()

    def _space(self, name: str) -> str:
        space = f"{self.prefix}-{name}"
        _run("ip", "netns", "add", space)
        self._spaces.append(space)
        self._in(space, "ip", "link", "set", "lo", "up")
        return space

    def _in(self, space: str, *command: str) -> None:
        _run("ip", "netns", "exec", space, *command)

    def _cable(self, one: str, one_end: str, other: str, other_end: str) -> None:
        _run("ip", "link", "add", one_end, "netns", one, "type", "veth", "peer", "name", other_end, "netns", other)

    def _plug(self, space: str, last: int) -> None:
        port = f"p{next(self._links)}"
        self._cable(self._segment, port, space, "eth0")
        self._in(self._segment, "ip", "link", "set", port, "master", "br0", "up")
        self._address(space, "eth0", f"198.51.100.{last}/24")

    def _address(self, space: str, link: str, address: str) -> None:
        self._in(space, "ip", "address", "add", address, "dev", link)
        self._in(space, "ip", "link", "set", link, "up")

    def _guard(self, space: str, chain: str, link: str) -> None:
        known = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]
        self._in(space, "iptables", "-A", chain, "-i", link, *known)
        self._in(space, "iptables", "-A", chain, "-i", link, "-j", "DROP")
