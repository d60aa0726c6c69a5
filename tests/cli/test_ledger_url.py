"""The command line finds a ledger in PostgreSQL where a node would: by PEERNODE_LEDGER_URL."""

from __future__ import annotations

import json

import pytest
from postgres import postgres_server, programs

from peernode.ledger import ReceiptStore
from peernode.node.keyfile import load_or_create
from tests.samples import COORDINATOR, PROVIDER, countersigned, signed_receipt


@pytest.mark.real
def test_receipts_of_this_node_are_listed_from_a_shared_database(peernode, home, monkeypatch) -> None:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql; scripts/test does it)")
    home.prepare()
    own = load_or_create(home.key_file).peer_id
    with postgres_server(durable=False) as server:
        url = server.database()
        for number, node in enumerate((own, COORDINATOR.peer_id, PROVIDER.peer_id)):
            signed = signed_receipt(request_id=f"req_{number}")
            store = ReceiptStore.open(url, own=node)
            if node == PROVIDER.peer_id:
                store.append(lambda _seq, _previous, signed=signed: signed, now_ms=1)
            else:
                store.countersign(
                    signed, lambda total, signed=signed: countersigned(signed, cumulative=total), now_ms=1
                )
            store.close()
        monkeypatch.setenv("PEERNODE_LEDGER_URL", url)
        shown = peernode("receipts", "list", "--json")
        rebuilt = peernode("credits", "rebuild")
    assert (shown.code, [row["request_id"] for row in json.loads(shown.out)]) == (0, ["req_0"])
    assert (rebuilt.code, "nothing to make anew" in rebuilt.out) == (0, True)
