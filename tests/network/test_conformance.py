"""Rows of ``scripts/conformance``: each parameter's effect on the real model, each wish's on the choice of a provider.

Paths and lists are left to ``test_dialects``, rows that kill providers to ``test_failover`` and ``test_crashes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import conformance_api
import conformance_failures
import conformance_images
import conformance_request
import conformance_routing
import pytest
from conformance_asking import Asker, Row
from conformance_network import start_network
from nodes import NodeProcess

pytestmark = pytest.mark.real
EFFECTS = (conformance_request, conformance_images, conformance_routing, conformance_failures)
THAT_KILL = {51, 52}


def rows_of(*groups: object) -> list[Row]:
    return sorted((row for group in groups for row in group.ROWS.rows), key=lambda row: row.number)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[Asker]:
    nodes: list[NodeProcess] = []
    try:
        edge = start_network(model_path, tmp_path_factory.mktemp("conformance"), nodes)
        with Asker(edge, nodes[:2]) as it:
            yield it
    finally:
        for node in nodes:
            node.kill()


def test_no_row_up_to_53_is_without_a_check() -> None:
    checked = [row.number for row in rows_of(conformance_api, *EFFECTS) if row.check is not None]
    assert checked == list(range(1, 54))


@pytest.mark.parametrize(
    "row", [row for row in rows_of(*EFFECTS) if row.number not in THAT_KILL], ids=lambda row: f"row-{row.number}"
)
def test_row(asker: Asker, row: Row) -> None:
    assert row.check is not None
    row.check(asker)
