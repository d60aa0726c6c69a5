"""docs/security.md names tests that exist, and every kind of attacker there is."""

from __future__ import annotations

import re
from pathlib import Path

from mesh_attacks import ATTACKS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def test_every_test_it_names_exists() -> None:
    named = set(re.findall(r"`([a-z_/]+\.py)(?:::([a-z_]+))?`", TEXT))
    assert len(named) > 20
    for path, test in named:
        file = ROOT / path if path.startswith("scripts/") else ROOT / "tests" / path
        assert file.is_file(), path
        assert f"def {test}" in file.read_text(), test


def test_every_attacker_has_its_row() -> None:
    rows = [line for line in TEXT.splitlines() if "the attackers (" in line]
    named = {kind for row in rows for kind in re.findall(r"`([a-z_]+)`", row.rpartition("the attackers (")[2])}
    assert named == set(ATTACKS)
