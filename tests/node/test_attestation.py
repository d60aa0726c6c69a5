"""Reports of confidential hardware, over directories that do as configfs-tsm: mkdir fills them, writes count."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from peernode.edge.identity_object import Attested, Unattested, check_identity, identity_object
from peernode.market.models import OwnModels
from peernode.node.attestation import TsmReports
from peernode.node.statements import NodeStatements
from peernode.wire.identity import Identity
from peernode.wire.statement import report_data_of

NODE = Identity.from_seed(bytes(range(32)))
NONCE = b"\7" * 32


class Machine:
    """``about``: what its hardware thinks it is asked about; ``writes``: how often its inblob was written."""

    def __init__(self, root: Path, provider: str, about: bytes, writes: int = 1) -> None:
        self.provider, self.about, self.writes = provider, about, writes
        self.asked: dict[str, bytes] = {}
        self.root = root
        self.reports = TsmReports(root, make=self.make, remove=self.remove)

    def make(self, at: Path) -> None:
        at.mkdir()
        lead = {"sev_guest": 0x50, "tdx_guest": 568}[self.provider]
        (at / "provider").write_text(f"{self.provider}\n")
        (at / "generation").write_text(f"{self.writes}\n")
        (at / "outblob").write_bytes(bytes(lead) + self.about + bytes(600))
        (at / "auxblob").write_bytes(b"certificates")

    def remove(self, at: Path) -> None:
        self.asked[at.name] = (at / "inblob").read_bytes()
        shutil.rmtree(at)


def node(machine: Machine | None, root: Path) -> NodeStatements:
    reports = machine.reports if machine else TsmReports(root)
    return NodeStatements(NODE, network="main", models=OwnModels(()), clock_ms=lambda: 1234, reports=reports)


@pytest.mark.parametrize("provider", ["sev_guest", "tdx_guest"])
def test_a_report_is_bound_to_the_key_and_the_nonce(provider: str, tmp_path: Path) -> None:
    about = report_data_of(node(None, tmp_path).state(NONCE).envelope)
    machine = Machine(tmp_path, provider, about)
    here = node(machine, tmp_path)
    signed = here.state(NONCE)
    made = here.report(report_data_of(signed.envelope))
    assert isinstance(made, Attested)
    assert (made.provider, made.aux) == (provider, b"certificates")
    assert list(machine.asked.values()) == [about]  # what the hardware signs over
    assert list(tmp_path.iterdir()) == []
    answer = identity_object(signed, made)
    assert all(check.passed for check in check_identity(answer, nonce=NONCE, peer=NODE.peer_id)[1])


@pytest.mark.parametrize("provider", ["sev_guest", "tdx_guest"])
def test_a_report_about_another_statement_does_not_pass(provider: str, tmp_path: Path) -> None:
    here = node(Machine(tmp_path, provider, b"x" * 64), tmp_path)
    signed = here.state(NONCE)
    answer = identity_object(signed, here.report(report_data_of(signed.envelope)))
    failed = [check.name for check in check_identity(answer, nonce=NONCE)[1] if not check.passed]
    assert failed == ["attestation"]


def test_a_place_that_another_program_wrote_to_gives_no_report(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "sev_guest", b"x" * 64, writes=2)
    assert machine.reports.report(b"y" * 64) == Unattested("another program used the node's place for reports")


def test_without_hardware_or_rights_the_reason_is_said(tmp_path: Path) -> None:
    def forbidden(at: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    absent = TsmReports(tmp_path / "none")
    assert not absent.here
    assert absent.report(b"y" * 64) == Unattested(
        "this machine has no confidential hardware that Linux reports (configfs-tsm)"
    )
    there = TsmReports(tmp_path, make=forbidden)
    assert there.here
    assert there.report(b"y" * 64) == Unattested("the node may not ask for a report: permission denied")


def test_hardware_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    removed: list[Path] = []

    def remove(at: Path) -> None:
        removed.append(at)
        shutil.rmtree(at)

    found = TsmReports(tmp_path, make=os.mkdir, remove=remove).report(b"y" * 64)  # no attributes in it
    assert found == Unattested("the hardware gave no report: no such file or directory")
    assert len(removed) == 1
