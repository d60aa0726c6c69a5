"""libp2p 0.8.1 logs what any stranger can provoke: multi-line ERRORs per refused protocol, payloads in hex at DEBUG.

Mended by setting the ``libp2p`` loggers to CRITICAL: peernode logs what matters about peers itself, without payloads.
One module also logs through the *root* logger, which installs a stderr handler in the host program as a side effect;
it gets a logger of its own.
"""

from __future__ import annotations

import logging

from libp2p.network.connection import swarm_connection


def mend() -> None:
    """Silence the library's loggers and take the root logger out of its hands."""
    for name in ("libp2p", "multiaddr", "aioquic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Some modules set a level of their own at import; those would otherwise overrule the parent's.
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if name.startswith("libp2p.") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.CRITICAL)
    swarm_connection.logging = logging.getLogger("libp2p.network.connection.swarm_connection")
