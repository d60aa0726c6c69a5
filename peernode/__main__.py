"""``python -m peernode``: the same program as the ``peernode`` command."""

from peernode.cli import main

main()
