"""What operators see of a running node: the log."""

from peernode.telemetry.logging import configure_logging

__all__ = ["configure_logging"]
