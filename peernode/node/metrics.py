"""A node's own measurements as Prometheus text: what its engines hold, where their time goes, its mesh and process.

Owns the names of the metrics. Numbers are read when they are asked for; a worker that was replaced counts from zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

import trio
from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from peernode.engine import Engine
from peernode.mesh import Mesh
from peernode.node.mesh_metrics import MeshCollector

_GAUGES = {
    "slots": "Answers that can run at once",
    "free_slots": "Answers that could begin now",
    "queued": "Jobs that wait for a slot",
    "kv_tokens": "Cells of the key-value cache",
    "kv_used": "Cells in use or reserved by running answers",
    "kv_cached": "Cells of cached prefixes",
    "stored": "Tokens of cached prefixes in the host's memory",
    "decode_tps": "Tokens per second of one answer",
    "prefill_tps": "Prompt tokens per second of all answers together",
}
_COUNTERS = {
    "steps": "Decode steps",
    "prefilled": "Prompt tokens that were computed",
    "reused": "Prompt tokens that were taken from the cache",
    "drafted": "Tokens that were guessed ahead",
    "accepted": "Guessed tokens that were right",
}


def node_metrics(engines: Sequence[Engine], mesh: Mesh) -> str:
    """The text that a Prometheus server scrapes. To be called inside trio, whose tasks are counted, too.

    CPU seconds, memory and descriptors of the node's own process (workers apart) have Prometheus' usual names.
    """
    registry = CollectorRegistry(auto_describe=False)
    for collector in (_Engines(engines), MeshCollector(mesh), _Tasks()):
        registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


class _Tasks(Collector):
    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("peernode_tasks", "Running tasks", trio.lowlevel.current_statistics().tasks_living)


class _Engines(Collector):
    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines

    def collect(self) -> Iterable[Metric]:
        yield from self._simple()
        seconds = CounterMetricFamily(
            "peernode_engine_step_seconds", "Time of decode steps by phase", labels=["model", "phase"]
        )
        for engine in self._engines:
            for phase, spent in asdict(engine.load().seconds).items():
                seconds.add_metric([engine.model_id, phase], spent)
        yield seconds

    def _simple(self) -> Iterator[Metric]:
        for family, table in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, meaning in table.items():
                metric = family(f"peernode_engine_{name}", meaning, labels=["model"])
                for engine in self._engines:
                    metric.add_metric([engine.model_id], getattr(engine.load(), name))
                yield metric
