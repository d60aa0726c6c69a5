"""Some of the cases that ``scripts/fuzz api`` sends by thousands: a node does what the document says."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_cases import Cases
from api_node import ApiNode

pytestmark = pytest.mark.real


def test_a_node_answers_as_its_document_says(tmp_path: Path) -> None:
    with ApiNode(tmp_path) as node:
        cases = Cases(node)
        cases.run(200, 1, corners=False)
        assert not cases.failures, "\n\n".join(cases.failures)[:10_000]
        assert cases.total >= 200
        answered = sum(count for statuses in cases.statuses.values() for at, count in statuses.items() if at < 300)
        assert answered > 80
        assert node.defects() == []
        assert node.is_alive()
