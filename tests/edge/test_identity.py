"""``GET /v1/identity`` over a real server, and the command that checks what it answered."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from peernode.cli.app import app
from peernode.edge.identity import REPORTS_PER_MINUTE
from peernode.edge.identity_object import Attested
from peernode.market.models import OwnModels
from peernode.node.statements import NodeStatements
from peernode.wire.identity import Identity

NODE = Identity.from_seed(bytes(range(32)))
NONCE = "07" * 32


class Hardware:
    """Gives reports at once."""

    here = True

    def report(self, about):
        return Attested("sev_guest", about, bytes(0x50) + about)


@pytest.fixture(params=[None, Hardware()], ids=["plain", "confidential"])
def services(services, request):
    made, runner, shelf = services
    statements = NodeStatements(
        NODE, network="main", models=OwnModels(()), clock_ms=lambda: 1_700_000_000_000, reports=request.param
    )
    return replace(made, statements=statements, anonymous="no"), runner, shelf


def check(tmp_path, text, *options):
    file = tmp_path / "identity.json"
    file.write_text(text)
    return CliRunner().invoke(app, ["identity", str(file), *options])


async def test_it_is_said_to_everybody_and_checked_offline(edge, tmp_path):
    answer = await edge.client.get("/v1/identity", params={"nonce": NONCE})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["peer_id"], body["nonce"], body["network"]) == (NODE.peer_id, NONCE, "main")
    confidential = edge.services.statements.attests
    assert (body["attestation"] is not None) == confidential
    assert confidential or "configfs-tsm" in body["attestation_reason"]
    good = check(tmp_path, answer.text, "--nonce", NONCE, "--peer", NODE.peer_id)
    assert good.exit_code == 0, good.output
    assert ("✓ attestation" in good.output) == confidential
    other = check(tmp_path, answer.text, "--nonce", "00", "--json")
    assert (other.exit_code, json.loads(other.output)["ok"]) == (1, False)


async def test_what_was_changed_on_the_way_is_noticed(edge, tmp_path):
    body = (await edge.client.get("/v1/identity")).json()
    assert body["attestation"] is None
    assert "nonce" in body["attestation_reason"]
    body["signed"] = body["signed"][:-8] + "AAAAAAA="
    found = check(tmp_path, json.dumps(body))
    assert found.exit_code == 1
    assert type(found.exception).__name__ == "BadStatement"


@pytest.mark.parametrize("nonce", ["xyz", "0"])
async def test_a_nonce_is_hexadecimal(edge, nonce):
    answer = await edge.client.get("/v1/identity", params={"nonce": nonce})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "nonce")


async def test_reports_are_not_made_without_end(edge):
    statuses = [
        (await edge.client.get("/v1/identity", params={"nonce": NONCE})).status_code
        for _ in range(REPORTS_PER_MINUTE + 1)
    ]
    assert statuses[:-1] == [200] * REPORTS_PER_MINUTE
    assert statuses[-1] == (429 if edge.services.statements.attests else 200)
