"""A short run of each chaos on real processes. The bounds are wider than the promises: others use this machine, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from namespaces import Internet, NoNamespaces

pytestmark = pytest.mark.real

SCRIPTS = Path(__file__).parents[2] / "scripts" / "chaos.d"


@pytest.fixture
def namespaces():
    try:
        with Internet():
            pass
    except NoNamespaces as err:
        pytest.skip(f"no network namespaces here: {err}")


def run(name: str, report: Path, *options: str) -> dict:
    command = [sys.executable, "-P", str(SCRIPTS / f"{name}.py"), "--json", str(report), *options]
    environment = {**os.environ, "COLUMNS": "140"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads(report.read_text())


def test_five_nodes_live_through_kills_freezes_cuts_and_a_split(namespaces, tmp_path):
    bounds = ("--grace", "20", "--heal", "30", "--settle", "4")
    told = run("mesh", tmp_path / "report", "--nodes", "5", "--seconds", "40", "--split", "25", "--seed", "9", *bounds)
    assert set(told["troubles"]) == {"kill", "freeze", "cut"}
    assert told["worst_ghost_s"] > 10  # the halves did lose sight of each other


def test_three_hundred_jobs_a_tenth_of_them_hung_up_on_leave_nothing_behind(tmp_path):
    told = run("soak", tmp_path / "report", "--jobs", "300")
    assert (told["answered"], told["hung_up"]) == (270, 30)


def test_ledgers_agree_after_a_few_kills_under_load(tmp_path):
    told = run("money", tmp_path / "report", "--kills", "3", "--every", "3", "--clients", "3", "--seed", "3")
    assert sum(told["killed"].values()) == 3
    assert [audit["broken"] for audit in told["audits"]] == [[]]
    assert told["audits"][-1]["receipts"] > 0


def test_broken_answers_are_whole_and_all_their_parts_are_receipted_in_the_end(tmp_path):
    kinds = ("--kind", "kill", "--kind", "garbage")
    told = run("failover", tmp_path / "report", "--runs", "2", "--lanes", "1", "--patience", "8", *kinds)
    assert told["broken"] == []
    verdicts = [*told["runs"]["kill"], *told["runs"]["garbage"]]
    assert [each["unreceipted"] for each in verdicts] == [0] * 4
    assert all(each["seam"] > 0 for each in verdicts)
