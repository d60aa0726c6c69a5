"""The mesh's measurements for Prometheus: connections, streams, messages and bytes by protocol, the directory.

Owns the names of the metrics; the numbers are the mesh's own and are read when they are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from peernode.mesh import Mesh

PREFIX = "peernode_mesh_"
DIRECTIONS = ("inbound", "outbound")


class MeshCollector(Collector):
    """Reads one mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def collect(self) -> Iterable[Metric]:
        yield from self._connections()
        yield from self._protocols()
        known = len(self._mesh.directory.snapshot().adverts)
        yield GaugeMetricFamily(f"{PREFIX}directory_peers", "Peers with a running lease, this node included", known)
        refused = CounterMetricFamily(f"{PREFIX}refused_words", "Adverts and renewals not taken in", labels=["reason"])
        for reason, times in sorted(self._mesh.directory.refusals.items()):
            refused.add_metric([reason], times)
        yield refused
        limited = CounterMetricFamily(
            f"{PREFIX}limited", "Connections and streams refused or slowed down", labels=["reason"]
        )
        for reason, times in sorted(self._mesh.limited().items()):
            limited.add_metric([reason], times)
        yield limited
        banned = len({ban.peer_id for ban in self._mesh.bans() if ban.peer_id})
        yield GaugeMetricFamily(f"{PREFIX}banned_peers", "Peers that are shut out now", banned)
        slowed = len({ban.address for ban in self._mesh.bans() if not ban.peer_id})
        yield GaugeMetricFamily(f"{PREFIX}slowed_addresses", "Addresses that are being slowed down now", slowed)

    def _connections(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily(f"{PREFIX}connections", "Connected peers by who dialled", labels=["direction"])
        count = Counter(status.direction for status in self._mesh.peers())
        for direction in DIRECTIONS:
            gauge.add_metric([direction], count[direction])
        yield gauge
        failures = self._mesh.traffic.dial_failures
        yield CounterMetricFamily(f"{PREFIX}dial_failures", "Dials of one address that reached nobody", failures)

    def _protocols(self) -> Iterator[Metric]:
        flows = sorted(self._mesh.traffic.flows.items())
        streams = GaugeMetricFamily(f"{PREFIX}streams", "Open streams", labels=["protocol"])
        for protocol, flow in flows:
            streams.add_metric([protocol], flow.open)
        yield streams
        for name, meaning, fields in (
            ("streams_opened", "Streams by who opened them", ("opened_in", "opened_out")),
            ("messages", "Frames, or gossip of our own and from others", ("messages_in", "messages_out")),
            ("bytes", "Their payload, before encryption", ("bytes_in", "bytes_out")),
        ):
            counter = CounterMetricFamily(f"{PREFIX}{name}", meaning, labels=["protocol", "direction"])
            for protocol, flow in flows:
                for direction, field in zip(("in", "out"), fields, strict=True):
                    counter.add_metric([protocol, direction], getattr(flow, field))
            yield counter
