"""``peernode metrics``: the running node's measurements, for a Prometheus text collector or for reading."""

from __future__ import annotations

from peernode.cli.options import HomeOption, home_at


def metrics(home: HomeOption = None) -> None:
    """Print the running node's measurements as Prometheus text."""
    import sys

    from peernode.cli.admin_client import AdminClient

    with AdminClient(home_at(home)) as node:
        sys.stdout.write(node.text("/admin/metrics"))
