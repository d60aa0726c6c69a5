"""``peernode credits supply``, beside the commands that grant."""

from __future__ import annotations

import json


def test_what_goes_beyond_the_supply_is_refused_by_every_command(peernode):
    assert "no limit" in peernode("credits", "supply").out
    peernode("credits", "supply", "--total", "10", "--per-key", "6")
    key = json.loads(peernode("keys", "create", "shop", "--credits", "5", "--json").out)["id"]
    refused = peernode("credits", "grant", key, "1.5")
    assert refused.code == 1
    assert "code: supply_exhausted" in refused.err
    assert "1 are left" in refused.err
    peernode("keys", "topup", key, "1")
    assert peernode("keys", "create", "other", "--credits", "4.5").code == 1
    assert [row["state"] for row in json.loads(peernode("keys", "list", "--json").out)] == ["active", "revoked"]
    told = json.loads(peernode("credits", "supply", "--json").out)
    assert told == {"granted": 6.0, "total": 10.0, "left": 4.0, "per_key": 6.0}
    assert json.loads(peernode("credits", "supply", "--total", "none", "--json").out)["total"] is None
    assert peernode("credits", "supply", "--total", "lots").code == 2
