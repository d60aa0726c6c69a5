"""``peernode models``: what can be asked for now, here and on peers."""

from __future__ import annotations

from peernode.cli.options import HomeOption, JsonOption, home_at

COLUMNS = {
    "id": "model",
    "local": "here",
    "nodes_available": "nodes",
    "quantizations": "quantization",
    "context_length": "context",
    "price_prompt": "prompt price",
    "price_completion": "completion price",
}


def models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models that live nodes serve; prices are micro-credits per million tokens."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, print_table

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/models")
    if as_json:
        print_json(found)
    else:
        print_table(found, COLUMNS, empty="No live node serves a model.")
