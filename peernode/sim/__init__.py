"""The simulator: discrete events over the router's own code, to see what a policy does to a network of thousands.

Not part of a running node. ``python -m peernode.sim --help``.
"""
